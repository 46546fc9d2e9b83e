"""The steps by which a narrower setting is applied: what each leaves, and what a crash between two of them costs."""

from __future__ import annotations

from collections.abc import Collection

import orjson

from bridge.events import to_json
from bridge.journal.made import REVISION, Made, Privacy
from bridge.worker.narrowing import Narrowing
from tests.support.stage import mail
from tests.support.workers import BOB, KEYS

from .conftest import Parts

WIDE, LEFT = ("alias", "name", "tel"), ("alias", "name")


async def made_before(parts: Parts, made: Made, profiles: int = 1) -> None:
    """Accounts are stored, with all of :data:`WIDE`, by a worker with these settings."""
    stored = {f"u{n}@x.cn": {"alias": f"u{n}@x.cn", "name": "U", "tel": "1"} for n in range(profiles)}
    await parts.redis.hset(KEYS.directory, mapping={alias: to_json(profile) for alias, profile in stored.items()})
    privacy, fields, revision = made.as_fields()
    await parts.redis.hset(KEYS.made, mapping={"privacy": privacy, "fields": fields, "revision": revision})


async def narrowing(parts: Parts, fields: Collection[str] = WIDE, privacy: Privacy = "full") -> Narrowing:
    return Narrowing(await parts.writer(), parts.mirror, privacy=privacy, fields=fields)


async def test_a_namespace_that_holds_nothing_is_not_narrowed(parts: Parts) -> None:
    """No generation begins for it, nothing is compared, and what it will be made with is noted at once."""
    first = await narrowing(parts, privacy="count")
    before = await parts.redis.get(KEYS.generation)
    assert await first.applied() is False
    assert await parts.redis.get(KEYS.generation) == before
    assert await parts.mirror.made() == Made("count", frozenset(WIDE), REVISION)


async def test_a_history_of_which_events_knows_nothing_any_more_goes_too(parts: Parts) -> None:
    """The stream of all events is trimmed sooner: an account's is found by the mirror, a stranger's by events."""
    await (await parts.writer()).commit([mail("Z1", mailbox=BOB)])
    await parts.redis.xtrim(KEYS.events, maxlen=0)
    await (await parts.writer()).commit([mail("Z2", mailbox="stranger@x.cn")])
    await made_before(parts, Made("full", frozenset(WIDE), REVISION))
    await parts.redis.hset(KEYS.directory, BOB, to_json({"alias": BOB}))
    assert await (await narrowing(parts, privacy="count")).applied() is False
    assert not await parts.redis.exists(KEYS.log(BOB), KEYS.log("stranger@x.cn"))


async def test_what_is_owed_to_an_older_release_s_data_stays_owed(parts: Parts) -> None:
    """They are narrowed now, and compared all the same, by the next worker if this one ends before."""
    await made_before(parts, Made("full", frozenset(WIDE), 0))
    assert await (await narrowing(parts, privacy="count")).applied() is True
    assert await (await narrowing(parts, privacy="count")).applied() is True


async def test_fields_that_are_wanted_anew_are_asked_for_though_others_were_taken_out(parts: Parts) -> None:
    """What was never stored is not noted as stored; that comes with the comparison."""
    await made_before(parts, Made("full", frozenset(WIDE), REVISION))
    wanted = (*LEFT, "position")
    assert await (await narrowing(parts, wanted)).applied() is True
    assert (await parts.mirror.made()).fields == frozenset(LEFT)
    again = await narrowing(parts, wanted)
    assert await again.applied() is True
    await again.noted()
    assert await (await narrowing(parts, wanted)).applied() is False


async def test_every_profile_is_cut_and_what_was_staged_is_read_again(parts: Parts) -> None:
    """However many there are."""
    await made_before(parts, Made("full", frozenset(WIDE), REVISION), profiles=600)
    await staged(parts)
    assert await (await narrowing(parts, LEFT)).applied() is False
    profiles = [orjson.loads(text) for text in await parts.redis.hvals(KEYS.directory)]
    assert len(profiles) == 600
    assert {frozenset(profile) for profile in profiles} == {frozenset(LEFT)}
    assert not await parts.redis.exists(KEYS.ver_next, KEYS.directory_next)


async def test_a_narrower_privacy_alone_leaves_profiles_and_stage(parts: Parts) -> None:
    """It says nothing of people, and a fill of hours is not begun anew for it."""
    await made_before(parts, Made("full", frozenset(WIDE), REVISION))
    await staged(parts)
    assert await (await narrowing(parts, privacy="count")).applied() is False
    assert "tel" in orjson.loads(await parts.redis.hget(KEYS.directory, "u0@x.cn"))
    assert await parts.redis.exists(KEYS.ver_next, KEYS.directory_next) == 2


async def staged(parts: Parts) -> None:
    """A first fill was begun."""
    await parts.redis.set(KEYS.ver_next, "7:fields")
    await parts.redis.hset(KEYS.directory_next, "u0@x.cn", "{}")
