"""``events``: one JSON line an event on standard output, words for people on standard error, a quiet end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bridge import events
from bridge.commands.events import COMMAND, _types
from bridge.events import DIRECTORY, SYSTEM, build_event
from bridge.journal.calls import Announce
from tests.support.stage import KEYS, count, leading_writer, mail
from tests.support.waiting import PATIENCE_S
from tests.support.wrapped import Clock, Require

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def program(*words: str, cwd: Path = ROOT, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "events", *words),
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT), **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await asyncio.wait_for(stream.readline(), PATIENCE_S)).decode()


async def test_events_are_printed_as_they_come(redis_url: str):
    """Each event is one line, the bytes that Redis holds; Ctrl-C ends it with exit code 0 and no traceback."""
    async with leading_writer(redis_url) as (writer, redis), program(BRIDGE_REDIS_URL=redis_url) as following:
        assert "following" in await line(following.stderr)
        await writer.commit([mail("1"), count(0)])
        lines = [await line(following.stdout), await line(following.stdout)]
        assert [json.loads(one)["type"] for one in lines] == ["exmail.mail.new", "exmail.mail.unread"]
        kept = await redis.xrange(KEYS.events)
        assert [one.encode() for one in lines] == [fields[b"event"] + b"\n" for _, fields in kept]
        following.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(following.communicate(), PATIENCE_S)
        assert (following.returncode, out, err) == (0, b"", b"")


async def test_types_choose(redis_url: str):
    """Words choose event types: a channel's name or the beginning of a type."""
    synced = build_event(namespace="exmail", stream=DIRECTORY, type="exmail.directory.synced", time_s=1e9, data={})
    leader = build_event(namespace="exmail", stream=SYSTEM, type="exmail.leader.changed", time_s=1e9, data={})
    async with (
        leading_writer(redis_url) as (writer, _),
        program("directory", "mail.unread", "--since", "0-0", BRIDGE_REDIS_URL=redis_url) as following,
    ):
        await writer.commit([mail("1"), Announce(leader, {}), Announce(synced, {}), count(0)])
        types = [json.loads(await line(following.stdout))["type"] for _ in range(2)]
        assert types == ["exmail.directory.synced", "exmail.mail.unread"]


async def test_since_replays_first(redis_url: str):
    """``--since`` prints what was published since then, and goes on with what comes."""
    async with leading_writer(redis_url) as (writer, _):
        await writer.commit([mail("before")])
        async with program("--since", "10m", BRIDGE_REDIS_URL=redis_url) as following:
            assert '"mail_id":"before"' in await line(following.stdout)
            await writer.commit([mail("after")])
            assert '"mail_id":"after"' in await line(following.stdout)


async def test_how_long_ago_is_counted_by_the_clock_that_stamped_the_events(
    redis_url: str, tmp_path: Path, require_library: Require
) -> None:
    """That of Redis: the operator's own may be an hour ahead."""
    clock = Clock(require_library("libfaketime.so.1"), tmp_path)
    clock.set(3600)
    async with leading_writer(redis_url) as (writer, _):
        await writer.commit([mail("now")])
        words = ("mail.new", "--since", "10m", "--until", "now")
        async with program(*words, BRIDGE_REDIS_URL=redis_url, **clock.environ) as ending:
            out, _ = await asyncio.wait_for(ending.communicate(), PATIENCE_S)
    assert [json.loads(one)["data"]["mail_id"] for one in out.splitlines()] == ["now"]


async def test_whoever_may_not_ask_for_that_clock_has_his_own(redis_url: str) -> None:
    """As the user `reader`, who has no right to ask."""
    at = urlsplit(redis_url)
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail("now")])
        rights = ("on", ">word", "~*", "&*", "+@read", "+@connection", "+info")
        await redis.execute_command("ACL", "SETUSER", "only-reads", "reset", *rights)
        try:
            own = redis_url.replace(f"//{at.netloc}", f"//only-reads:word@{at.netloc}")
            words = ("mail.new", "--since", "10m", "--until", "now")
            async with program(*words, BRIDGE_REDIS_URL=own) as ending:
                out, _ = await asyncio.wait_for(ending.communicate(), PATIENCE_S)
        finally:
            await redis.execute_command("ACL", "DELUSER", "only-reads")
    assert [json.loads(one)["data"]["mail_id"] for one in out.splitlines()] == ["now"]


async def test_until_now_ends_by_itself(redis_url: str):
    """All that is there, more than one answer of Redis holds, and exit code 0; also where nothing is there."""
    async with program("--since", "1h", "--until", "now", BRIDGE_REDIS_URL=redis_url) as nothing:
        assert await asyncio.wait_for(nothing.communicate(), PATIENCE_S) == (b"", b"")
        assert nothing.returncode == 0
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail(str(number)) for number in range(1201)])
        await redis.xdel(KEYS.events, (await redis.xrevrange(KEYS.events, count=1))[0][0])
        async with program("mail.new", "--since", "0-0", "--until", "now", BRIDGE_REDIS_URL=redis_url) as ending:
            out, err = await asyncio.wait_for(ending.communicate(), PATIENCE_S)
    assert (ending.returncode, err) == (0, b"")
    assert [json.loads(one)["data"]["mail_id"] for one in out.splitlines()] == [str(number) for number in range(1200)]


async def test_a_trimmed_stretch_is_told_on_standard_error(redis_url: str):
    """A hole in the stream is named beside the events, not among them."""
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail(str(n)) for n in range(5)])
        await redis.xtrim(KEYS.events, maxlen=1, approximate=False)
        async with program("--since", "0-0", BRIDGE_REDIS_URL=redis_url) as following:
            assert '"mail_id":"4"' in await line(following.stdout)
            assert "following" in await line(following.stderr)
            assert "4 older events are gone" in await line(following.stderr)


async def test_it_waits_for_redis(tmp_path: Path):
    """Where Redis is away the program says so once and waits."""
    async with program(BRIDGE_REDIS_URL=f"unix://{tmp_path}/none.sock") as following:
        assert "waiting for Redis" in await line(following.stderr)
        following.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(following.communicate(), PATIENCE_S)
        assert (following.returncode, out, err) == (0, b"", b"")


async def test_dev_settings(redis_url: str, tmp_path: Path):
    """``--dev`` takes the Redis of the ``dev`` that runs in this folder."""
    (tmp_path / ".dev").mkdir()
    (tmp_path / ".dev" / "bridge.toml").write_text(f'[redis]\nurl = "{redis_url}"\n')
    async with leading_writer(redis_url) as (writer, _), program("--dev", cwd=tmp_path) as following:
        assert "following" in await line(following.stderr)
        await writer.commit([mail("1")])
        assert '"mail_id":"1"' in await line(following.stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mail.old",), "no event is called 'mail.old'; there are mail.new,"),
        (("mail.n",), "no event is called 'mail.n'"),
        (("--until", "now"), "--until now ends before it begins: say with --since what to print"),
        (("--since", "1h", "--until", "1h"), "invalid choice: '1h'"),
        (("--since", "yesterday"), "'yesterday' is neither a duration (10m)"),
    ],
)
async def test_a_wrong_word_is_refused(words: tuple[str, ...], said: str):
    """A type or a time that does not exist is a wrong call, never an empty output."""
    async with program(*words) as refused:
        _, err = await asyncio.wait_for(refused.communicate(), PATIENCE_S)
        assert refused.returncode == 2
        assert said in err.decode()


def test_words_stand_for_types():
    """A whole type, its beginning up to a dot, and ``system`` for the events about the bridge itself."""
    assert _types("mail.new") == _types("exmail.mail.new") == ("exmail.mail.new",)
    assert _types("directory.user") == tuple(
        f"exmail.directory.user.{what}" for what in ("added", "updated", "deleted")
    )
    assert set(_types("system")) == {*_types("upstream"), *_types("leader"), *_types("edge")}
    assert COMMAND.name == "events"


def test_every_type_can_be_chosen():
    """A type that the bridge publishes is never refused as unknown."""
    published = {value for value in vars(events).values() if isinstance(value, str) and value.startswith("exmail.")}
    assert {type for type in published if _types(type) == (type,)} == published


async def test_a_reader_that_leaves_is_no_fault(redis_url: str):
    """``events | head -1`` ends without a traceback."""
    async with leading_writer(redis_url) as (writer, _):
        await writer.commit([mail(str(n)) for n in range(50)])
        command = f"{sys.executable} -m bridge events --since 0-0 | head -n 1"
        shell = await asyncio.create_subprocess_shell(
            command,
            cwd=ROOT,
            env={**os.environ, "BRIDGE_REDIS_URL": redis_url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert shell.stdout is not None
        assert '"mail_id":"0"' in (await asyncio.wait_for(shell.stdout.readline(), PATIENCE_S)).decode()
        # The pipe is found broken at the next event.
        await writer.commit([mail("last")])
        out, err = await asyncio.wait_for(shell.communicate(), PATIENCE_S)
        assert b"Traceback" not in err
        assert b"Exception" not in err
        assert out == b""
