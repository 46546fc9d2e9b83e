"""The worker as a program: how it starts, waits, refuses and ends."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Kind, Simulator
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import BOB, KEYS, WAIT_S, Told, worker_program


def lines(folder: Path) -> list[dict[str, Any]]:
    """What the program has logged, as far as it is whole lines of JSON."""
    text = (folder / "worker.log").read_text()
    return [orjson.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]


def said(folder: Path, message: str) -> list[dict[str, Any]]:
    return [line for line in lines(folder) if message in line.values()]


def readyz(folder: Path) -> tuple[int, str]:
    """Status and text of the worker's ``/readyz``."""
    [opened] = said(folder, "admin port open")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{opened['port']}/readyz", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
async def told(own_server: EmbeddedServer) -> AsyncIterator[Told]:
    client = RedisAddress(own_server.url).client(timeout_s=PATIENCE_S)
    yield Told(client)
    await client.aclose()


async def test_a_worker_waits_for_redis_and_says_so(
    own_server: EmbeddedServer, simulator: Simulator, told: Told, tmp_path: Path
) -> None:
    """Started first: 503 meanwhile, then it leads; SIGTERM ends it with 0 and the lease released."""
    own_server.kill()
    with worker_program(tmp_path, own_server.url, simulator) as program:
        await until(lambda: bool(said(tmp_path, "waiting for Redis")))
        status, why = readyz(tmp_path)
        assert status == 503
        assert "Redis" in why
        own_server.restart()
        await told.redial()
        await told.wait("leader.changed")
        await until(lambda: readyz(tmp_path)[0] == 200)
        await told.wait("directory.synced")
        own_server.kill()
        await until(lambda: readyz(tmp_path)[0] == 503)
        assert program.poll() is None
        own_server.restart()
        await told.redial()
        await until(lambda: readyz(tmp_path)[0] == 200)
        program.send_signal(signal.SIGTERM)
        assert program.wait(WAIT_S) == 0
    assert not await told.redis.exists(KEYS.lease)
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


async def test_a_wrong_password_is_one_clear_line(
    own_server: EmbeddedServer, simulator: Simulator, told: Told, tmp_path: Path
) -> None:
    """Waiting would not mend it; the password itself is not in the line."""
    await told.redis.execute_command("ACL", "SETUSER", "worker", "on", ">right", "~*", "&*", "+@all")
    given = {"BRIDGE_REDIS_USERNAME": "worker", "BRIDGE_REDIS_PASSWORD": "amiss"}
    with worker_program(tmp_path, own_server.url, simulator, **given) as program:
        assert program.wait(PATIENCE_S) == 1
    line = orjson.loads((tmp_path / "worker.log").read_text().splitlines()[-1])["why"]
    assert line.startswith("Redis will not do: ")
    assert "password" in line
    assert "too old" not in line
    assert "amiss" not in line


async def test_a_standby_is_ready_too(
    own_server: EmbeddedServer, simulator: Simulator, told: Told, tmp_path: Path
) -> None:
    """Ready means that it could take over, not that it leads."""
    await told.redis.set(KEYS.lease, "7:another", px=600_000)
    with worker_program(tmp_path, own_server.url, simulator):
        await until(lambda: bool(said(tmp_path, "admin port open")))
        await until(lambda: readyz(tmp_path)[0] == 200)
        assert simulator.calls.count("listen") == 0
        assert await told.events() == []


async def test_a_leader_that_is_deaf_to_the_provider_is_not_ready(
    own_server: EmbeddedServer, simulator: Simulator, told: Told, tmp_path: Path
) -> None:
    """The connection is open and brings nothing: 503 says so, until it does again; ``system`` tells it too."""
    with worker_program(tmp_path, own_server.url, simulator, BRIDGE_PROVIDER_LISTEN_SILENCE="2"):
        await told.wait("upstream.connected")
        await until(lambda: readyz(tmp_path)[0] == 200)
        simulator.faults.on(Kind.SILENT, endpoint="listen")
        await told.wait("upstream.degraded")

        def deaf() -> bool:
            status, why = readyz(tmp_path)
            return status == 503 and "deaf" in why

        # The session is ended as soon, and the next one is deaf too.
        await until(deaf)
        simulator.faults.clear()
        simulator.world.deliver_mail(BOB)
        await until(lambda: readyz(tmp_path)[0] == 200)
