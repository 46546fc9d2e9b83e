"""Documents of the provider that could not be read: what is kept of them, and reading them again.

Each may have been a mail that could not be announced, so people can look at them. Little is kept, whatever comes: a
bounded head of each, so many in a second, nothing that looks like a secret, and no text where ``BRIDGE_PRIVACY`` keeps
the text of mails out of Redis.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from bridge.journal.calls import Bury, Call, Kept, Scrub
from bridge.journal.dead import DeadDocument, DeadDocuments
from bridge.journal.made import Privacy
from bridge.journal.writer import Writer
from bridge.provider.pushes import MailArrived, Unreadable, UnreadChanged, VersionChanged
from bridge.provider.source import Source
from bridge.worker.agenda import Agenda
from bridge.worker.directory import Directory
from bridge.worker.translate import BadAddress, Translator

KEPT_MOST: Final = 16 * 1024
"""Bytes kept of one document."""
_BURST: Final = 20
_PER_S: Final = 1.0

_READ_AS_JSON: Final = ("unknown-shape", "bad-address")
_STARS: Final = b"***"
# Tokens have 80 characters and more, keys 32 hexadecimal digits. MailIds are shorter than the one and no hexadecimal
# digits: a mail that is read again later must still have its own.
_SECRET: Final = re.compile(rb"[\w+/=-]{64,}+|(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])")
_ANY_NAME: Final = "[A-Za-z_]{1,32}"


class Burial:
    """Decides what to keep of an unreadable document. ``names``: those of the provider's fields; ``now`` gives seconds.
    Of documents that come too fast nothing is kept."""

    def __init__(self, privacy: Privacy, *, names: Sequence[str], now: Callable[[], float] = time.monotonic) -> None:
        self._privacy = privacy
        self._names = names
        self._now = now
        self._turns = float(_BURST)
        self._at = now()

    def bury(self, reason: str, document: bytes, cut_from: int = 0) -> Bury | None:
        """What to store; ``None``: too many came lately. ``cut_from``: its size in bytes, if ``document`` is a head."""
        now = self._now()
        self._turns = min(_BURST, self._turns + (now - self._at) * _PER_S)
        self._at = now
        if self._turns < 1:
            return None
        self._turns -= 1
        size = cut_from or len(document)
        head = document[:KEPT_MOST]
        kept: Kept = "whole" if len(head) == size else "cut"
        if self._privacy != "full":
            return Bury(reason, size, masked(head, None if reason in _READ_AS_JSON else self._names), "masked")
        return Bury(reason, size, without_secrets(head), kept)


def without_secrets(document: bytes) -> bytes:
    """The document without whatever looks like a token or a key: long runs of letters and digits."""
    return _SECRET.sub(_STARS, document)


def masked(document: bytes, names: Sequence[str] | None) -> bytes:
    """The shape of a document: its brackets, its members' names, and ``x`` for each other byte.

    ``names``: which names stay. ``None``: any, because the document was read as JSON; in another one, text may stand
    where a name should.
    """
    name = _ANY_NAME if names is None else "|".join(map(re.escape, names))
    pattern = re.compile(rb'(?<!\\)" *(?:%b) *"(?=\s*:)|[^][{}:,"\s]' % name.encode(), re.IGNORECASE)
    return pattern.sub(lambda found: found[0] if len(found[0]) > 1 else b"x", document)


Result = Literal["mail", "duplicate", "count", "version", "nothing", "unreadable", "masked", "gone"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one document. ``unreadable`` and ``masked`` ones stay; ``reason`` says why they cannot be read.

    ``mail``: announced now · ``duplicate``: announced before · ``count``: the mailbox's count is asked for ·
    ``version``: the directory is asked for · ``nothing``: readable, without consequences · ``gone``: no such entry.
    """

    id: str
    result: Result
    reason: str = ""


class Replayer:
    """Reads kept documents again for a leader: another release may understand them."""

    def __init__(
        self,
        writer: Writer,
        dead: DeadDocuments,
        translator: Translator,
        source: Source,
        directory: Directory,
        agenda: Agenda,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._dead = dead
        self._translator = translator
        self._source = source
        self._directory = directory
        self._agenda = agenda
        self._wall = wall

    async def replay(self, ids: Sequence[str]) -> list[Replayed]:
        """Read these again, the oldest first. What can be read now is recorded and removed in one step.

        Raises:
            JournalAway, JournalRefused, LeaseLost
        """
        ids = sorted(set(ids), key=_age)
        found = await self._dead.find(ids)
        return [
            Replayed(id, "gone") if document is None else await self._again(document)
            for id, document in zip(ids, found, strict=True)
        ]

    async def drop(self, ids: Sequence[str]) -> int:
        """Delete these; return how many there were.

        Raises:
            JournalAway, JournalRefused, LeaseLost
        """
        there = [document.id.encode() for document in await self._dead.find(ids) if document is not None]
        if there:
            await self._writer.commit([Scrub("dead", there)])
        return len(there)

    async def _again(self, dead: DeadDocument) -> Replayed:
        if dead.kept == "masked":
            return Replayed(dead.id, "masked", dead.reason)
        calls: list[Call] = []
        result: Result = "nothing"
        for push in self._source.read(dead.document):
            try:
                match push:
                    case Unreadable(reason=reason):
                        return Replayed(dead.id, "unreadable", reason)
                    case MailArrived():
                        # The count that came with it is out of date. An id that was blanked as a secret is none: two
                        # such mails would be taken for one.
                        mail_id = "" if _STARS.decode() in push.mail_id else push.mail_id
                        push = msgspec.structs.replace(push, unread=None, mail_id=mail_id)
                        call = msgspec.structs.replace(self._translator.mail(push, time_s=self._wall()), dead=dead.id)
                        calls.append(call)
                        self._agenda.changed([call.event.stream])
                    case UnreadChanged():
                        self._agenda.changed([self._translator.mailbox(push.mailbox)])
                        result = "count"
                    case VersionChanged():
                        # The connection has not brought it now, and it may be of any time: only a reason to ask.
                        self._directory.look()
                        result = "version"
            except BadAddress:
                return Replayed(dead.id, "unreadable", "bad-address")
        [outcome] = await self._writer.commit(calls or [Scrub("dead", [dead.id.encode()])])
        if calls:
            result = "duplicate" if outcome.result == "duplicate" else "mail"
        return Replayed(dead.id, result)


def _age(id: str) -> tuple[int, int]:
    ms, _, seq = id.partition("-")
    return int(ms), int(seq)
