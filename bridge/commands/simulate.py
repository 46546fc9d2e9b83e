"""``simulate``: the simulated provider alone."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from bridge.commands.command import CANNOT_LISTEN, OK, Command, listen_address
from bridge.settings import Address
from bridge.supervision import Shutdown, StartRefused


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen",
        type=listen_address,
        default=Address("127.0.0.1", 12211),
        metavar="A:P",
        help="address and port (%(default)s)",
    )
    parser.add_argument(
        "--framing",
        choices=("same-socket", "long-poll", "stream-chunked", "stream-close", "bare"),
        default="same-socket",
        help="how listen frames its documents (%(default)s)",
    )
    parser.add_argument("--faults", type=Path, metavar="FILE", help="script of faults to play")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="tell listeners what `doctor --capture` recorded, in its moments"
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same world (%(default)s)")
    parser.add_argument("--users", type=int, default=20, help="accounts of the corporation (%(default)s)")
    parser.add_argument("--rate", type=float, default=1.0, help="mails a second (%(default)s)")
    parser.add_argument("--client-id", default="simulated", help="the client id that it accepts (%(default)s)")
    parser.add_argument("--client-secret", help="and the secret (one that the seed makes)")


def _run(arguments: argparse.Namespace) -> int:
    from bridge.obs.logs import setup_logs

    setup_logs("info", "auto", role="simulate")
    asyncio.run(_serve_until_asked(arguments))
    return OK


async def _serve_until_asked(arguments: argparse.Namespace) -> None:
    from bridge.simulator import PlanError, serve

    serving = asyncio.create_task(
        serve(
            host=arguments.listen.host,
            port=arguments.listen.port,
            framing=arguments.framing,
            faults_file=arguments.faults,
            replay=arguments.replay,
            seed=arguments.seed,
            users=arguments.users,
            rate=arguments.rate,
            client_id=arguments.client_id,
            client_secret=arguments.client_secret,
        ),
        name="simulator",
    )
    with Shutdown() as shutdown:
        asked = asyncio.create_task(shutdown.wait(), name="shutdown")
        await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        serving.cancel()
        try:
            await serving
        except asyncio.CancelledError:
            if not shutdown.event.is_set():
                raise
        except PlanError as error:
            raise StartRefused(str(error)) from None
        except OSError as error:
            if error.errno in CANNOT_LISTEN:
                raise StartRefused(f"cannot listen on {arguments.listen}: {error.strerror}") from None
            raise


COMMAND = Command(
    name="simulate",
    summary="the simulated provider alone",
    examples=("simulate --rate 5", "simulate --framing stream-chunked --faults faults.toml"),
    add_arguments=_add_arguments,
    run=_run,
)
