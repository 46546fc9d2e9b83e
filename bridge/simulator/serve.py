"""The simulated provider as a program of its own (``exmail-bridge simulate``)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from bridge.simulator.wire.replay import read_recording
from bridge.simulator.world.world import World

from .dialect import Dialect, Framing
from .plan import PlanError, follow
from .server import Simulator


def greet(simulator: Simulator) -> None:
    """Print the URL, the credentials that work, and how to drive it."""
    world, url = simulator.world, simulator.url
    sys.stdout.write(
        f"simulated provider ready at {url}  ({simulator.dialect.framing}, {len(world.accounts)} accounts)\n"
        f"  BRIDGE_PROVIDER_API_URL={url}\n"
        f"  BRIDGE_PROVIDER_AUTH_URL={url}\n"
        f"  BRIDGE_PROVIDER_CLIENT_ID={world.client_id}\n"
        f"  BRIDGE_PROVIDER_CLIENT_SECRET={world.client_secret}\n"
        f'  curl -d \'{{"mailbox":"bob@{world.domain}"}}\' {url}/simulator/mail\n'
    )
    sys.stdout.flush()


async def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    framing: str = Framing.SAME_SOCKET,
    faults_file: str | Path | None = None,
    seed: int = 0,
    users: int = 20,
    rate: float = 1.0,
    client_id: str = "simulated",
    client_secret: str | None = None,
    replay: str | Path | None = None,
    ready: Callable[[Simulator], None] = greet,
) -> None:
    """Run until cancelled; ``ready`` is called when the port is served.

    ``rate`` is the traffic, happenings a second. Without a ``client_secret`` the seed makes one.

    With ``replay``, a file of ``doctor --capture``, listeners are told what was recorded, and nothing else.

    Raises:
        OSError: the port is taken.
        PlanError: ``faults_file`` is no fault plan, or ``replay`` no recording.
        ValueError: there is no such framing.
    """
    world = World(seed, users=users, client_id=client_id, client_secret=client_secret)
    dialect = Dialect(framing=Framing(framing))
    try:
        recorded = None if replay is None else read_recording(Path(replay))
    except ValueError as error:
        raise PlanError(f"{replay}: {error}") from None
    async with await Simulator.start(world, host=host, port=port, dialect=dialect) as simulator:
        simulator.replay = recorded
        simulator.traffic.rate_per_s = rate
        ready(simulator)
        if faults_file is None:
            await asyncio.Event().wait()
        else:
            await follow(Path(faults_file), simulator.commands)
