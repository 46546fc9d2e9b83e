"""What is measured of one version of the bridge, and how: from outside, by command line, sockets and documented keys.

So one harness, this one, can measure a version whose own bench was another. The provider is always simulated by the
working tree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from tests.bench.around import leading_worker, port_of, post, provider, redis_cpu, until
from tests.bench.load import TIME, stamp
from tests.bench.product import HERE, CannotMeasure, Product
from tests.bench.stage import MEASURED, REST, Process, Publisher, edge, event, place, subscribers, valkey

Figures = dict[str, float]
_PIECE: Final = 20_000
_AT_ONCE: Final = 200
_FRAMES_S: Final = 250_000
_PACED_S: Final = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """A figure. ``more`` says whether more of it is better."""

    name: str
    unit: str
    more: bool


ROWS: Final = (
    Row("ws-1000", "frames for each CPU second", more=True),
    Row("sse-1000", "frames for each CPU second", more=True),
    Row("ws-5000", "frames for each CPU second", more=True),
    Row("sse-5000", "frames for each CPU second", more=True),
    Row("unicast", "events for each CPU second", more=True),
    Row("unicast-p50", f"ms at {_PACED_S:,} events/s", more=False),
    Row("unicast-p99", f"ms at {_PACED_S:,} events/s", more=False),
    Row("handshakes", "for each CPU second, a token each", more=True),
    Row("connection", "KB, idle, own mailbox", more=False),
    Row("idle", "µs of CPU a second, an idle connection", more=False),
    Row("edge", "MB without connections", more=False),
    Row("edge-start", "s of CPU until it listens", more=False),
    Row("worker", "pushes/s from the listen socket to committed", more=True),
    Row("worker-cpu", "µs of the worker a push", more=False),
    Row("redis-cpu", "µs of Redis a push", more=False),
    Row("way-p50", "ms from push to socket at 200 a second", more=False),
    Row("way-p99", "ms from push to socket at 200 a second", more=False),
)
_OF_UNICAST: Final = ("unicast", "unicast-p50", "unicast-p99", "handshakes", "connection", "idle", "edge", "edge-start")
_OF_BROADCAST: Final = ("ws-1000", "sse-1000", "ws-5000", "sse-5000")
_OF_WORKER: Final = ("worker", "worker-cpu", "redis-cpu")
_OF_WAY: Final = ("way-p50", "way-p99")
_PARTS: Final = (_OF_UNICAST, *((name,) for name in _OF_BROADCAST), _OF_WORKER, _OF_WAY)


Around = Callable[[int], AbstractContextManager[None]]
"""What is done with a process (its pid) while it is under full load."""


def _nothing(_pid: int) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything: ``seconds`` for a row, of which less is noisier, and ``share`` of the connections."""

    seconds: float = 1.0
    share: float = 1.0

    def connections(self, n: int) -> int:
        return max(10, int(n * self.share))


def chosen(patterns: Sequence[str]) -> tuple[Row, ...]:
    """The rows whose names match one of the patterns (``ws-*``), all without any.

    Raises:
        CannotMeasure: one of them matches nothing.
    """
    for pattern in patterns:
        if not any(fnmatchcase(row.name, pattern) for row in ROWS):
            raise CannotMeasure(f"{pattern!r} is no row; there are {', '.join(row.name for row in ROWS)}")
    return tuple(row for row in ROWS if not patterns or any(fnmatchcase(row.name, pattern) for pattern in patterns))


def parts(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows, those together that are measured together: some seconds to half a minute each."""
    found = ([row for row in rows if row.name in names] for names in _PARTS)
    return [part for part in found if part]


def descriptors(rows: Sequence[Row], scale: Scale) -> int:
    """How many one process needs at once."""
    most = max((int(row.name.partition("-")[2]) for row in rows if row.name in _OF_BROADCAST), default=0)
    if any(row.name in _OF_UNICAST for row in rows):
        most = 10_000
    if any(row.name in _OF_WAY for row in rows):
        most = max(most, 2000)
    return scale.connections(most) + 200


def measure(product: Product, rows: Sequence[Row], scale: Scale) -> Figures:
    """Each of these rows, once.

    Raises:
        CannotMeasure: something did not start, or not everything came: a figure without it would be worth nothing.
    """
    wanted = {row.name for row in rows}
    found = _of_edges(product, wanted, scale)
    if wanted & {*_OF_WORKER}:
        found |= _worker(product, scale)
    if wanted & {*_OF_WAY}:
        found |= _whole_way(product, scale)
    return {name: value for name, value in found.items() if name in wanted}


def _of_edges(product: Product, wanted: set[str], scale: Scale) -> Figures:
    """Edges without a worker, each with a Redis of its own."""
    found: Figures = {}
    if wanted & {*_OF_UNICAST}:
        with valkey() as (server, client), edge(server.tcp_url, product) as (process, port):
            found |= _unicast(process, port, client, Publisher(port_of(server)), scale)
    for name in _OF_BROADCAST:
        if name in wanted:
            with valkey() as (server, client), edge(server.tcp_url, product) as (process, port):
                found[name] = _broadcast(name, process, port, client, Publisher(port_of(server)), scale)
    return found


def _broadcast(name: str, process: Process, port: int, client: Any, publisher: Publisher, scale: Scale) -> float:
    kind, _, size = name.partition("-")
    n, one = scale.connections(int(size)), f"{name}@bench.cn"
    place(client, [one])
    with subscribers(port, n, websocket=kind == "ws", mailboxes=[one]) as (count, _):

        def send(seq: int) -> None:
            publisher.record(one, seq, event(one, seq, stamp()))

        return broadcast(name, process, count, send, n, scale)


def broadcast(
    name: str, process: Process, count: Callable[..., Any], send: Callable[[int], None], n: int, scale: Scale
) -> float:
    """One event after the other to all subscribers, each when the one before has come everywhere: what waits would be
    joined into fewer, larger writes. Frames for each CPU second."""
    events = max(3, int(_FRAMES_S * scale.seconds / n))
    cpu = process.cpu_s
    for seq in range(1, events + 1):
        answer = count(n)
        send(seq)
        _all_came(name, answer(), n)
    return n * events / (process.cpu_s - cpu)


def _unicast(
    process: Process, port: int, client: Any, publisher: Publisher, scale: Scale, around: Around = _nothing
) -> Figures:
    """Connections with a mailbox each: opened, idle, then each event to one of them, fast and at a rate."""
    n = scale.connections(10_000)
    mailboxes = [f"u{number}@bench.cn" for number in range(n)]
    place(client, mailboxes)
    alone_kb, cpu = process.rss_kb, process.cpu_s
    with subscribers(port, n, websocket=True, mailboxes=mailboxes) as (count, _):
        handshakes = n / (process.cpu_s - cpu)
        idle_kb = process.rss_kb
        idle_s = 5 * scale.seconds
        # Whoever answers no ping is cut, and the client answers them while it counts.
        count(1, patience_s=process.unsettled_s(idle_s + 2 * scale.seconds))()
        cpu = process.cpu_s
        count(1, patience_s=idle_s)()
        idle = (process.cpu_s - cpu) / idle_s / n * 1e6
        seqs = [0] * n

        def send(first: int, size: int) -> None:
            made = []
            for number in range(first, first + size):
                at = number * 7919 % n
                seqs[at] += 1
                made.append((_channel(mailboxes[at]), event(mailboxes[at], seqs[at], stamp())))
            publisher.publish(made)

        with around(process.pid):
            fast = unicast("unicast", process, count, send, scale)
        events = unicast_events(scale)
        paced = int(_PACED_S * scale.seconds)
        answer = count(paced)
        send_paced(paced, _PACED_S, lambda first, size: send(events + first, size))
        half = answer()
        _all_came("unicast-p99", half, paced)
    return {
        "unicast": fast,
        "unicast-p50": half["p50_ms"],
        "unicast-p99": half["p99_ms"],
        "handshakes": handshakes,
        "connection": (idle_kb - alone_kb) / n,
        "idle": idle,
        "edge": alone_kb / 1024,
        "edge-start": process.ready_cpu_s,
    }


def unicast_events(scale: Scale) -> int:
    return int(50_000 * scale.seconds)


def unicast(
    name: str, process: Process, count: Callable[..., Any], send: Callable[[int, int], None], scale: Scale
) -> float:
    """Each event to one subscriber, as fast as it goes; ``send`` takes the number of the first and how many. Events for
    each CPU second."""
    events = unicast_events(scale)
    cpu = process.cpu_s
    # In pieces of some MB: Redis cuts a subscriber that has 32 MB waiting, and that is not what is measured.
    for piece in range(0, events, _PIECE):
        size = min(_PIECE, events - piece)
        answer = count(size)
        for first in range(piece, piece + size, _AT_ONCE):
            send(first, min(_AT_ONCE, piece + size - first))
        _all_came(name, answer(), size)
    return events / (process.cpu_s - cpu)


def _worker(product: Product, scale: Scale, around: Around = _nothing) -> Figures:
    """From the provider's socket to committed events, one worker.

    It stands still until all pushes wait in that socket and behind it: to make them takes the provider as long as to
    commit them takes Redis, and both share a core.
    """
    users, bursts = scale.connections(1000), max(1, int(40 * scale.seconds))
    with (
        valkey() as (server, client),
        provider(users=users) as (url, secret),
        leading_worker(server.tcp_url, url, secret, cores=MEASURED, product=product) as process,
    ):
        until(lambda: _follows(client, users), within_s=120)
        base = client.xlen("{exmail}:events")
        pushes = bursts * 1000
        with around(process.pid):
            with process.stopped():
                for _ in range(bursts):
                    post(url, "burst", {"n": 1000})
                redis_s, cpu, started = redis_cpu(client), process.cpu_s, time.monotonic()
            until(lambda: client.xlen("{exmail}:events") - base >= pushes)
        return {
            "worker": pushes / (time.monotonic() - started),
            "worker-cpu": (process.cpu_s - cpu) / pushes * 1e6,
            "redis-cpu": (redis_cpu(client) - redis_s) / pushes * 1e6,
        }


def edge_under_load(scale: Scale, around: Around) -> None:
    """Each event to one of its subscribers, as fast as it goes."""
    with valkey() as (server, client), edge(server.tcp_url) as (process, port):
        _unicast(process, port, client, Publisher(port_of(server)), scale, around)


def worker_under_load(scale: Scale, around: Around) -> None:
    """Pushes as fast as it takes them."""
    _worker(HERE, scale, around)


def _whole_way(product: Product, scale: Scale) -> Figures:
    """From the push's arrival to the browser's socket: worker, Redis and edge.

    The edge's own histogram would not do: it has no bound between 2.5 and 5 ms, and ten of a thousand mails decide.
    """
    n, events = scale.connections(2000), int(1000 * scale.seconds)
    with (
        valkey() as (server, client),
        provider(users=n) as (url, secret),
        leading_worker(server.tcp_url, url, secret, cores=REST, product=product),
        edge(server.tcp_url, product) as (_, port),
    ):
        until(lambda: _follows(client, n), within_s=120)
        mailboxes = [alias.decode() for alias in client.hkeys("{exmail}:directory")]
        with subscribers(port, n, websocket=True, mailboxes=mailboxes, mark=TIME.decode()) as (count, _):
            answer = count(events)
            post(url, "traffic", {"rate_per_s": 200})
            found = answer()
    if found["frames"] < events or found["closed"]:
        raise CannotMeasure(f"way-p99: {found['frames']:.0f} of {events} came, {found['closed']:.0f} were closed")
    return {"way-p50": found["p50_ms"], "way-p99": found["p99_ms"]}


def _follows(client: Any, users: int) -> bool:
    connected = client.hget("{exmail}:upstream", "state") == b"connected"
    return bool(connected and client.hlen("{exmail}:directory") == users)


def _channel(mailbox: str) -> str:
    return f"exmail:mailbox:{mailbox}"


def _all_came(name: str, result: Figures, frames: int) -> None:
    if result["frames"] != frames or result["closed"]:
        missing = frames - result["frames"]
        raise CannotMeasure(f"{name}: {missing:.0f} of {frames} frames are missing, {result['closed']:.0f} were closed")


def send_paced(events: int, rate: float, send: Callable[[int, int], None]) -> None:
    """Send in small batches, each when it is due."""
    size = max(1, int(rate / 500))
    started = time.monotonic()
    for first in range(0, events, size):
        ahead = started + first / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        send(first, min(size, events - first))
