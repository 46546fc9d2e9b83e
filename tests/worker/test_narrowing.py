"""What the stored data were made with: a narrower setting holds for them too, an older release's are compared."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.journal.made import Made, read_made
from bridge.simulator import Simulator
from tests.support.redis_proxy import RedisProxy
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, Told, running_worker

from .test_listen_to_events import listening

NOW = Made("subject", frozenset(("alias", "name")), 1)


async def everything(redis: Any) -> bytes:
    """All that is stored, whatever its type."""
    found = []
    for key in await redis.keys("*"):
        match await redis.type(key):
            case b"string":
                found.append(await redis.get(key))
            case b"hash":
                found += [part for pair in (await redis.hgetall(key)).items() for part in pair]
            case b"stream":
                found += [part for _, fields in await redis.xrange(key) for part in fields.values()]
            case b"zset":
                found += await redis.zrange(key, 0, -1)
            case b"set":
                found += await redis.smembers(key)
    return b"\n".join(found)


async def test_a_narrower_privacy_holds_for_what_is_stored(redis_url: str, simulator: Simulator, told: Told) -> None:
    """Histories, the stream of all events, dead documents: the text is gone, the count and a consumer group stay."""
    world = simulator.world
    async with running_worker(redis_url, simulator):
        await listening(simulator, told)
        await told.redis.xgroup_create(KEYS.events, "workflow", id="0")
        world.deliver_mail(BOB, subject="a secret subject")
        await told.wait_mails(1)
        simulator.push(b'{"Subject": "another secret"}')
        await until(lambda: _dead(told))
    before = int(await told.redis.get(KEYS.generation))
    assert b"secret" in await everything(told.redis)
    async with running_worker(redis_url, simulator, BRIDGE_PRIVACY="count") as worker:
        await worker.until_leading()
        await told.wait("upstream.connected")
        await simulator.listeners.wait_hearing(1)
        assert b"secret" not in await everything(told.redis)
        assert int(await told.redis.get(KEYS.generation)) > before
        assert [group["name"] for group in await told.redis.xinfo_groups(KEYS.events)] == [b"workflow"]
        mail = world.deliver_mail(BOB, subject="a secret subject")
        [told_of] = await told.wait("mail.new")
        assert (told_of["mail_id"], "mail_subject" in told_of) == (mail.mail_id, False)
    generation = await told.redis.get(KEYS.generation)
    async with running_worker(redis_url, simulator, BRIDGE_PRIVACY="count") as worker:
        await worker.until_leading()
        await simulator.listeners.wait_hearing(1)
        world.deliver_mail(BOB)
        await told.wait("mail.new", 2)
        assert await told.redis.get(KEYS.generation) == generation, "said once"


class Faltering(RedisProxy):
    """Cuts its connections when a worker that leads asks what the data were made with, as often as is told."""

    cuts = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        read = reader.read

        async def watched(most: int = -1) -> bytes:
            piece = await read(most)
            if self.cuts and b"HMGET" in piece and KEYS.made.encode() in piece:
                self.cuts -= 1
                self.cut()
            return piece

        reader.read = watched  # type: ignore[method-assign]
        await super().serve(reader, writer)


async def test_a_cut_while_it_is_applied_deposes_nobody(
    redis_url: str, simulator: Simulator, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """The leader reads pushes by then, which the next one would lack: it goes on, and they are committed."""
    async with running_worker(redis_url, simulator):
        await listening(simulator, told)
    way = Faltering(redis_url)
    await way.listen()
    way.cuts = 3
    try:
        async with running_worker(way.url, simulator, BRIDGE_PRIVACY="count") as worker:
            await worker.until_leading()
            await simulator.listeners.wait_hearing(1)
            simulator.world.deliver_mail(BOB)
            await told.wait("mail.new")
    finally:
        await way.close()
    assert way.cuts == 0
    assert "journal away, stood down" not in caplog.messages


async def _dead(told: Told) -> bool:
    return bool(await told.redis.exists(KEYS.dead))


async def test_fewer_profile_fields_hold_for_what_is_stored(redis_url: str, simulator: Simulator, told: Told) -> None:
    """The mirror is rewritten at once, the provider away or not; the history of members goes with it."""
    simulator.world.modify_user(BOB, name="Robert", position="a secret position")
    fields = "alias,name,position,status"
    async with running_worker(redis_url, simulator, BRIDGE_DIRECTORY_FIELDS=fields):
        await told.wait("directory.synced")
        simulator.world.modify_user(BOB, tel="1")
        simulator.world.modify_user(BOB, position="another secret")
        await until(lambda: _stored(told, b"another secret"))
    async with running_worker(redis_url, simulator, BRIDGE_DIRECTORY_FIELDS="alias,name,status"):
        await until(lambda: _stored(told, b"secret", there=False))
        assert b"Robert" in (await told.redis.hget(KEYS.directory, BOB))


async def _stored(told: Told, text: bytes, *, there: bool = True) -> bool:
    return (text in await everything(told.redis)) is there


async def test_data_of_an_older_release_are_compared_once(redis_url: str, simulator: Simulator, told: Told) -> None:
    """It did not write who is disabled: the first start of this one asks for everybody, whatever the cursor says."""
    async with running_worker(redis_url, simulator):
        await told.wait("directory.synced")
    simulator.world.modify_user(BOB, open_type=2)
    async with running_worker(redis_url, simulator):
        await until(lambda: _barred(told))
    await told.redis.delete(KEYS.barred, KEYS.made)
    async with running_worker(redis_url, simulator):
        await until(lambda: _barred(told))
        await until(lambda: _noted(told))
    calls = [call for call in simulator.calls if call.endpoint == "user/list" and call.params.get("ver") == "0"]
    async with running_worker(redis_url, simulator):
        await told.wait("leader.changed", 4)
        await told.wait("upstream.connected", 4)
    again = [call for call in simulator.calls if call.endpoint == "user/list" and call.params.get("ver") == "0"]
    assert len(again) == len(calls)


async def _barred(told: Told) -> bool:
    return bool(await told.redis.sismember(KEYS.barred, BOB))


async def _noted(told: Told) -> bool:
    return bool(await told.redis.exists(KEYS.made))


@pytest.mark.parametrize(
    ("before", "is_wider", "is_poorer"),
    [
        (NOW, False, False),
        (Made("full", NOW.fields, 1), True, False),
        (Made("count", NOW.fields, 1), False, False),
        (Made("subject", frozenset(("alias", "name", "tel")), 1), True, False),
        (Made("subject", frozenset(("alias",)), 1), False, True),
        (Made("subject", NOW.fields, 0), False, True),
        (Made("subject", NOW.fields, 2), False, False),
        (read_made(None, None, None), True, True),
        (read_made(b"nonsense", b"alias,name", b"x"), True, True),
    ],
)
def test_what_was_made_otherwise_is_known(before: Made, is_wider: bool, is_poorer: bool) -> None:
    """Of what nobody noted the worst is believed; a later release's revision is not."""
    assert (before.is_wider_than(NOW), before.is_poorer_than(NOW)) == (is_wider, is_poorer)
