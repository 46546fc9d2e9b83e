"""A worker on a Redis whose users are those of an earlier release: it says what is missing, and touches nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.simulator import Simulator, World
from tests.support.guarded import Guarded
from tests.support.processes import program, worker_environ
from tests.support.stage import KEYS


@pytest.mark.parametrize("key", [KEYS.owed, KEYS.moved, KEYS.doubted, KEYS.ver_next, KEYS.orders_taken])
async def test_a_worker_says_which_right_it_lacks(tmp_path: Path, key: str) -> None:
    """One line, with the keys and where the lines for them are; it is started again, and works once they are loaded."""
    with Guarded(tmp_path) as guarded:
        text = guarded.file.read_text()
        assert f" ~{key} " in text
        guarded.file.write_text(text.replace(f" ~{key} ", " "))
        with guarded.client("admin") as admin:
            admin.acl_load()
            async with await Simulator.start(World(7, users=3)) as provider:
                environ = worker_environ(guarded.server.url, provider) | guarded.settings("worker")
                async with program("worker", environ=environ) as run:
                    assert await run.ended() == 1
                    [line] = [each for each in run.lines if "lacks a right" in str(each)]
            assert key in str(line)
            assert "deploy/redis/users.acl" in str(line)
            assert not admin.exists(KEYS.lease, KEYS.directory)
