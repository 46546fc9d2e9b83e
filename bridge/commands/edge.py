"""``edge``: the WebSocket and SSE edge."""

from __future__ import annotations

import argparse
from functools import partial

from bridge.commands.command import OK, Command, add_settings_options, present_settings, processes, run_until_done
from bridge.settings import Settings


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser)
    parser.add_argument("--workers", type=processes, default=1, metavar="N", help="processes on the one port (1)")
    # For a child of --workers, which serves on its parent's socket.
    parser.add_argument("--inherit", type=int, metavar="FD", help=argparse.SUPPRESS)


def _fits(arguments: argparse.Namespace, settings: Settings) -> None:
    from bridge.app.fitness import check_fitness

    check_fitness(settings, "edge", processes=arguments.workers if arguments.inherit is None else 1)


def _run(arguments: argparse.Namespace) -> int:
    present = present_settings(arguments, "edge", partial(_fits, arguments))
    from bridge.app.processes import run_edge, serve_child
    from bridge.obs.logs import setup_logs

    setup_logs(present.settings.log.level, present.settings.log.format, role="edge")
    if arguments.inherit is not None:
        run_until_done(serve_child(present, arguments.inherit))
    else:
        run_until_done(run_edge(present, arguments.workers))
    return OK


COMMAND = Command(
    name="edge",
    summary="serve browsers over WebSocket and SSE from Redis",
    examples=("edge", "edge --workers 4"),
    add_arguments=_add_arguments,
    run=_run,
)
