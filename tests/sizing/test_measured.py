"""The table of what was measured: it stands where it is said to, and its bytes are measured again."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.writer import Writer
from bridge.simulator import World
from bridge.sizing.corporation import Corporation
from bridge.sizing.measured import MEASURED, Measured
from bridge.sizing.memory import redis_memory
from tests.bench.sizing import PAGE, as_code, as_rows
from tests.support.processes import ROOT, Program, free_port, program
from tests.support.redis_bytes import KEYS, bytes_in_redis, counts, mails, used_by
from tests.support.stage import SECRET, token
from tests.support.waiting import PATIENCE_S

COARSE = 1.5
FIRST, MORE = 300, 500
UPGRADE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
)


def near(found: float, known: float) -> bool:
    return known / COARSE <= found <= known * COARSE


def test_the_table_stands_in_the_code_and_on_the_page_as_it_is_printed() -> None:
    """Whoever measures anew puts it in two places, and nothing is computed from a third."""
    assert as_code(MEASURED) in (ROOT / "bridge/sizing/measured.py").read_text()
    assert as_rows(MEASURED) in (ROOT / "docs/performance.md").read_text()
    assert [name for _, name in PAGE] == [each.name for each in fields(Measured)]
    explained = Measured.__doc__ or ""
    assert not [
        name
        for name in asdict(MEASURED)
        if not any(f"``{word}" in explained for word in (name, f"{name.split('_')[0]}_…"))
    ]


async def test_what_is_kept_in_redis_takes_as_much_as_is_said(redis_url: str) -> None:
    """Each thing that the writer writes, by MEMORY USAGE."""
    async with RedisAddress(redis_url).client() as redis:
        found = await bytes_in_redis(redis, mailboxes=60, accounts=800)
    wrong = {
        name: (size, getattr(MEASURED, name)) for name, size in found.items() if not near(size, getattr(MEASURED, name))
    }
    assert not wrong
    assert set(found) > {"account", "alias", "mailbox", "history", "mail_in_history", "count_in_stream", "seen_mail"}


async def test_a_corporation_takes_as_much_as_is_computed(redis_url: str) -> None:
    """A small one with full histories: what all its mailboxes and the stream take together."""
    accounts, each = 20, 120
    async with RedisAddress(redis_url).client() as redis:
        client: Any = redis
        retention = Retention(history_events=200, events_max=1000)
        writer = Writer(redis, KEYS, lease_s=60, retention=retention)
        assert await writer.claim() is not None
        world = World(7, users=accounts)
        for name in world.accounts:
            pairs = zip(mails(world, each, name), counts(name, each), strict=True)
            await writer.commit([call for pair in pairs for call in pair])
        taken = sum([await used_by(redis, key.decode()) for key in await client.keys("*")])
    of = Corporation(
        accounts=accounts, online=0, mails=each, history_events=200, events_max=1000, audit_max=0, dead_max=0
    )
    need = redis_memory(of)
    # Ids are remembered for seven days, of which this is the first; the directory is not filled here.
    computed = need.mailboxes + need.histories + need.seen / 7 + need.stream
    assert near(taken, computed), (taken, computed)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell")
async def test_an_idle_connection_takes_as_much_as_is_said(redis_url: str) -> None:
    """Of the memory of an edge process: what the last of some hundred connections added, each to its own mailbox."""
    where = f"127.0.0.1:{free_port()}"
    environ = {
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_EDGE_JWT_SECRET": SECRET,
        "BRIDGE_EDGE_LISTEN": where,
        "BRIDGE_EDGE_ADMIN_LISTEN": "127.0.0.1:0",
        "BRIDGE_EDGE_DRAIN": "0",
        "BRIDGE_EDGE_HANDSHAKE_RATE": "0",
    }
    async with program("edge", environ=environ) as edge:
        await edge.ready()
        open_: list[socket.socket] = []
        try:
            await asyncio.to_thread(browsers, where, FIRST, open_)
            before = resident(edge)
            await asyncio.to_thread(browsers, where, MORE, open_)
            grown = resident(edge) - before
        finally:
            for each in open_:
                each.close()
    assert near(grown / MORE, MEASURED.connection), grown / MORE
    assert near(before - FIRST * MEASURED.connection, MEASURED.edge_process), before


def browsers(where: str, more: int, there: list[socket.socket]) -> None:
    """So many more, each with its snapshot."""
    host, _, port = where.rpartition(":")
    for number in range(len(there), len(there) + more):
        sock = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        there.append(sock)
        bearer = token(f"u{number}@gzdev.com")
        sock.sendall(f"GET /ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n{UPGRADE}\r\n\r\n".encode())
        got = b""
        while b"exmail.snapshot" not in got:
            piece = sock.recv(65_536)
            assert piece, got
            got += piece


def resident(process: Program) -> int:
    """Resident memory in bytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024
