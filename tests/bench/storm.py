"""``python -m tests.bench.storm``: what happens when all do the same at once; some three minutes.

10,000 browsers on two edges are cut and come back, each with a token and a position; 15,000 leave one mailbox; 10,000
mails come to 10,000 mailboxes; a mail comes to a mailbox with 5,000 connections. Printed: how long it took, and the
longest time in which an event loop did nothing else (:mod:`tests.bench.watched`).
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.bench.around import port_of, post, provider, until
from tests.bench.crowd import Watched
from tests.bench.load import stamp
from tests.bench.machine import make_room
from tests.bench.stage import EPOCH, SECRET, Publisher, event, facts, free_port, load, place, valkey, wait_for

EDGES: Final = 2
SETTLED_S: Final = 1.0
_CONNECTIONS: Final = re.compile(r"^exmail_bridge_edge_connections\{.*\} (\S+)$", re.MULTILINE)
_MAILS: Final = 20


@dataclass(slots=True)
class Edge:
    """A watched edge, where it listens, and its browsers: what gives them an order, and waits for the answer."""

    program: Watched
    port: int
    admin_port: int
    count: Callable[..., Any] = field(default=lambda frames: None)

    def is_empty(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=30) as answer:
            return sum(map(float, _CONNECTIONS.findall(answer.read().decode()))) == 0


@dataclass(slots=True)
class Weather:
    """What a storm happens to. ``share`` of the numbers that are told above."""

    share: float
    rounds: int
    folder: Path
    stack: ExitStack
    server: Any
    client: Any

    def some(self, n: int) -> int:
        return max(20, int(n * self.share))

    def environ(self, **more: str) -> dict[str, str]:
        return {"BRIDGE_REDIS_URL": self.server.tcp_url, "BRIDGE_LOG_LEVEL": "warning", **more}

    def edges(self, n: int) -> list[Edge]:
        """So many edges that listen."""
        edges = []
        for _ in range(n):
            port, admin_port = free_port(), free_port()
            environ = self.environ(
                BRIDGE_EDGE_JWT_SECRET=SECRET,
                BRIDGE_EDGE_LISTEN=f"127.0.0.1:{port}",
                BRIDGE_EDGE_ADMIN_LISTEN=f"127.0.0.1:{admin_port}",
                BRIDGE_EDGE_HANDSHAKE_RATE="0",
            )
            program = Watched(Path(tempfile.mkdtemp(dir=self.folder)), "edge", environ, callbacks=False)
            self.stack.callback(program.stop)
            program.start()
            edges.append(Edge(program, port, admin_port))
        for edge in edges:
            wait_for(edge.port, within_s=60.0)
        return edges

    def fill(self, edge: Edge, n: int, mailboxes: Sequence[str], **more: str) -> None:
        """Open so many connections."""
        wanted = {"port": edge.port, "n": n, "websocket": True, "path": "/ws", "secret": SECRET}
        edge.count, _ = self.stack.enter_context(load(mailboxes=mailboxes, **wanted, **more))
        edge.program.longest()


def all_come_back(weather: Weather) -> None:
    """All browsers are cut, and come back with their token and their position."""
    each = weather.some(5000)
    edges = weather.edges(EDGES)
    names = [[f"u{number}-{at}@bench.cn" for number in range(each)] for at in range(EDGES)]
    for edge, mailboxes in zip(edges, names, strict=True):
        place(weather.client, mailboxes)
        weather.fill(edge, each, mailboxes)
    for _ in range(weather.rounds):
        time.sleep(SETTLED_S)
        cpu_s = [edge.program.cpu_s for edge in edges]
        began = time.monotonic()
        again = {"again": f"/ws?after={EPOCH}-0", "opened_by": '"resumed":true'}
        for wait in [edge.count(0, **again) for edge in edges]:
            wait()
        took_s = time.monotonic() - began
        spent = sum(edge.program.cpu_s - before for edge, before in zip(edges, cpu_s, strict=True))
        time.sleep(SETTLED_S)
        tell(
            f"{EDGES * each:,} are cut and come back",
            f"all resumed after {took_s:.2f} s; {spent / each / EDGES * 1e6:.0f} µs of an edge each",
            edges,
        )


def all_leave(weather: Weather) -> None:
    """All leave one mailbox."""
    n = weather.some(15_000)
    [edge] = weather.edges(1)
    place(weather.client, ["all@bench.cn"])
    for _ in range(weather.rounds):
        weather.fill(edge, n, ["all@bench.cn"])
        time.sleep(SETTLED_S)
        began = time.monotonic()
        edge.count(0, leave=True)()
        until(edge.is_empty)
        tell(f"{n:,} leave one mailbox", f"gone after {time.monotonic() - began:.2f} s", [edge])


def mail_for_all(weather: Weather) -> None:
    """As many mails as there are mailboxes come at once, to anybody."""
    n = weather.some(10_000)
    url, secret = weather.stack.enter_context(provider(users=n))
    worker = Watched(
        weather.folder,
        "worker",
        weather.environ(
            BRIDGE_PROVIDER_API_URL=url,
            BRIDGE_PROVIDER_AUTH_URL=url,
            BRIDGE_PROVIDER_CLIENT_ID="simulated",
            BRIDGE_PROVIDER_CLIENT_SECRET=secret,
            BRIDGE_WORKER_ADMIN_LISTEN="127.0.0.1:0",
        ),
        callbacks=False,
    )
    weather.stack.callback(worker.stop)
    worker.start()
    until(lambda: weather.client.hlen("{exmail}:directory") >= n, within_s=300)
    names = [alias.decode() for alias in weather.client.hkeys("{exmail}:directory")]
    edges = weather.edges(EDGES)
    for at, edge in enumerate(edges):
        mailboxes = names[at::EDGES]
        weather.fill(edge, len(mailboxes), mailboxes, mark='"type":"exmail.mail.new"')
    for _ in range(weather.rounds):
        time.sleep(SETTLED_S)
        worker.longest()
        arrived = [edge.count(2**40, patience_s=2.0) for edge in edges]
        began = time.monotonic()
        post(url, "burst", {"n": n})
        pushed_s = time.monotonic() - began
        answers = [wait() for wait in arrived]
        came = sum(answer["frames"] for answer in answers)
        # From the first frame that came to the last.
        took_s = max(answer["seconds"] for answer in answers)
        told = f"{came:,} mails came within {took_s:.2f} s (the provider took {pushed_s:.2f} s to push them)"
        tell(f"a mail for each of {n:,} mailboxes", told, edges, worker)


def mail_for_many(weather: Weather) -> None:
    """A mail comes to a mailbox that very many have open."""
    n, one = weather.some(5000), "many@bench.cn"
    [edge] = weather.edges(1)
    place(weather.client, [one])
    publisher = Publisher(port_of(weather.server))
    weather.fill(edge, n, [one])
    time.sleep(SETTLED_S)
    edge.program.longest()
    medians, latest = [], []
    for seq in range(1, _MAILS + 1):
        arrived = edge.count(n)
        publisher.record(one, seq, event(one, seq, stamp()))
        answer = arrived()
        medians.append(answer["p50_ms"])
        latest.append(answer["p99_ms"])
    middle, last = (sorted(each)[_MAILS // 2] for each in (medians, latest))
    tell(f"a mail for {n:,} connections of one mailbox", f"p50 {middle:.1f} ms, p99 {last:.1f} ms", [edge])


def tell(what: str, how: str, edges: Sequence[Edge], worker: Watched | None = None) -> None:
    """Print a line of the table."""
    stand = max((edge.program.longest() for edge in edges), key=lambda each: each.cpu_ms)
    print(f"| {what} | {how} | {stand} | {'' if worker is None else worker.longest()} |", flush=True)


STORMS: Final[dict[str, Callable[[Weather], None]]] = {
    "back": all_come_back,
    "leave": all_leave,
    "burst": mail_for_all,
    "many": mail_for_many,
}


@contextmanager
def weather(share: float, rounds: int) -> Iterator[Weather]:
    """A Redis of its own, and room for what runs beside it; everything ends with the block."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server, client = stack.enter_context(valkey())
        yield Weather(share, rounds, Path(folder), stack, server, client)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.storm", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of all numbers (1)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each (3)")
    parser.add_argument("--storms", nargs="*", choices=STORMS, default=list(STORMS))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    make_room(int(15_000 * options.share) + 1000)
    print(
        f"{facts()}\n\n| what | how long | edges: longest stand, CPU (wall) | worker |\n|---|---|---|---|", flush=True
    )
    for name in options.storms:
        with weather(options.share, options.rounds) as storm:
            STORMS[name](storm)
    return 0


if __name__ == "__main__":
    sys.exit(main())
