"""What must be true, whatever happens: of one dataset, of one call, and of all that was given and told in a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from bridge.journal.claim import Claim
from tests.model.actors import Report, Session
from tests.model.datasets import Asked, Dataset, Entry

Given = Mapping[tuple[str, str], bytes]
"""What each position stands for: (source, position) or ("events", id) → content."""

_NOTHING_DONE: Final = (0, 5)
NUMBERED: Final = ("record", "advance")
"""The verbs of the model's calls that have a number; of a run that has several calls it is that of the first."""


_CLAIM: Final = ("verb", *(each.name for each in fields(Claim)))
_TOO_LATE_MS: Final = 1_800_000


class Broken(Exception):
    """A promise does not hold; the text begins with its name."""


def check_dataset(data: Dataset) -> None:
    """No hole, nothing twice, each worker's order, Ver not ahead of the data, the log as the stream of all events.

    Raises:
        Broken
    """
    numbers: dict[int, list[int]] = {}
    seqs: dict[str, list[int]] = {}
    mails: dict[str, list[int]] = {}
    for entry in data.entries:
        generation, _, number = entry.id.partition("-")
        numbers.setdefault(int(generation), []).append(int(number))
        epoch, _, seq = entry.position.partition("-")
        seqs.setdefault(f"{entry.source} {epoch}", []).append(int(seq))
        worker, _, mail = entry.name.partition(".")
        if mail.isdigit():
            mails.setdefault(worker, []).append(int(mail))
    _hold(all(found == list(range(len(found))) for found in numbers.values()), "hole: in the stream of all events")
    _hold(all(found == list(range(1, len(found) + 1)) for found in seqs.values()), "hole: in a stream's positions")
    _hold(len(data.names) == len(data.entries), "twice: one commit, two events")
    _hold(all(found == sorted(found) for found in mails.values()), "order: of one worker's mails")
    wanted = {f"u{ver}{piece}" for ver in range(1, data.ver + 1) for piece in "ab"}
    _hold(wanted <= data.profiles, "ver: ahead of the data")
    mailbox = [entry for entry in data.entries if "/mailbox/" in entry.source]
    if data.log:
        newest = [entry.position for entry in mailbox[-len(data.log) :]]
        _hold([_position(event) for event in data.log] == newest, "log: is not what the stream of all events says")


def check_call(asked: Asked, answer: Any, before: Dataset, after: Dataset, *, same: bool, deposed: bool) -> None:
    """A call is applied by who holds the lease, and counted; or it changes nothing.

    ``deposed``: another worker has claimed since the leadership that asks began.

    Raises:
        Broken
    """
    keys, arguments = asked
    if not keys or arguments[0] not in NUMBERED:
        return
    each = [one[0] for one in (answer if isinstance(answer[0], tuple) else [answer])]
    applied = sum(code not in _NOTHING_DONE for code in each)
    if not applied:
        _hold(same, "refused: and yet something changed")
        return
    _hold(not deposed and before.lease == arguments[1], "fence: a write by who does not lead any more")
    _hold(after.commits == before.commits + applied, "counted: a write that is not one more")
    _hold(after.ver >= before.ver, "ver: went back")


def check_claim(asked: Asked, before: Dataset, after: Dataset, *, run: int, given: Given) -> None:
    """Where nothing is lost and the claimer remembers nothing, a claim resets nobody: no new generation.

    Raises:
        Broken
    """
    there = {("events", entry.id): entry.content for entry in before.entries}
    complete = all(there.get(place) == content for place, content in given.items() if place[0] == "events")
    remembers = any(asked[1][number] != "" for number in (3, 8, 9))
    if before.generation and before.server == f"server{run}" and complete and not remembers:
        _hold(after.generation == before.generation, "reset: a generation began on a server that lost nothing")


def check_kept(asked: Asked, before: Dataset, after: Dataset, *, given: Given, single: bool) -> None:
    """A leader that saw the end of its server, and finds everything there, resets nobody.

    Raises:
        Broken
    """
    arguments = dict(zip(_CLAIM, asked[1], strict=True))
    there = {("events", entry.id): entry.content for entry in before.entries}
    complete = all(there.get(place) == content for place, content in given.items() if place[0] == "events")
    mine = before.leader == f"{arguments['known_fence']}:{arguments['known_generation']}:{arguments['token']}"
    saw = arguments["granted"] != "" and arguments["over"] == arguments["remembered"] == ""
    in_time = saw and int(arguments["vacant"]) < _TOO_LATE_MS and int(arguments["since"]) >= 0
    if single and mine and in_time and complete and before.commits == int(arguments["sent"]):
        _hold(after.generation == before.generation, "reset: a generation began where nothing can have been lost")


def remembered(given: Given) -> tuple[int, tuple[tuple[str, tuple[str, int]], ...]]:
    """The greatest generation of what was given, and the last position of each stream in it."""
    events = [(place[1].partition("-"), content) for place, content in given.items() if place[0] == "events"]
    generation = max((int(id[0]) for id, _ in events), default=0)
    last: dict[str, tuple[int, str, int]] = {}
    for id, content in events:
        if int(id[0]) == generation:
            epoch, _, seq = _position(content).partition("-")
            stream = content.split(b'"source":"', 1)[1].split(b'"', 1)[0].decode().rsplit("/", 1)[-1]
            last[stream] = max(last.get(stream, (-1, "", 0)), (int(id[2]), epoch, int(seq)))
    return generation, tuple(sorted((stream, (epoch, seq)) for stream, (_, epoch, seq) in last.items()))


def given_after(given: Given, before: Dataset, after: Dataset) -> Given:
    """What positions stand for after a call.

    Raises:
        Broken: one of them stood for something else before.
    """
    known = {entry.id for entry in before.entries}
    new = {pair: each.content for each in after.entries if each.id not in known for pair in _places(each)}
    for place, content in new.items():
        _hold(given.get(place, content) == content, f"position: {place[1]} of {place[0]} is given twice")
    return {**given, **new} if new else given


def check_told(reports: frozenset[Report], data: Dataset, generation: int) -> None:
    """What was told to be committed is there, unless a generation has begun since.

    Raises:
        Broken
    """
    lost = {report.name for report in reports if report.generation >= generation} - data.names
    _hold(not lost, f"lost: {', '.join(sorted(lost))}, told to be committed, in the same generation")


def deposed_by(claim: Session, last: Session | None, deposed: frozenset[Session]) -> frozenset[Session]:
    """Which leaderships must not write any more once ``claim`` has succeeded after ``last``."""
    return deposed if last is None or last[0] == claim[0] else deposed | {last}


def _places(entry: Entry) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("events", entry.id), (entry.source, entry.position)


def _position(event: bytes) -> str:
    return event.split(b'"id":"', 1)[1].split(b'"', 1)[0].decode()


def _hold(holds: bool, promise: str) -> None:
    if not holds:
        raise Broken(promise)
