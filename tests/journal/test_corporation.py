"""Whose namespace it is: two corporations never become one."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.journal.corporation import Corporation, NotOurs, StillLed, mark_of
from bridge.journal.tokens import RedisTokenStore
from bridge.provider.bizmail.token import Token

from .conftest import KEYS, mail

OURS, THEIRS = mark_of("bizmail", "us"), mark_of("bizmail", "them")


async def test_the_first_who_claims_says_whose_it_is(new_writer: Any, redis: Any) -> None:
    """Data without the mark are adopted by him; no id stands in Redis, only its hash."""
    await redis.set(KEYS.ver, "5")
    assert await new_writer(corporation=OURS).claim() is not None
    assert (await redis.get(KEYS.corporation)).decode() == OURS
    assert "us" not in OURS.partition(":")[2]
    await Corporation(redis, KEYS).check(OURS)


async def test_another_is_refused_whether_somebody_leads_or_not(new_writer: Any, redis: Any) -> None:
    """On standby too: it would lead one day. Nothing is changed by the attempt."""
    first = new_writer(corporation=OURS)
    await first.claim()
    for _ in range(2):
        before = await redis.get(KEYS.lease)
        with pytest.raises(NotOurs, match="another corporation"):
            await new_writer(corporation=THEIRS).claim()
        assert await redis.get(KEYS.lease) == before
        await first.release()
    with pytest.raises(NotOurs):
        await Corporation(redis, KEYS).check(THEIRS)
    assert (await redis.get(KEYS.corporation)).decode() == OURS


async def test_whoever_knows_no_id_does_not_look(new_writer: Any, redis: Any) -> None:
    """The mark stays."""
    await new_writer(corporation=OURS).claim()
    await redis.delete(KEYS.lease)
    assert await new_writer().claim() is not None
    assert (await redis.get(KEYS.corporation)).decode() == OURS


async def test_a_token_of_another_is_none(redis: Any) -> None:
    """It would be sent to the wrong provider; one without a mark is an older release's and ours."""
    theirs = RedisTokenStore(redis, KEYS, Token, corporation=THEIRS)
    ours = RedisTokenStore(redis, KEYS, Token, corporation=OURS)
    await theirs.put(Token("secret", 4e9))
    assert await ours.get() is None
    assert await theirs.get() == Token("secret", 4e9)
    await redis.set(KEYS.token, '{"value":"old","expires_at":4000000000.0}')
    assert await ours.get() == Token("old", 4e9)
    await redis.set(KEYS.token, "[]")
    assert await ours.get() is None


async def test_adopting_keeps_positions_and_lets_the_token_go(new_writer: Any, redis: Any) -> None:
    """A new client id of the same corporation."""
    first = new_writer(corporation=OURS)
    await first.claim()
    [before] = await first.commit([mail("Z1")])
    await redis.set(KEYS.ver, "5")
    await redis.set(KEYS.token, "{}")
    corporation = Corporation(redis, KEYS)
    with pytest.raises(StillLed):
        await corporation.adopt(THEIRS)
    assert await redis.exists(KEYS.token)
    await first.release()
    assert await corporation.adopt(THEIRS)
    assert not await corporation.adopt(THEIRS)
    assert not await redis.exists(KEYS.token)
    assert await redis.get(KEYS.ver) == b"5"
    second = new_writer(corporation=THEIRS)
    await second.claim()
    [after] = await second.commit([mail("Z2")])
    assert (after.epoch, after.seq) == (before.epoch, 2)
    with pytest.raises(NotOurs):
        await new_writer(corporation=OURS).claim()


async def test_another_api_begins_with_another_cursor(new_writer: Any, redis: Any) -> None:
    """A Ver of the one says nothing to the other; the mirror stays, to be compared."""
    first = new_writer(corporation=OURS)
    await first.claim()
    await first.release()
    await redis.set(KEYS.ver, "5")
    await redis.hset(KEYS.directory, "bob@gzdev.com", "{}")
    assert await Corporation(redis, KEYS).adopt(mark_of("exmail", "us"))
    assert not await redis.exists(KEYS.ver)
    assert await redis.hlen(KEYS.directory) == 1
