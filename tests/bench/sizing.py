"""``python -m tests.bench.sizing``: measure what :mod:`bridge.sizing.measured` knows, and print it as it stands there.

Everything is measured so many times, each time with new processes, and the middle value is taken. Bytes hold for any
machine; times hold for this one, and rise where others use its cores.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import socket
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bridge.journal.connect import RedisAddress
from bridge.sizing.measured import Measured
from tests.bench.around import leading_worker, port_of, post, provider, redis_cpu, until
from tests.bench.load import stamp
from tests.bench.stage import KEYS, REST, Publisher, edge, event, facts, prepare, subscribers, valkey
from tests.bench.stage import MEASURED as ALONE
from tests.support.redis_bytes import bytes_in_redis

PAGE: Final = (
    ("an empty Redis", "redis_empty"),
    ("an account in the directory", "account"),
    ("an alias (别名) of one", "alias"),
    ("a mailbox: count and position", "mailbox"),
    ("the history of a mailbox, beside its events", "history"),
    ("the JSON of an event: a mail", "mail_event"),
    ("the JSON of an event: a count", "count_event"),
    ("a mail in its mailbox's history", "mail_in_history"),
    ("a count in its mailbox's history", "count_in_history"),
    ("a mail in the stream of all events", "mail_in_stream"),
    ("a count in the stream of all events", "count_in_stream"),
    ("a MailId that is remembered", "seen_mail"),
    ("a click that is recorded", "click"),
    ("an edge process without browsers", "edge_process"),
    ("a connection that is open, own mailbox", "connection"),
    ("a connection that comes, of the edge", "opening_cpu_us"),
    ("a connection that comes, asked of Redis", "opening_commands"),
    ("an event handed to one connection", "frame_cpu_us"),
    ("an idle connection, of the edge, each second", "idle_cpu_us"),
    ("an idle connection, asked of Redis, each second", "idle_commands"),
    ("an idle connection, of Redis, each second", "idle_redis_us"),
    ("an idle connection, sent to it, each second", "idle_bytes"),
    ("a worker without accounts", "worker_process"),
    ("an account in the worker", "account_in_worker"),
    ("a push, of the worker", "push_cpu_us"),
    ("a push, of Redis", "push_redis_us"),
    ("a push, asked of Redis", "push_commands"),
)
"""What each figure is called in docs/performance.md."""
_PIECE = 200
_WATCHED = 20
_IDLE_S = 50.0
"""Two heartbeats, and three comparisons of positions."""


def in_redis() -> dict[str, float]:
    """What an empty server takes, and each thing that is kept in it: the mean of the servers that this machine has,
    because a newer Valkey needs some 70 bytes a key fewer than others."""
    found = [one for one in map(shutil.which, ("valkey-server", "redis-server")) if one is not None]
    each = [in_one(Path(one)) for one in found] or [in_one(None)]
    return {name: statistics.mean(one[name] for one in each) for name in each[0]}


def in_one(binary: Path | None) -> dict[str, float]:
    """The same of one server."""
    with valkey(binary) as (server, client):
        empty = float(client.info("memory")["used_memory"])

        async def fill() -> dict[str, float]:
            redis = RedisAddress(server.tcp_url).client()
            try:
                return await bytes_in_redis(redis, mailboxes=500, accounts=2000)
            finally:
                await redis.aclose()

        return {"redis_empty": empty, **asyncio.run(fill())}


def of_an_edge(n: int) -> dict[str, float]:
    """One edge process with ``n`` connections to a mailbox each: openings, nothing, one mail after the other."""
    with valkey() as (server, client), edge(server.tcp_url) as (process, port):
        mailboxes = [f"u{number}@bench.cn" for number in range(n + _WATCHED)]
        prepare(client, mailboxes)
        before_kb, cpu, commands = process.rss_kb, process.cpu_s, _commands(client)
        with subscribers(port, n, websocket=True) as (count, _):
            found = {
                "edge_process": before_kb * 1024.0,
                "connection": (process.rss_kb - before_kb) * 1024 / n,
                "opening_cpu_us": (process.cpu_s - cpu) / n * 1e6,
                "opening_commands": (_commands(client) - commands) / n,
            }
            count(1, patience_s=16.0)()  # the first comparison of positions: what is published here is in no journal
            cpu, commands, redis_s, started = process.cpu_s, _commands(client), redis_cpu(client), time.monotonic()
            reading = count(1, patience_s=_IDLE_S + 5)  # whoever answers no ping is cut
            found["idle_bytes"] = _heard_while_idle(port, n)
            seconds = time.monotonic() - started
            found["idle_cpu_us"] = (process.cpu_s - cpu) / seconds / n * 1e6
            found["idle_commands"] = (_commands(client) - commands) / seconds / n
            found["idle_redis_us"] = (redis_cpu(client) - redis_s) / seconds / n * 1e6
            reading()
            publisher, frames = Publisher(port_of(server)), 2 * n
            answer, cpu = count(frames), process.cpu_s
            for first in range(0, frames, _PIECE):
                publisher.publish(
                    [
                        (KEYS.mailbox_channel(mailboxes[at % n]), event(mailboxes[at % n], 1 + at // n, stamp()))
                        for at in range(first, min(first + _PIECE, frames))
                    ]
                )
            got = answer()
            if got["frames"] != frames:
                raise SystemExit(f"{frames - got['frames']:.0f} frames are missing")
            found["frame_cpu_us"] = (process.cpu_s - cpu) / frames * 1e6
            return found


def _heard_while_idle(port: int, n: int) -> float:
    """What a connection on which nothing happens is sent, in bytes a second, WebSocket frames only."""
    socks = []
    for number in range(n, n + _WATCHED):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(
            b"GET /ws?ticket=B%d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n" % number
        )
        socks.append(sock)
    time.sleep(1.0)
    for sock in socks:
        while b"exmail.snapshot" not in sock.recv(65_536):
            pass
    heard, started = 0, time.monotonic()
    while time.monotonic() - started < _IDLE_S:
        for sock in socks:
            sock.settimeout(0.05)
            try:
                got = sock.recv(65_536)
            except TimeoutError:
                continue
            heard += len(got)
            if b"\x89\x00" in got:
                sock.sendall(b"\x8a\x80\x00\x00\x00\x00")
    for sock in socks:
        sock.close()
    return heard / _WATCHED / _IDLE_S


def of_a_worker(pushes: int) -> dict[str, float]:
    """One worker: what it takes alone and for each account, and what a push costs it and Redis."""
    found: dict[str, float] = {}
    sizes: dict[int, float] = {}
    for users in (500, 4000):
        with (
            valkey() as (server, client),
            provider(users=users) as (url, secret),
            leading_worker(server.tcp_url, url, secret, cores=ALONE) as process,
        ):
            until(
                lambda users=users, client=client: (  # type: ignore[misc]
                    client.hlen(KEYS.directory) == users and client.hget(KEYS.upstream, "state") == b"connected"
                ),
                within_s=120,
            )
            sizes[users] = process.rss_kb * 1024.0
            if users != 500:
                continue
            base, cpu = client.xlen(KEYS.events), process.cpu_s
            redis_s, commands = redis_cpu(client), _commands(client)
            for _ in range(pushes // 1000):
                post(url, "burst", {"n": 1000})
            until(lambda client=client, base=base: client.xlen(KEYS.events) - base >= pushes)  # type: ignore[misc]
            found["push_cpu_us"] = (process.cpu_s - cpu) / pushes * 1e6
            found["push_redis_us"] = (redis_cpu(client) - redis_s) / pushes * 1e6
            found["push_commands"] = (_commands(client) - commands) / pushes
    found["account_in_worker"] = (sizes[4000] - sizes[500]) / 3500
    found["worker_process"] = sizes[500] - 500 * found["account_in_worker"]
    return found


def _commands(client: Any) -> float:
    return float(client.info("stats")["total_commands_processed"])


def middle(rounds: list[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def as_code(measured: Measured) -> str:
    """The table as it stands in the code."""
    rows = (f"    {name}={_figure(value, '_')},\n" for name, value in asdict(measured).items())
    return f"MEASURED: Final = Measured(\n{''.join(rows)})"


def as_rows(measured: Measured) -> str:
    """The table as it stands on the page: a row for each figure, in its unit."""
    return "\n".join(f"| {meaning} | {_figure(getattr(measured, name))} {_unit(name)} |" for meaning, name in PAGE)


def _figure(value: float, thousands: str = ",") -> str:
    return f"{value:{thousands}.0f}" if value >= 100 else f"{value:g}"


def _unit(name: str) -> str:
    return "µs" if name.endswith("_us") else "commands" if name.endswith("_commands") else "bytes"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sizing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--pushes", type=int, default=20_000)
    arguments = parser.parse_args()
    print(f"# {facts()}; the middle of {arguments.rounds} rounds; {sorted(REST)} for Redis and the load")
    rounds: list[Mapping[str, float]] = []
    for number in range(arguments.rounds):
        rounds.append({**in_redis(), **of_an_edge(arguments.connections), **of_a_worker(arguments.pushes)})
        print(f"# round {number + 1}: { ({name: round(value, 2) for name, value in rounds[-1].items()}) }", flush=True)
    measured = Measured(**{name: _rounded(value) for name, value in middle(rounds).items()})
    print(as_code(measured), as_rows(measured), sep="\n\n")


def _rounded(value: float) -> float:
    """Two digits that count: more would promise what the next machine does not keep."""
    return float(f"{value:.2g}")


if __name__ == "__main__":
    main()
