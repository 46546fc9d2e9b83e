"""What is stored about one mail or one mailbox, for the command ``why``. Reads only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from bridge.events import MAIL_NEW, SYSTEM, UPSTREAM_MISSED, Position, from_json, position_of, to_json
from bridge.journal.client import typed
from bridge.journal.counted import COUNTED_FIELDS, read_counted
from bridge.journal.errors import translated
from bridge.journal.keys import Keys

_PIECE: Final = 500


@dataclass(frozen=True, slots=True)
class Published:
    """One published event, and whether it is in the mailbox's history or only in the stream of all events."""

    position: Position
    event: Mapping[str, Any]
    in_history: bool


@dataclass(frozen=True, slots=True)
class Account:
    """The account of an address. ``address``: its main address; ``known``: in the mirror; ``barred``: disabled or
    deleted."""

    address: str
    known: bool
    barred: bool
    online: float | None
    """Until when edges have entered it as open, epoch seconds."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A mailbox's state. ``top`` is ``None`` if nothing is stored; ``as_of`` in epoch ms."""

    top: Position | None
    unread: int | None
    as_of: int | None
    doubtful: bool


class Trace:
    """Reads for one namespace.

    Every method raises:
        JournalAway, JournalRefused
    """

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = typed(redis)
        self._keys = keys

    async def account(self, asked: str) -> Account:
        """Find the account of an address."""
        keys = self._keys
        with translated():
            alias = await self._redis.hget(keys.slaves, asked)
            address = asked if alias is None else alias.decode()
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.hexists(keys.directory, address)
            pipeline.smismember(keys.barred, [asked, address])
            pipeline.zscore(keys.online, address)
            known, barred, online = await pipeline.execute()
        return Account(address, bool(known), any(barred), online)

    async def stored(self, mailbox: str) -> Stored:
        """The count and the last position; what an older generation stored does not count."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.get(self._keys.generation)
        pipeline.hget(self._keys.upstream, "gap")
        pipeline.hmget(self._keys.state(mailbox), *COUNTED_FIELDS)
        with translated():
            generation, gap, fields = await pipeline.execute()
        of, epoch, *_ = fields
        if epoch is None or of != generation:
            return Stored(None, None, None, doubtful=False)
        counted = read_counted(fields, generation=generation, gap=gap)
        return Stored(
            Position(epoch.decode(errors="replace"), counted.seq), counted.unread, counted.as_of, counted.doubtful
        )

    async def seen(self, mailbox: str, mail_id: str) -> float | None:
        """When a mail was published (epoch ms); ``None`` if it was not, or too long ago."""
        with translated():
            return await self._redis.zscore(self._keys.seen(mailbox), mail_id)

    async def mail(self, mailbox: str, mail_id: str) -> Published | None:
        """The event of one mail, from the mailbox's history or otherwise from the stream of all events."""
        needle = b'"mail_id":' + to_json(mail_id)
        for key, in_history in ((self._keys.log(mailbox), True), (self._keys.events, False)):
            async for event, of in self._newest_first(key):
                # Quotes inside strings are escaped, so this finds the member and no text that looks like it.
                if needle in event and (in_history or of == mailbox.encode()):
                    return Published(position_of(event), from_json(event), in_history)
        return None

    async def mails(self, mailbox: str, most: int) -> list[Published]:
        """The newest mails of a mailbox's history, newest first."""
        found: list[Published] = []
        async for event, _ in self._newest_first(self._keys.log(mailbox)):
            parsed = from_json(event)
            if parsed["type"] == MAIL_NEW:
                found.append(Published(position_of(event), parsed, in_history=True))
            if len(found) == most:
                break
        return found

    async def data_of(self, mailbox: str, type: str) -> list[Mapping[str, Any]]:
        """The ``data`` of a mailbox's events of one type, newest first."""
        return [
            parsed["data"]
            async for event, _ in self._newest_first(self._keys.log(mailbox))
            if (parsed := from_json(event))["type"] == type
        ]

    async def gaps(self) -> list[Mapping[str, Any]]:
        """The ``data`` of each stored ``exmail.upstream.missed``, newest first."""
        return await self.data_of(SYSTEM, UPSTREAM_MISSED)

    async def dead(self) -> int:
        """The number of stored documents that could not be read."""
        with translated():
            return await self._redis.xlen(self._keys.dead)

    async def _newest_first(self, key: str) -> AsyncIterator[tuple[bytes, bytes]]:
        last = "+"
        while True:
            with translated():
                entries = await self._redis.xrevrange(key, last, "-", count=_PIECE)
            for _, fields in entries:
                yield fields[b"event"], fields.get(b"mailbox", b"")
            if len(entries) < _PIECE:
                return
            last = f"({entries[-1][0].decode()}"
