"""``deploy/redis/users.acl`` over a restart: what scripts wrote is replayed as the default user."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import redis as redis_sync
from redis.exceptions import AuthenticationError

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import find_bundled_binary
from bridge.journal.writer import Writer
from tests.support.guarded import Guarded
from tests.support.stage import KEYS, mail

SERVERS = {name: shutil.which(name) for name in ("redis-server", "valkey-server")}


@pytest.mark.parametrize("name", [*SERVERS, "embedded"])
async def test_what_was_written_is_there_after_a_restart(tmp_path: Path, name: str) -> None:
    """With an append-only file; and whoever has no password still gets no answer."""
    found = SERVERS.get(name)
    binary = Path(found) if found else find_bundled_binary() if name == "embedded" else None
    if binary is None:
        pytest.skip(f"apt install {name}")
    with Guarded(tmp_path, binary) as guarded:
        redis = RedisAddress(guarded.server.url, username="worker", password=lambda: "password of worker").client()
        writer = Writer(redis, KEYS, lease_s=60, retention=Retention())
        assert await writer.claim() is not None
        for number in range(20):
            await writer.commit([mail(f"Z{number}")])
        await redis.aclose()
        guarded.restart()
        with guarded.client("admin") as admin:
            assert admin.xlen(KEYS.events) == 20
            assert admin.get(KEYS.commits) == b"20"
        with redis_sync.Redis.from_url(guarded.server.url) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
