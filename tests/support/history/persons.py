"""What must be true of people once all is calm: who is there, who may read, and that nobody saw another's mails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from bridge.events import parse_position
from tests.support.history.evidence import evidence
from tests.support.history.knowledge import account_of, is_sure
from tests.support.history.staff import DESKS, PLACES, Tenure
from tests.support.members import mirrored, mirrored_slaves, slaves_of
from tests.support.stage import KEYS

if TYPE_CHECKING:
    from tests.support.history.harness import Harness

_MEANT: Final = ((3507,), (3009,))
"""The close codes for somebody who may not read any more, or not at this address."""


@dataclass(frozen=True, slots=True)
class Browser:
    """One tenure's browser at one moment. ``codes``: the close codes that its connections got."""

    tenure: Tenure
    is_open: bool
    codes: tuple[int, ...]
    mails: frozenset[str]
    mailboxes: frozenset[str]

    def __str__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"{self.tenure.address} of {self.tenure.person} is {state}, last codes {self.codes[-3:]}"


@dataclass(frozen=True, slots=True)
class People:
    """What Redis held of people and what became of their browsers, at one moment."""

    mirror: dict[str, str]
    slaves: dict[str, str]
    barred: set[str]
    owed: set[str]
    held: bytes | None
    moved: dict[str, int]
    histories: dict[str, set[str]]
    browsers: tuple[Browser, ...]


async def taken(harness: Harness) -> People:
    """Look at everything once; the browsers last, without a pause between them."""
    redis: Any = harness.redis
    mirror = {alias: profile["name"] for alias, profile in (await mirrored(redis)).items()}
    slaves = await mirrored_slaves(redis)
    barred = {address.decode() for address in await redis.smembers(KEYS.barred)}
    owed = {alias.decode() for alias in await redis.hkeys(KEYS.owed)}
    held = await redis.get(KEYS.held)
    moved = {address.decode(): int(at) for address, at in await redis.zrange(KEYS.moved, 0, -1, withscores=True)}
    histories = {place: await _history(redis, place) for place in PLACES}
    return People(
        mirror,
        slaves,
        # An alias that went with its account is barred until it has one again.
        barred - set(DESKS),
        owed,
        held,
        moved,
        histories,
        tuple(_browser(tenure) for tenure in harness.staff.tenures),
    )


def _browser(tenure: Tenure) -> Browser:
    events = [event for visit in tenure.visits for event in visit.events]
    assert all(parse_position(event["id"]) for event in events), f"{tenure.address}: no position"
    return Browser(
        tenure,
        tenure.visits[-1].is_open,
        tuple(visit.code for visit in tenure.visits if visit.code is not None),
        frozenset(event["data"]["mail_id"] for event in events if event["type"] == "exmail.mail.new"),
        frozenset(str(event["data"].get("mailbox")) for event in events),
    )


def differences(harness: Harness, people: People, *, in_full: bool = False) -> str:
    """What is not yet, or not any more, as the provider has it; empty: nothing. A browser may be on its way back.

    ``in_full``: with all that is known of such a browser, which takes a while.
    """
    truth = harness.world.accounts
    names = {alias: account.name for alias, account in truth.items()}
    if people.mirror != names:
        return f"the mirror differs in {people.mirror.items() ^ names.items()}"
    if people.slaves != slaves_of(harness.world):
        return f"aliases differ in {people.slaves.items() ^ slaves_of(harness.world).items()}"
    if people.barred != out(harness):
        return f"barred are {people.barred}, should be {out(harness)}"
    if people.owed or people.held is not None:
        return f"owed are {people.owed}, held is {people.held!r}"
    for browser in people.browsers:
        if not is_sure(harness, browser.tenure):
            continue
        if browser.is_open != _may_look(harness, browser.tenure):
            more = evidence(harness, browser.tenure, people.slaves, people.moved) if in_full else ""
            return f"{browser}{more}"
        if not browser.is_open and browser.codes[-1:] not in _MEANT:
            return f"{browser}: not told why"
    return ""


def check_persons(harness: Harness, people: People) -> None:
    """Compare.

    Raises:
        AssertionError: a promise does not hold.
    """
    differs = differences(harness, people, in_full=True)
    assert not differs, differs
    for browser in people.browsers:
        _check_eyes(harness, browser, people.histories)
    for place, history in people.histories.items():
        _check_history(harness, place, history)


async def settled(harness: Harness, *, in_full: bool = False) -> str:
    """What differs still, as :func:`differences` says it."""
    return differences(harness, await taken(harness), in_full=in_full)


def out(harness: Harness) -> set[str]:
    """Who is switched off, or deleted."""
    truth = harness.world.accounts
    return {alias for alias, account in truth.items() if account.disabled} | (set(PLACES) - truth.keys())


def _may_look(harness: Harness, tenure: Tenure) -> bool:
    if tenure.until is not None:
        return False
    alias = slaves_of(harness.world).get(tenure.address, tenure.address)
    return not harness.world.accounts[alias].disabled


def _check_eyes(harness: Harness, browser: Browser, histories: dict[str, set[str]]) -> None:
    """Nothing of a later holder went to a connection that a former one opened."""
    tenure = browser.tenure
    if tenure.until is None or not is_sure(harness, tenure):
        return
    place = tenure.address
    if place in DESKS:
        seen = browser.mailboxes & _later_places(harness, tenure)
        assert not seen, f"{browser}: it showed {seen}"
        # Nor of whoever has the account now that was his.
        account = account_of(harness, tenure.person)
        if account.until is None or not is_sure(harness, account):
            return
        place = account.address
    present = harness.staff.holder(place)
    if present is not None:
        # Those that are in his history; others outran the news of him, and nobody could know whose they were.
        theirs = histories[place] & _mails_since(harness, place, present.since)
        assert not browser.mails & theirs, f"{browser}: it showed the next holder's {browser.mails & theirs}"


def _later_places(harness: Harness, tenure: Tenure) -> set[str]:
    """Main addresses of those who came to have the alias after this holder, and did not have it before."""
    places = {each.person: each.address for each in harness.staff.tenures if each.address in PLACES}
    own = [each for each in harness.staff.tenures if each.address == tenure.address]
    at = own.index(tenure)
    before = {places[each.person] for each in own[: at + 1]}
    return {places[each.person] for each in own[at + 1 :]} - before


def _mails_since(harness: Harness, place: str, since: float) -> set[str]:
    return {mail.mail_id for mail in harness.world.mails_of(place) if mail.time_s >= since}


async def _history(redis: Any, place: str) -> set[str]:
    """The mails that are stored for an address."""
    log: Any = await redis.xrange(KEYS.log(place))
    return {orjson.loads(fields[b"event"])["data"].get("mail_id") for _, fields in log} - {None}


def _check_history(harness: Harness, place: str, history: set[str]) -> None:
    """The history of an address is its present holder's; nothing of a former one is left."""
    formers = [each for each in harness.staff.tenures if each.address == place and each.until is not None]
    if not formers or not is_sure(harness, formers[-1]):
        return
    present = harness.staff.holder(place)
    allowed = set() if present is None else _mails_since(harness, place, present.since)
    assert history <= allowed, f"{place} has mails of a former holder: {history - allowed}"
