"""``python -m tests.bench.rolling``: three edges behind nginx are restarted one after the other under thousands
of pages.

Printed: what any page saw besides a close with a hint, who missed a mail, the busiest second of coming back against the
even share of the drain, and how even the loads are one maximum life later.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.bench.stage import facts, valkey
from tests.support.nginx import running_nginx
from tests.support.rolling import Fleet, fleet, mails, places

EDGES = 3
COME_S = 300.0


def busiest_second(times: list[float]) -> int:
    """The most that fall within any one second of the clock."""
    return max(Counter(int(at) for at in times).values(), default=0)


async def roll(running: Fleet, drain_s: float) -> None:
    """Restart each edge, and print how its browsers came back."""
    loop = asyncio.get_running_loop()
    for number in range(EDGES):
        here, began = (await running.loads())[number], loop.time()
        await running.restart(number)
        await running.all_are_back(COME_S)
        back = [at for page in running.pages for at in page.back_at if at > began]
        share = here / drain_s
        busiest = busiest_second(back)
        print(
            f"edge {number + 1}: {here} sent away over {drain_s:.0f} s, {len(back)} came back within "
            f"{max(back, default=began) - began:.1f} s; "
            f"busiest second {busiest}, {busiest / share:.2f} of the even share"
        )


async def run(clients: int, drain_s: float, life_s: int) -> int:
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if nginx is None:
        sys.exit("nginx is needed: apt install nginx-light")
    print(facts())
    environ = {"BRIDGE_EDGE_DRAIN": str(drain_s), "BRIDGE_EDGE_MAX_LIFE": "7200"}
    with valkey() as (server, _), tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()

        def proxied(port: int, edges: Sequence[str]) -> AbstractAsyncContextManager[object]:
            return running_nginx(nginx, Path(folder), port=port, edges=edges)

        async with fleet(server.tcp_url, places(EDGES), proxied, clients=clients, come_within_s=COME_S, **environ) as (
            running,
            writer,
        ):
            print(f"{clients} pages open after {time.monotonic() - began:.1f} s, on {await running.loads()}")
            running.environ["BRIDGE_EDGE_MAX_LIFE"] = str(life_s)
            async with mails(writer, running.told, every_s=4.0):
                await asyncio.sleep(2)
                await roll(running, drain_s)
                print(f"loads after the restarts: {await running.loads()}")
                await asyncio.sleep(life_s * 1.2 + 6)
                loads = await running.loads()
            apart = (max(loads) - min(loads)) / (sum(loads) / EDGES)
            print(f"loads one life of {life_s} s later: {loads}, {apart:.0%} apart")
            await running.all_are_back(COME_S)
            print(f"errors: {dict(running.errors()) or 'none'}; pages that missed a mail: {running.missed()}")
            return 1 if running.errors() or running.missed() else 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.rolling", description=__doc__)
    parser.add_argument("--clients", type=int, default=3000)
    parser.add_argument("--drain", type=float, default=10.0)
    parser.add_argument("--life", type=int, default=60)
    args = parser.parse_args()
    sys.exit(asyncio.run(run(args.clients, args.drain, args.life)))


if __name__ == "__main__":
    main()
