"""Documents of the provider that could not be read: what is kept of them, and reading them again.

They are kept for people, so that a mail that nobody could be told of is not gone without a trace. Whatever comes,
little is kept: a bounded head of each, at a bounded pace, nothing that looks like a secret, and no text where
``BRIDGE_PRIVACY`` keeps mails' text out of Redis.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import msgspec

from bridge.journal.calls import Bury, Call, Kept, Scrub
from bridge.journal.dead import DeadDocument, DeadDocuments
from bridge.journal.writer import Writer
from bridge.provider.bizmail.pushes import parse_push
from bridge.provider.pushes import MailArrived, Unreadable, UnreadChanged, VersionChanged
from bridge.worker.translate import BadAddress, Privacy, Translator

KEPT_MOST: Final = 16 * 1024
"""Bytes kept of one document."""
_BURST: Final = 20
_PER_S: Final = 1.0

_STARS: Final = b"***"
# Tokens have 80 characters and more, keys 32 hexadecimal digits. MailIds are shorter than the one and no hexadecimal
# digits: a mail that is read again later must still have its own.
_SECRET: Final = re.compile(rb"[\w+/=-]{64,}+|(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])")
# Where the document was read as JSON, any name of a member is one; else only what the protocol names, because text may
# stand where a name should.
_NAME: Final = re.compile(rb'(?<!\\)" *[A-Za-z_]{1,32} *"(?=\s*:)|[^][{}:,"\s]')
_PROTOCOL: Final = rb"UserName|NewCount|MailId|Sender|Receiver|Subject|Summary|Ver|Ret|errcode|error"
_PROTOCOL_NAME: Final = re.compile(rb'(?<!\\)" *(?:%b) *"(?=\s*:)|[^][{}:,"\s]' % _PROTOCOL, re.IGNORECASE)


class Burial:
    """Says what to keep of what could not be read. ``now`` gives seconds; what comes too fast is only counted."""

    def __init__(self, privacy: Privacy, *, now: Callable[[], float] = time.monotonic) -> None:
        self._privacy = privacy
        self._now = now
        self._turns = float(_BURST)
        self._at = now()

    def bury(self, reason: str, document: bytes, cut_from: int = 0) -> Bury | None:
        """What to store; ``None`` where too many came lately. ``cut_from``: bytes that it had, if that was more."""
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
            return Bury(reason, size, masked(head, is_json=reason in ("unknown-shape", "bad-address")), "masked")
        return Bury(reason, size, without_secrets(head), kept)


def without_secrets(document: bytes) -> bytes:
    """The document without what looks like a token or a key; long runs of letters and digits go with them."""
    return _SECRET.sub(_STARS, document)


def masked(document: bytes, *, is_json: bool) -> bytes:
    """The shape of a document: its brackets, its members' names, and ``x`` for each other byte."""
    pattern = _NAME if is_json else _PROTOCOL_NAME
    return pattern.sub(lambda found: found[0] if len(found[0]) > 1 else b"x", document)


Result = Literal["mail", "duplicate", "count", "version", "nothing", "unreadable", "masked", "gone"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one document. ``unreadable`` and ``masked`` ones stay; ``reason`` says why they cannot be read.

    ``mail``: announced · ``duplicate``: it had been · ``count``: a count, asked for anew · ``version``: the directory
    looks · ``nothing``: readable, and nothing follows from it · ``gone``: there is no such entry.
    """

    id: str
    result: Result
    reason: str = ""


class Replayer:
    """Reads buried documents again for a leader.

    ``version`` hears of changes of the member directory, ``count`` of mailboxes whose count should be asked for.
    """

    def __init__(
        self,
        writer: Writer,
        dead: DeadDocuments,
        translator: Translator,
        *,
        version: Callable[[int], None],
        count: Callable[[str], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._dead = dead
        self._translator = translator
        self._version = version
        self._count = count
        self._wall = wall

    async def replay(self, ids: Sequence[str]) -> list[Replayed]:
        """Read these again, the oldest first; what can be read now leaves the stream in the step that records it.

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
        for push in parse_push(dead.document):
            try:
                match push:
                    case Unreadable(reason=reason):
                        return Replayed(dead.id, "unreadable", reason)
                    case MailArrived():
                        # The count that came with it is long out of date. An id that was taken for a secret is none
                        # any more: two of them would be the same one.
                        mail_id = "" if _STARS.decode() in push.mail_id else push.mail_id
                        push = msgspec.structs.replace(push, unread=None, mail_id=mail_id)
                        call = replace(self._translator.mail(push, time_s=self._wall()), dead=dead.id)
                        calls.append(call)
                        self._count(call.event.stream)
                    case UnreadChanged():
                        self._count(self._translator.mailbox(push.mailbox))
                        result = "count"
                    case VersionChanged(ver=ver):
                        self._version(ver)
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
