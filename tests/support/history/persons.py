"""What must be true of people when it is calm: who is there, who may look, and that nobody saw another's mails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from bridge.events import parse_position
from tests.support.history.staff import DESKS, PLACES, Tenure, Visit
from tests.support.members import mirrored, mirrored_slaves, slaves_of
from tests.support.stage import KEYS

if TYPE_CHECKING:
    from tests.support.history.theatre import Theatre

_MEANT: Final = ([3507], [3009])
"""How the connection of somebody ends who may not look, or not there any more."""


async def check_persons(theatre: Theatre) -> None:
    """Compare.

    Raises:
        AssertionError: a promise does not hold.
    """
    redis: Any = theatre.redis
    truth = theatre.world.accounts
    mirror = await mirrored(redis)
    assert {alias: profile["name"] for alias, profile in mirror.items()} == {
        alias: account.name for alias, account in truth.items()
    }
    assert await mirrored_slaves(redis) == slaves_of(theatre.world)
    assert await barred(redis) == out(theatre), "who may not look"
    assert await redis.hgetall(KEYS.owed) == {}
    assert await redis.get(KEYS.held) is None
    histories = {place: await _history(redis, place) for place in PLACES}
    for tenure in theatre.staff.tenures:
        for visit in tenure.visits:
            assert all(parse_position(event["id"]) for event in visit.events), f"{tenure.address}: no position"
        _check_closed(theatre, tenure)
        _check_eyes(theatre, tenure, histories)
    for place, history in histories.items():
        _check_history(theatre, place, history)


async def settled(theatre: Theatre) -> bool:
    """Whether nothing is owed, and the browsers of those who may not look are closed, of all others open."""
    redis: Any = theatre.redis
    if await redis.exists(KEYS.owed) or await barred(redis) != out(theatre):
        return False
    return all(
        _is_open(tenure) == _may_look(theatre, tenure) for tenure in theatre.staff.tenures if _sure(theatre, tenure)
    )


async def barred(redis: Any) -> set[str]:
    """Main addresses that may not be opened; an alias that went with its account is barred until it has one again."""
    return {address.decode() for address in await redis.smembers(KEYS.barred)} - set(DESKS)


def out(theatre: Theatre) -> set[str]:
    """Who is switched off, or deleted."""
    truth = theatre.world.accounts
    return {alias for alias, account in truth.items() if account.disabled} | (set(PLACES) - truth.keys())


def _may_look(theatre: Theatre, tenure: Tenure) -> bool:
    if tenure.until is not None:
        return False
    alias = slaves_of(theatre.world).get(tenure.address, tenure.address)
    return not theatre.world.accounts[alias].disabled


def _is_open(tenure: Tenure) -> bool:
    return tenure.visits[-1].is_open


def _sure(theatre: Theatre, tenure: Tenure) -> bool:
    """Whether the bridge can know that the next holder is another person.

    A listing of everybody says who is there, not that he was deleted and made anew: where one was asked for in
    between, the former holder cannot be told from the present one.
    """
    if tenure.until is None or tenure.address in DESKS or tenure.address not in theatre.world.accounts:
        return True
    nexts = [each for each in theatre.staff.tenures if each.address == tenure.address and each.since >= tenure.until]
    # A Ver that the provider made up tells of nothing that was applied.
    real = {entry.ver for entry in theatre.world.directory if entry.ver >= nexts[0].from_ver}
    applied = min((sight.at for sight in theatre.sights if sight.ver in real), default=float("inf"))
    return not any(
        call.params.get("ver") == ["0"] and tenure.ended is not None and tenure.ended <= call.at_s <= applied
        for call in theatre.provider.calls.of("user/list")
    )


def _check_closed(theatre: Theatre, tenure: Tenure) -> None:
    """Who is gone or switched off, or whose address is another's, looks no more, and was told why."""
    if not _sure(theatre, tenure):
        return
    assert _is_open(tenure) == _may_look(theatre, tenure), f"{tenure.address} of {tenure.person}"
    if not _may_look(theatre, tenure):
        codes = [visit.code for visit in tenure.visits if visit.code is not None]
        assert codes[-1:] in _MEANT, f"{tenure.address} of {tenure.person}: {codes}"


def _check_eyes(theatre: Theatre, tenure: Tenure, histories: dict[str, set[str]]) -> None:
    """Nothing of a later holder went to a connection that a former one opened."""
    if tenure.until is None or not _sure(theatre, tenure):
        return
    if tenure.address in DESKS:
        foreign = _later_places(theatre, tenure)
        for visit in tenure.visits:
            seen = {str(event["data"].get("mailbox")) for event in visit.events} & foreign
            assert not seen, f"{tenure.address} of {tenure.person} showed {seen}"
        return
    present = theatre.staff.holder(tenure.address)
    if present is not None:
        # Those that are in his history; others outran the news of him, and nobody could know whose they were.
        theirs = histories[tenure.address] & _mails_since(theatre, tenure.address, present.since)
        for visit in tenure.visits:
            assert not _mails(visit) & theirs, f"{tenure.address} of {tenure.person}"


def _later_places(theatre: Theatre, tenure: Tenure) -> set[str]:
    """Main addresses of those who came to have the alias after this holder, and did not have it before."""
    places = {each.person: each.address for each in theatre.staff.tenures if each.address in PLACES}
    own = [each for each in theatre.staff.tenures if each.address == tenure.address]
    at = own.index(tenure)
    before = {places[each.person] for each in own[: at + 1]}
    return {places[each.person] for each in own[at + 1 :]} - before


def _mails(visit: Visit) -> set[str]:
    return {event["data"]["mail_id"] for event in visit.events if event["type"] == "exmail.mail.new"}


def _mails_since(theatre: Theatre, place: str, since: float) -> set[str]:
    return {mail.mail_id for mail in theatre.world.mails_of(place) if mail.time_s >= since}


async def _history(redis: Any, place: str) -> set[str]:
    """The mails that are stored for an address."""
    log: Any = await redis.xrange(KEYS.log(place))
    return {orjson.loads(fields[b"event"])["data"].get("mail_id") for _, fields in log} - {None}


def _check_history(theatre: Theatre, place: str, history: set[str]) -> None:
    """The history of an address is its present holder's; nothing of a former one is left."""
    formers = [each for each in theatre.staff.tenures if each.address == place and each.until is not None]
    if not formers or not _sure(theatre, formers[-1]):
        return
    present = theatre.staff.holder(place)
    allowed = set() if present is None else _mails_since(theatre, place, present.since)
    assert history <= allowed, f"{place} has mails of a former holder: {history - allowed}"
