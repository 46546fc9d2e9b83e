"""``kick``: an operator ends connections on every edge."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.support.browser_side import open_sse, open_ws
from tests.support.stage import BOB, KEYS, bearer, leading_writer, mail, running_edge
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


async def kick(url: str, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the program."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "kick", *words),
        cwd=ROOT,
        env=environ | {"BRIDGE_REDIS_URL": url, "BRIDGE_EDGE_KICK_SECONDS": "600"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode or 0, out.decode(), error.decode()


async def test_a_mailbox_or_a_session_is_ended(redis_url: str) -> None:
    """A mailbox alone bars nobody; a session is kept out as long as is set, and the answer says so."""
    async with leading_writer(redis_url) as (writer, redis), running_edge(redis_url) as (url, _):
        async with await open_ws(url, **bearer(sid="s-1")) as first, await open_sse(url, **bearer(sid="s-2")) as second:
            await first.frame()
            await second.frame()
            code, out, _ = await kick(redis_url, "--sid", "s-1")
            assert (code, "600 s" in out) == (0, True)
            assert await first.end() == 3503
            await writer.commit([mail("Z1")])
            assert len(await second.events(1)) == 1
            code, out, _ = await kick(redis_url, BOB)
            assert (code, "may come back" in out) == (0, True)
            assert await second.end() == 3503
        assert set(await redis.zrange(KEYS.kicked, 0, -1)) == {b"sid:s-1", f"mailbox:{BOB}".encode()}


@pytest.mark.parametrize("words", [(), ("nobody",), ("--sid", "")])
async def test_a_kick_of_nobody_in_particular_is_a_wrong_call(words: tuple[str, ...]) -> None:
    """Exit code 2, one line, and nothing is asked of Redis."""
    code, _, error = await kick("unix:///nowhere", *words)
    assert code == 2
    assert "MAILBOX" in error
