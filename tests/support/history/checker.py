"""What must be true once all is calm again: the provider's state, Redis, and what every user saw, compared.

Committed mails arrive once and in order; what was pushed and not committed is announced; no gap is silent; the cursor
is never ahead of the mirror; nobody is accused of missing what was not missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from bridge.simulator import Framing, Mail
from tests.support.follower import Follower
from tests.support.history.evidence import around_a_sight, before_and_after
from tests.support.history.harness import Harness
from tests.support.history.persons import People, check_persons, differences, taken
from tests.support.stage import KEYS
from tests.support.waiting import PATIENCE_S

_SLACK_MS: Final = 1500
_TRIES: Final = int(PATIENCE_S / 0.2)
_COUNTED: Final = ("reason", "unread", "as_of", "mail_id")
_EXPLAINED: Final = ("expired", "epoch")
_RESTARTS: Final = ("kill_redis", "restart_redis", "promote")

Events = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Picture:
    """What Redis held and what users had seen at one moment, in which nothing was written."""

    entries: Any
    generation: bytes
    generations: dict[str, bytes | None]
    logs: dict[str, Any]
    mirror: dict[bytes, bytes]
    read_ids: list[str]
    events: list[Events]
    snapshots: list[Events]
    people: People | None


async def check(harness: Harness) -> None:
    """Compare.

    Raises:
        AssertionError: a promise does not hold.
    """
    picture = await _taken(harness)
    ids = [entry_id.decode() for entry_id, _ in picture.entries]
    events = [orjson.loads(fields[b"event"]) for _, fields in picture.entries]
    generations = _check_stream(ids, most=1 + sum(harness.done.count(name) for name in _restarting(harness)))
    _check_reader(picture.read_ids, ids)
    _check_fences(events)
    for mailbox in harness.boxes:
        assert picture.generations[mailbox] == picture.generation
        own = [event for event in events if event["source"].endswith(f"/mailbox/{mailbox}")]
        _check_log(own, picture.logs[mailbox])
        _check_mailbox(harness, mailbox, own, events, generations)
        for number, follower in enumerate(harness.followers):
            if follower.mailbox == mailbox:
                _check_browser(follower, picture.events[number], picture.snapshots[number], own)
    _check_directory(harness, events)
    if picture.people is not None:
        check_persons(harness, picture.people)
    else:
        _check_mirror(harness, picture.mirror)
    _check_sights(harness)


async def _taken(harness: Harness) -> Picture:
    """Read everything, and again where something was written meanwhile, or a browser was between two connections: the
    bridge goes on while it is judged.

    Raises:
        AssertionError: the users do not come to have seen what there is.
    """
    redis: Any = harness.redis
    lacks = ""
    for number in range(_TRIES):
        before = await redis.get(KEYS.commits)
        entries = await redis.xrange(KEYS.events)
        mailboxes = harness.boxes
        picture = Picture(
            entries,
            await redis.get(KEYS.generation),
            {mailbox: await redis.hget(KEYS.state(mailbox), "generation") for mailbox in mailboxes},
            {mailbox: await redis.xrange(KEYS.log(mailbox)) for mailbox in mailboxes},
            await redis.hgetall(KEYS.directory),
            list(harness.read_ids),
            [list(follower.events) for follower in harness.followers],
            [list(follower.snapshots) for follower in harness.followers],
            await taken(harness) if harness.people else None,
        )
        if await redis.get(KEYS.commits) != before:
            lacks = "something was written at each look"
        elif not _all_seen(harness, picture):
            lacks = "users do not come to see what there is"
        elif picture.people is None or not (lacks := differences(harness, picture.people)):
            return picture
        else:
            lacks = differences(harness, picture.people, in_full=number == _TRIES - 1)
        await asyncio.sleep(0.2)
    raise AssertionError(lacks)


def _all_seen(harness: Harness, picture: Picture) -> bool:
    """Whether everybody has the last event that concerns him."""
    last: dict[str, str] = {}
    for _, fields in picture.entries:
        event = orjson.loads(fields[b"event"])
        last[event["source"].rpartition("/")[2]] = event["id"]
    return picture.read_ids[-1:] == [picture.entries[-1][0].decode()] and all(
        [event["id"] for event in events[-1:]] == [last[follower.mailbox]]
        for follower, events in zip(harness.followers, picture.events, strict=True)
    )


def _restarting(harness: Harness) -> set[str]:
    return {name for name in harness.done if any(restart in name for restart in _RESTARTS)}


def _check_stream(ids: list[str], *, most: int) -> int:
    """No hole within a generation; generations grow. Returns how many there are."""
    numbers: dict[int, list[int]] = {}
    for entry_id in ids:
        generation, _, number = entry_id.partition("-")
        numbers.setdefault(int(generation), []).append(int(number))
    assert list(numbers) == sorted(numbers)
    assert all(found == list(range(len(found))) for found in numbers.values())
    # Redis confirmed nothing that it then lost; but a worker that did not lead before cannot know that of a server
    # that was restarted.
    assert len(numbers) <= most, f"generations {list(numbers)}"
    return len(numbers)


def _check_reader(given: list[str], ids: list[str]) -> None:
    """A consumer group was given every entry: each once, unless it did not come to acknowledge it."""
    assert set(given) == set(ids)
    first = list(dict.fromkeys(given))
    assert first == ids, "out of order"


def _check_fences(events: Events) -> None:
    """Every leader has a higher fence than the one before it, and tells so once."""
    fences = [event["data"]["fence"] for event in events if event["type"] == "exmail.leader.changed"]
    assert fences == sorted(set(fences)), f"fences {fences}"


def _check_log(own: Events, log: Any) -> None:
    """The mailbox's history is the newest of its events, those of its epoch."""
    kept = [orjson.loads(fields[b"event"])["id"] for _, fields in log]
    epoch = own[-1]["id"].partition("-")[0]
    assert kept == [event["id"] for event in own if event["id"].startswith(f"{epoch}-")][-len(kept) :]


def _check_mailbox(harness: Harness, mailbox: str, own: Events, events: Events, generations: int) -> None:
    epochs: dict[str, list[int]] = {}
    for event in own:
        epochs.setdefault(event["id"].partition("-")[0], []).append(int(event["sequence"]))
    assert len(epochs) <= generations
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in epochs.values()), mailbox
    committed = [event["data"]["mail_id"] for event in own if event["type"] == "exmail.mail.new"]
    assert len(committed) == len(set(committed)), "a mail was published twice"
    sent = {mail.mail_id: mail for mail in harness.world.mails_of(mailbox)}
    assert committed == [mail_id for mail_id in sent if mail_id in set(committed)], "order"
    lost = [mail for mail_id, mail in sent.items() if mail_id not in set(committed)]
    gaps = [event["data"] for event in events if event["type"] == "exmail.upstream.missed"]
    for mail in lost:
        # What another listener was given nobody here can know of.
        ours = mail.pushed and not harness.rivals.issuperset(mail.pushed_to)
        assert not ours or any(_within(mail, gap, after_ms=_SLACK_MS + harness.behind_ms) for gap in gaps), (
            f"{mail.mail_id} was pushed at {_ms(mail)}, is not committed, and no gap was announced for it: {gaps}"
            f"{before_and_after(harness, mail, events)}"
        )
    accused = [event["data"] for event in own if event["type"] == "exmail.mail.missed"]
    # A provider of long polls may hold a push; its count is then stored later than it was true.
    polled = harness.provider.dialect.framing is Framing.LONG_POLL
    held_ms = harness.provider.rules.hold_ms if polled else 0
    for told in accused:
        before_ms = _SLACK_MS + held_ms + _late_ms(own, told["since"], sent)
        within = sum(_within(mail, told, before_ms, _SLACK_MS + harness.behind_ms) for mail in lost)
        assert within >= told["at_least"] > 0, (
            f"accused of {told}, but {within} of {len(lost)} lost: {accused}; {_around(told, own, lost)}"
        )
    if mailbox in harness.untouched and generations == 1:
        # Nobody read, so the count tells of every mail: as many were missed as are not there.
        told = sum(told["at_least"] for told in accused)
        elsewhere = sum(mail.pushed and harness.rivals.issuperset(mail.pushed_to) for mail in lost)
        # A provider of long polls gives one document to each, and keeps the others for so long. What it drops while it
        # is asked again and again, but too slowly for all that comes, nobody here can know of.
        dropped = [mail for mail in lost if mail.overdue and not any(_within(mail, gap, _SLACK_MS) for gap in gaps)]
        unknown = elsewhere + len(dropped)
        assert len(lost) - unknown <= told <= len(lost), (
            f"{mailbox}: {len(lost)} lost, {unknown} of them unknown to us, told {accused}"
        )


def _around(told: dict[str, Any], own: Events, lost: list[Mail]) -> str:
    """What was stored and what was lost near the two ends of a claim: for whoever has to explain it."""

    def near(at_ms: float) -> bool:
        return any(abs(at_ms - end) < 6 * _SLACK_MS for end in (told["since"] or 0, told["until"]))

    stored = [
        (event["type"].removeprefix("exmail.mail."), event["time"], event["id"], *map(event["data"].get, _COUNTED))
        for event in own
        if near(datetime.fromisoformat(event["time"]).timestamp() * 1000) or near(event["data"].get("as_of") or 0)
    ]
    missing = [(mail.mail_id, _ms(mail), mail.unread, mail.pushed) for mail in lost if near(_ms(mail))]
    return f"stored: {stored}; lost: {missing}"


def _late_ms(own: Events, as_of: int, sent: Mapping[str, Mail]) -> float:
    """How long the count of that time had waited: it was true when its mail came, or else when its push was read.

    A push may lie in the socket of a worker that gets no processor.
    """
    stored = [
        event for event in own if event["data"].get("as_of") == as_of and event["data"].get("reason") != "reconcile"
    ]
    true_ms = [
        _ms(sent[event["data"]["mail_id"]])
        if event["data"].get("mail_id") in sent
        else datetime.fromisoformat(event["time"]).timestamp() * 1000
        for event in stored
    ]
    return max([0.0, *(as_of - at for at in true_ms)])


def _ms(mail: Mail) -> float:
    return mail.time_s * 1000


def _within(mail: Mail, gap: dict[str, Any], before_ms: float = _SLACK_MS, after_ms: float = _SLACK_MS) -> bool:
    return (gap["since"] or 0) - before_ms <= _ms(mail) <= gap["until"] + after_ms


def _check_browser(follower: Follower, events: Events, snapshots: Events, own: Events) -> None:
    """Each event once and in order, from the first position to the last; a break is explained."""
    for snapshot in snapshots[1:]:
        assert snapshot["resumed"] or snapshot["reason"] in _EXPLAINED, snapshot["reason"]
    resumed = all(snapshot["resumed"] for snapshot in snapshots[1:])
    seen = [event["id"] for event in events]
    twice = {event_id for event_id in seen if seen.count(event_id) > 1}
    assert not twice, f"{follower.transport} {follower.mailbox} saw twice {twice}, snapshots {snapshots}"
    first = int(snapshots[0]["position"].partition("-")[2])
    expected = [event["id"] for event in own[first:]]
    if resumed:
        assert seen == expected, f"{follower.transport} {follower.mailbox}"
    else:
        assert seen == [event_id for event_id in expected if event_id in set(seen)]
    # What a browser saw is what was stored, to the letter.
    stored = {event["id"]: event for event in own}
    assert all(stored[event["id"]] == event for event in events)


def _check_mirror(harness: Harness, mirror: dict[bytes, bytes]) -> None:
    stored = {alias.decode(): orjson.loads(profile) for alias, profile in mirror.items()}
    truth = harness.world.accounts
    assert {alias: profile["name"] for alias, profile in stored.items()} == {
        alias: account.name for alias, account in truth.items()
    }


def _check_directory(harness: Harness, events: Events) -> None:
    vers, told = [0], set()
    real = {entry.ver for entry in harness.world.directory}
    for event in events:
        if event["type"] == "exmail.directory.held":
            # The provider insists on another Ver, in two answers: that is said before it is believed.
            told.add(event["data"]["to_ver"])
        elif event["type"] == "exmail.directory.synced":
            vers.append(event["data"]["to_ver"])
            # Back from a Ver that the provider made up is no way back.
            assert vers[-1] >= vers[-2] or vers[-1] in told or vers[-2] not in real, f"the cursor went back: {vers}"
            # Said for this once.
            told.discard(vers[-1])


def _check_sights(harness: Harness) -> None:
    """Whenever one looked, every change up to the cursor was in the mirror, or owed."""
    assert harness.sights
    # A Ver that the provider made up vouches for nothing, also where a change was given the same one later.
    real = {entry.ver for entry in harness.world.directory} - harness.provider.faults.made_up
    for sight in harness.sights:
        if sight.ver not in real:
            continue
        for ver, alias, number in harness.renamed:
            assert ver > sight.ver or sight.names[alias] >= number or alias in sight.owed, (
                f"Ver {sight.ver}: {alias} is {sight.names[alias]}, not {number} as of {ver}"
                f"{around_a_sight(harness, sight, alias)}"
            )
