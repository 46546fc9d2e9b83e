"""A key that concerns everybody and is of another type: it costs what needs it, and is named."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bridge.journal.errors import JournalSpoilt
from bridge.journal.layout import _TYPES, refuse_other_types
from bridge.journal.mirror import Mirror
from bridge.journal.opened import Opened
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.standing import Asker, Standings
from bridge.journal.writer import Writer
from bridge.simulator import Simulator, World
from tests.support.processes import edge_environ, free_port, program, worker_environ

from .conftest import BOB, KEYS, mail

ALL = [name for names in _TYPES.values() for name in names]


async def spoil(redis: Any, key: str) -> None:
    """Make it a list, which none of ours is."""
    await redis.delete(key)
    await redis.rpush(key, "odd")


@pytest.mark.parametrize("key", [KEYS.upstream, KEYS.directory, KEYS.wanted])
async def test_what_only_tells_something_besides_costs_nobody(
    writer: Writer, redis: Any, reader: Reader, key: str
) -> None:
    """A mailbox is opened and has its events; what is not known is left out."""
    await writer.commit([mail("Z1", 5)])
    await spoil(redis, key)
    [opened] = await reader.open_each([OpenRequest(BOB, ask=True)])
    assert isinstance(opened, Opened)
    assert (opened.unread, len(opened.events)) == (5, 1)
    assert (await reader.upstream()).state == "disconnected"


@pytest.mark.parametrize("key", [KEYS.slaves, KEYS.barred, KEYS.generation])
async def test_without_what_judges_nobody_is_let_in(writer: Writer, redis: Any, reader: Reader, key: str) -> None:
    """Who it is, whether he may, which history holds: not known, and the fault names the key."""
    await writer.commit([mail("Z1", 5)])
    await spoil(redis, key)
    [answer] = await reader.open_each([OpenRequest(BOB)])
    assert isinstance(answer, JournalSpoilt)
    assert key in str(answer)
    assert "concerns everybody" in str(answer)
    with pytest.raises(JournalSpoilt, match=key.replace("{", "[{]")):
        await reader.page(BOB, after=None, limit=5)


@pytest.mark.parametrize("key", [KEYS.slaves, KEYS.barred, KEYS.moved, KEYS.kicked])
async def test_a_look_names_it_too(writer: Writer, redis: Any, key: str) -> None:
    """Each door asks how somebody stands now."""
    await spoil(redis, key)
    with pytest.raises(JournalSpoilt, match=key.replace("{", "[{]")):
        await Standings(redis, KEYS).look([Asker(BOB, "s")])


@pytest.mark.parametrize("name", ALL)
async def test_a_leader_and_the_commands_say_which_it_is(redis: Any, name: str) -> None:
    """In one line with what to do; whoever finds all as it should be goes on."""
    await refuse_other_types(redis, KEYS)
    key = getattr(KEYS, name)
    await spoil(redis, key)
    for check in (Mirror(redis, KEYS).check(), refuse_other_types(redis, KEYS)):
        with pytest.raises(JournalSpoilt) as told:
            await check
        assert str(told.value).startswith(f"{key} is a list, and the bridge keeps a ")
        assert str(told.value).endswith(f"then delete the key (DEL {key})")


@pytest.mark.parametrize("text", ["", "odd", "[]", "{}", '"held"', "null", "5"])
async def test_what_is_held_is_the_bridge_s_own_or_named(redis: Any, text: str) -> None:
    """Whom the provider says to be gone must not be forgotten without a word: a leader does not start."""
    await redis.set(KEYS.held, text)
    for look in (Mirror(redis, KEYS).check(), Mirror(redis, KEYS).held()):
        with pytest.raises(JournalSpoilt, match=re.escape(f"then delete the key (DEL {KEYS.held})")):
            await look


async def test_a_worker_names_what_is_no_list_of_who_is_held(redis: Any, redis_url: str) -> None:
    """In one line, as it does with a key of another type."""
    await redis.set(KEYS.held, "odd")
    async with (
        await Simulator.start(World(7, users=1)) as provider,
        program("worker", environ=worker_environ(redis_url, provider)) as worker,
    ):
        assert await worker.ended() == 1
        assert worker.last_words.removeprefix("exmail-bridge: ").startswith(f"Redis will not do: {KEYS.held} ")
        assert not [line for line in worker.lines if line.get("level") == "critical"]


async def test_the_programs_say_it_and_touch_nothing(redis: Any, redis_url: str) -> None:
    """A worker does not start, an edge neither, an operator who asks why is told; each names the key in one line."""
    await spoil(redis, KEYS.slaves)
    async with await Simulator.start(World(7, users=1)) as provider:
        environs = {
            ("worker",): worker_environ(redis_url, provider),
            ("edge",): edge_environ(redis_url, free_port()),
            ("why", BOB): {"BRIDGE_REDIS_URL": redis_url},
        }
        for words, environ in environs.items():
            async with program(*words, environ=environ) as run:
                assert await run.ended() == 1
                assert run.last_words.removeprefix("exmail-bridge: ").startswith("Redis will not do: ")
                assert KEYS.slaves in run.last_words
                assert not [line for line in run.lines if line.get("level") == "critical"]
    assert await redis.keys() == [KEYS.slaves.encode()]


async def test_a_worker_that_runs_says_it_when_it_ends(redis: Any, redis_url: str) -> None:
    """The key became another thing under it: it ends in one line, lets go of the lease, and is started again."""
    async with await Simulator.start(World(7, users=1)) as provider:
        async with program("worker", environ=worker_environ(redis_url, provider)) as worker:
            await worker.ready()
            await provider.listeners.wait_hearing(1)
            await spoil(redis, KEYS.upstream)
            provider.world.deliver_mail(BOB)
            assert await worker.ended() == 1
            assert worker.last_words.startswith(f"Redis will not do: {KEYS.upstream} is a list")
            assert not [line for line in worker.lines if line.get("level") == "critical"]
        assert not await redis.exists(KEYS.lease)
