"""``edge``: the WebSocket and SSE edge."""

from __future__ import annotations

import argparse

from bridge.commands.command import OK, Command, add_settings_options, processes, run_until_done, service_settings


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser)
    parser.add_argument("--workers", type=processes, default=1, metavar="N", help="processes on the one port (1)")
    # For a child of --workers, which serves on its parent's socket.
    parser.add_argument("--inherit", type=int, metavar="FD", help=argparse.SUPPRESS)


def _run(arguments: argparse.Namespace) -> int:
    settings = service_settings(arguments, "edge")
    from bridge.app.fitness import check_fitness
    from bridge.app.processes import run_edge, serve_child

    check_fitness(settings, "edge", processes=arguments.workers if arguments.inherit is None else 1)
    from bridge.obs.logs import setup_logs

    setup_logs(settings.log.level, settings.log.format, role="edge")
    if arguments.inherit is not None:
        run_until_done(serve_child(settings, arguments.inherit))
    else:
        run_until_done(run_edge(settings, arguments.workers))
    return OK


COMMAND = Command(
    name="edge",
    summary="serve browsers over WebSocket and SSE from Redis",
    examples=("edge", "edge --workers 4"),
    add_arguments=_add_arguments,
    run=_run,
)
