"""``signon``: the click that opens a mail, as a process of its own."""

from __future__ import annotations

import argparse

from bridge.commands.command import OK, Command, add_settings_options, present_settings, run_until_done
from bridge.settings import Settings


def _fits(settings: Settings) -> None:
    from bridge.app.fitness import check_fitness

    check_fitness(settings, "signon")


def _run(arguments: argparse.Namespace) -> int:
    present = present_settings(arguments, "signon", _fits)
    from bridge.app.signon import run_signon
    from bridge.obs.logs import setup_logs

    setup_logs(present.settings.log.level, present.settings.log.format, role="signon")
    run_until_done(run_signon(present))
    return OK


COMMAND = Command(
    name="signon",
    summary="open mails on a click, beside an edge that does not hold the provider's secret",
    examples=("signon", "signon --config /etc/exmail-bridge/bridge.toml"),
    add_arguments=add_settings_options,
    run=_run,
)
