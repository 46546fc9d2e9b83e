"""``worker``: the long-connection worker."""

from __future__ import annotations

import argparse

from bridge.commands.command import OK, Command, add_settings_options, present_settings, run_until_done
from bridge.obs.turns import FEW
from bridge.settings import Settings


def _fits(settings: Settings) -> None:
    from bridge.app.fitness import check_fitness

    check_fitness(settings, "worker")


def _run(arguments: argparse.Namespace) -> int:
    present = present_settings(arguments, "worker", _fits)
    from bridge.app.worker import run_worker
    from bridge.obs.logs import setup_logs

    setup_logs(present.settings.log.level, present.settings.log.format, role="worker")
    run_until_done(run_worker(present), in_turns_of=FEW)
    return OK


COMMAND = Command(
    name="worker",
    summary="listen to the provider and publish to Redis; several may run, one leads",
    examples=("worker", "worker --config /etc/exmail-bridge/bridge.toml"),
    add_arguments=add_settings_options,
    run=_run,
)
