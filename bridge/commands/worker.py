"""``worker``: the long-connection worker."""

from __future__ import annotations

import argparse

from bridge.commands.command import OK, Command, add_settings_options, run_until_done, service_settings


def _run(arguments: argparse.Namespace) -> int:
    settings = service_settings(arguments, "worker")
    from bridge.app.fitness import check_fitness
    from bridge.app.worker import run_worker

    check_fitness(settings, "worker")
    from bridge.obs.logs import setup_logs

    setup_logs(settings.log.level, settings.log.format, role="worker")
    run_until_done(run_worker(settings))
    return OK


COMMAND = Command(
    name="worker",
    summary="listen to the provider and publish to Redis; several may run, one leads",
    examples=("worker", "worker --config /etc/exmail-bridge/bridge.toml"),
    add_arguments=add_settings_options,
    run=_run,
)
