"""``signon``: the click that opens a mail, as a process of its own."""

from __future__ import annotations

import argparse

from bridge.commands.command import OK, Command, add_settings_options, run_until_done, service_settings


def _run(arguments: argparse.Namespace) -> int:
    settings = service_settings(arguments, "signon")
    from bridge.app.fitness import check_fitness
    from bridge.app.signon import run_signon

    check_fitness(settings, "signon")
    from bridge.obs.logs import setup_logs

    setup_logs(settings.log.level, settings.log.format, role="signon")
    run_until_done(run_signon(settings))
    return OK


COMMAND = Command(
    name="signon",
    summary="open mails on a click, beside an edge that does not hold the provider's secret",
    examples=("signon", "signon --config /etc/exmail-bridge/bridge.toml"),
    add_arguments=add_settings_options,
    run=_run,
)
