"""``dev``: the whole product on one machine."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from bridge.commands.command import DEV_FOLDER, MISUSED, OK, Command, listen_address
from bridge.settings import Address


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--port", type=_port, metavar="P", help="port of the page on 127.0.0.1 (8080)")
    where.add_argument("--listen", type=listen_address, metavar="A:P", help="address and port of the page")
    parser.add_argument(
        "--provider",
        choices=("simulated", "real"),
        default="simulated",
        help="real: the configured provider, after asking; a second listener may silence production",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before --provider real")


def _port(text: str) -> Address:
    return listen_address(f"127.0.0.1:{text}")


def _run(arguments: argparse.Namespace) -> int:
    real = arguments.provider == "real"
    if real and not arguments.yes and not _may_take_over():
        sys.stderr.write("exmail-bridge: not started; --yes says it beforehand\n")
        return MISUSED
    from bridge.dev.program import run_dev

    listen: Address | None = arguments.listen or arguments.port
    asyncio.run(run_dev(os.environ, folder=DEV_FOLDER, listen=listen, real_provider=real))
    return OK


def _may_take_over() -> bool:
    """Ask on the terminal; without one the answer is no."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(
        "The provider may serve one listener only: while this runs, production may get no mail alerts.\n"
        "Take the real provider? [y/N] "
    )
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


COMMAND = Command(
    name="dev",
    summary="everything on this machine: server, simulated provider, worker, edge, a page",
    examples=("dev", "dev --port 8090", "dev --listen 0.0.0.0:8080"),
    add_arguments=_add_arguments,
    run=_run,
)
