"""``python -m tests.bench``: how fast and how small, on this machine, in about three minutes.

Prints absolute figures; they hold for the machine they were taken on. To compare with another program, run both in
the same quarter of an hour and quote the ratio.
"""

from __future__ import annotations

import argparse
import re
import resource
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from tests.bench.around import leading_worker, port_of, post, provider, redis_cpu, until
from tests.bench.load import stamp
from tests.bench.stage import (
    KEYS,
    MEASURED,
    REST,
    Publisher,
    edge,
    event,
    facts,
    prepare,
    valkey,
)
from tests.bench.stage import subscribers as open_subscribers

ONE = "u0@bench.cn"
_PIECE = 20_000


def broadcast(n: int, *, websocket: bool, events: int) -> str:
    """(a) One event after the other to all subscribers of one mailbox."""
    with valkey() as (server, client), edge(server.tcp_url) as (process, port):
        prepare(client, [ONE] * n)
        publisher = Publisher(port_of(server))
        with open_subscribers(port, n, websocket=websocket) as (count, opened):
            _settle(count)
            answer = count(n * events)
            cpu = process.cpu_s
            for seq in range(1, events + 1):
                # Never far ahead of the edge: a backlog would be joined into fewer, larger writes.
                publisher.publish([(KEYS.mailbox_channel(ONE), event(ONE, seq, stamp()))])
                time.sleep(n / 250_000)
            result = answer()
            cpu = process.cpu_s - cpu
        kind = "WebSocket" if websocket else "SSE"
        return (
            f"{n} {kind}: {result['frames'] / result['seconds']:,.0f} frames/s, {result['frames'] / cpu:,.0f} for each "
            f"CPU second, {_whole(result, n * events)}, {opened['handshakes_s']:,.0f} handshakes/s"
        )


def unicast(n: int, *, events: int) -> list[str]:
    """(b) Each event to one of ``n`` mailboxes, from Redis to the socket; then at half that rate. (c) Memory."""
    with valkey() as (server, client), edge(server.tcp_url) as (process, port):
        mailboxes = [f"u{number}@bench.cn" for number in range(n)]
        prepare(client, mailboxes)
        publisher = Publisher(port_of(server))
        before_kb = process.rss_kb
        with open_subscribers(port, n, websocket=True) as (count, opened):
            _settle(count)
            idle_kb = process.rss_kb
            seqs = [0] * n

            def batch(first: int, size: int) -> list[tuple[str, bytes]]:
                made = []
                for number in range(first, first + size):
                    at = number * 7919 % n
                    seqs[at] += 1
                    made.append((KEYS.mailbox_channel(mailboxes[at]), event(mailboxes[at], seqs[at], stamp())))
                return made

            # In pieces of some MB: Redis cuts a subscriber that has 32 MB waiting, and that is not what is measured.
            seconds, frames, cpu = 0.0, 0.0, process.cpu_s
            for piece in range(0, events, _PIECE):
                answer = count(min(_PIECE, events - piece))
                for first in range(piece, min(piece + _PIECE, events), 200):
                    publisher.publish(batch(first, 200))
                result = answer()
                seconds, frames = seconds + result["seconds"], frames + result["frames"]
            fast = result | {"frames": frames}
            cpu = process.cpu_s - cpu
            rate = frames / seconds
            answer = count(events // 4)
            _paced(events // 4, rate / 2, lambda first, size: publisher.publish(batch(events + first, size)))
            half = answer()
        return [
            f"{rate:,.0f} events/s, {fast['frames'] / cpu:,.0f} for each CPU second, {_whole(fast, events)}",
            f"at half that rate p50 {half['p50_ms']:.2f} ms, p99 {half['p99_ms']:.2f} ms, {_whole(half, events // 4)}",
            f"{(idle_kb - before_kb) / n:.2f} KB RSS for each idle connection of {n}, own mailbox each "
            f"({before_kb / 1024:.0f} MB without any), {opened['handshakes_s']:,.0f} handshakes/s",
        ]


def worker(pushes: int) -> str:
    """(d) From the provider's socket to committed events, one worker."""
    with (
        valkey() as (server, client),
        provider(users=1000) as (url, secret),
        leading_worker(server.tcp_url, url, secret, cores=MEASURED) as process,
    ):
        until(lambda: client.hlen(KEYS.directory) == 1000 and client.hget(KEYS.upstream, "state") == b"connected")
        base = client.xlen(KEYS.events)
        redis_s, cpu, started = redis_cpu(client), process.cpu_s, time.monotonic()
        for _ in range(pushes // 1000):
            post(url, "burst", {"n": 1000})
        until(lambda: client.xlen(KEYS.events) - base >= pushes)
        seconds = time.monotonic() - started
        return (
            f"{pushes / seconds:,.0f} pushes/s, {(process.cpu_s - cpu) / pushes * 1e6:.1f} µs of the worker and "
            f"{(redis_cpu(client) - redis_s) / pushes * 1e6:.1f} µs of Redis for each"
        )


def whole_way(n: int, *, rate: int, seconds: int) -> str:
    """(e) From the push's arrival to the socket write at ``rate`` pushes a second: worker, Redis and edge."""
    with (
        valkey() as (server, client),
        provider(users=n) as (url, secret),
        leading_worker(server.tcp_url, url, secret, cores=REST),
        edge(server.tcp_url) as (process, port),
    ):
        until(lambda: client.hlen(KEYS.directory) == n, within_s=120)
        prepare(client, [alias.decode() for alias in client.hkeys(KEYS.directory)], known_position=False)
        with open_subscribers(port, n, websocket=True) as (count, _):
            _settle(count)
            before = _delivery(process.admin_port)
            post(url, "traffic", {"rate_per_s": rate})
            time.sleep(seconds)
            post(url, "traffic", {"rate_per_s": 0})
            time.sleep(1)
            delivered = {bound: total - before[bound] for bound, total in _delivery(process.admin_port).items()}
            cpu = process.cpu_s
            time.sleep(10)
            idle = (process.cpu_s - cpu) / 10
        p50, p99 = _quantile(delivered, 0.5), _quantile(delivered, 0.99)
        return (
            f"{delivered[float('inf')] / seconds:.0f} events/s to {n} connections: p50 {p50:.1f} ms, p99 {p99:.1f} ms; "
            f"idle afterwards {idle:.1%} of a core"
        )


# ---------------------------------------------------------------------------------------------- pieces


def _paced(events: int, rate: float, send: Callable[[int, int], None]) -> None:
    """Send in small batches, each when it is due."""
    size = max(1, int(rate / 500))
    started = time.monotonic()
    for first in range(0, events, size):
        ahead = started + first / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        send(first, min(size, events - first))


def _settle(count: Callable[..., Any]) -> None:
    """Let the first comparison of tops pass: the bench writes past the journal, which it must not notice."""
    count(1, patience_s=16.0)()


def _delivery(port: int) -> dict[float, float]:
    """Cumulative buckets of the edge's delivery histogram, by their bound in seconds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    found = re.findall(r'^exmail_bridge_delivery_seconds_bucket\{.*\ble="([^"]+)".*\} (\S+)$', page, re.MULTILINE)
    return {float(bound): float(total) for bound, total in found}


def _quantile(buckets: dict[float, float], share: float) -> float:
    """Milliseconds, by straight lines within buckets, as Prometheus does it."""
    wanted = buckets[float("inf")] * share
    low, below = 0.0, 0.0
    for bound, total in sorted(buckets.items()):
        if total >= wanted:
            return 1000 * (low if bound == float("inf") else low + (bound - low) * (wanted - below) / (total - below))
        low, below = bound, total
    return float("nan")


def _whole(result: dict[str, float], frames: int) -> str:
    """Whether everything came; a figure without it would be worth nothing."""
    if result["frames"] == frames and not result["closed"]:
        return "all came"
    return f"MISSING {frames - result['frames']:.0f}, {result['closed']:.0f} CLOSED"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    parser.add_argument(
        "--only", choices="abde", help="one section: a broadcast, b unicast and memory, d worker, e whole way"
    )
    arguments = parser.parse_args()
    scale = 10 if arguments.quick else 1
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 40_000) if hard > 0 else 40_000, hard))
    print(facts())
    print(f"the measured process alone on core {min(MEASURED)}, Redis and the load on {sorted(REST)}\n")
    sections: dict[str, Callable[[], Iterator[str]]] = {
        "a": lambda: (
            broadcast(n // scale, websocket=websocket, events=300_000 // n)
            for n in (1000, 5000)
            for websocket in (True, False)
        ),
        "b": lambda: iter(unicast(10_000 // scale, events=200_000 // scale)),
        "d": lambda: iter([worker(100_000 // scale)]),
        "e": lambda: iter([whole_way(10_000 // scale, rate=200, seconds=20 // (2 if scale > 1 else 1))]),
    }
    titles = {
        "a": "broadcast, one edge process",
        "b": "unicast and memory, one edge process",
        "d": "listen socket to committed events, one worker",
        "e": "push to socket write, worker + Redis + edge",
    }
    for name, run in sections.items():
        if arguments.only in (None, name):
            print(f"{name}) {titles[name]}")
            for line in run():
                print(f"   {line}", flush=True)


if __name__ == "__main__":
    main()
