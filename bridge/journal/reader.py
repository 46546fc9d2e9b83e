"""The edge's side of the journal: everything that needs no lease.

Opening a mailbox, resuming and repairing a gap are one operation of the script (``open``), and many mailboxes are asked
for in one round trip.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from bridge.events import Position, time_of
from bridge.journal.batch import Batch
from bridge.journal.client import number_in, typed
from bridge.journal.epochs import new_epoch, new_epochs
from bridge.journal.errors import JournalRefused, JournalSpoilt, MailboxBarred, NotLetIn, translated
from bridge.journal.keys import Keys
from bridge.journal.layout import refuse_newer
from bridge.journal.opened import (
    BARRED,
    SLAVE,
    AddressState,
    Opened,
    OpenRequest,
    Page,
    Status,
    UpstreamStatus,
    read_opened,
    read_top,
    read_upstream,
    whole,
)
from bridge.journal.script import Failed, Script
from bridge.journal.sharded import Published, read_published

__all__ = ["AddressState", "OpenRequest", "Opened", "Page", "Reader", "ServerMemory", "Status", "UpstreamStatus"]

_MOST_BYTES: Final = 65_536
"""The bound on the events of one answer, unless a single event is larger."""
_PAGE_BYTES: Final = 262_144
_ENTERED: Final = 512


@dataclass(frozen=True, slots=True)
class ServerMemory:
    """What a server uses and may use, in bytes (``limit`` 0: as much as there is), and its ``maxmemory-policy``."""

    used: int
    limit: int
    policy: str


class Reader:
    """Reads for browsers. ``history_s``: older events count as gone; ``stale_s``: older counts are asked for again.

    ``wall`` gives epoch seconds. It should follow Redis's clock, which the events were stamped by.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        history_events: int,
        history_s: int,
        recent: int = 20,
        stale_s: int = 600,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._redis = typed(redis)
        self._script = Script(redis)
        self._keys = keys
        self._history_events = history_events
        self._history_s = history_s
        self._recent = recent
        self._stale_ms = stale_s * 1000
        self._wall = wall
        self._tickets: Batch[str, bytes | None] = Batch(self._take_tickets)

    async def check(self) -> str | None:
        """Find out by trying whether this server can be used; return a warning for the operator, if any.

        Raises:
            JournalAway, JournalRefused, FormatTooNew
        """
        # First a command that every version knows: a server that refuses even that is not too old.
        await refuse_newer(self._redis, self._keys)
        try:
            await self.try_write()
        except NotLetIn:
            raise
        except JournalRefused as error:
            raise JournalRefused(f"this server is too old, Redis 7.0 or Valkey 7.2 is needed: {error}") from error
        memory = await self.memory()
        if memory.limit and memory.policy != "noeviction":
            return f"maxmemory-policy is {memory.policy}: Redis may throw events away; set noeviction"
        return None

    async def memory(self) -> ServerMemory:
        """What the server uses, and what it does when there is no more.

        Raises:
            JournalAway, JournalRefused
        """
        with translated():
            found = await self._redis.info("memory")
        used, limit = number_in(found, "used_memory"), number_in(found, "maxmemory")
        return ServerMemory(used, limit, str(found.get("maxmemory_policy", "")))

    async def try_write(self) -> None:
        """Find out by trying whether the server accepts a write.

        Raises:
            JournalAway, JournalRefused
        """
        await self._script.run([((self._keys.probe,), ("probe",))])

    async def open(self, requests: Sequence[OpenRequest]) -> list[Opened]:
        """Open many mailboxes; see :meth:`open_each`.

        Raises:
            JournalSpoilt: what one of them has cannot be read.
            TakesNoWrites: one of them does not exist in this generation and cannot be created.
        """
        return [whole(opened) for opened in await self.open_each(requests)]

    async def open_each(self, requests: Sequence[OpenRequest]) -> list[Opened | Failed]:
        """Open many mailboxes in one round trip, with a second one for slaves and for histories that are too old.

        A mailbox that cannot be read or created fails alone.
        """
        opened = await self._open(requests)
        # A log expires with its newest event; older events in it that are over age count as gone.
        oldest = self._wall() - self._history_s
        again = [
            number
            for number, found in enumerate(opened)
            if isinstance(found, Opened)
            and found.status == "resumed"
            and found.events
            and (time_of(found.events[0]) or oldest) < oldest
        ]
        if again:
            fresh = await self._open([OpenRequest(whole(opened[number]).mailbox) for number in again])
            for number, found in zip(again, fresh, strict=True):
                opened[number] = replace(found, status="expired") if isinstance(found, Opened) else found
        for found in opened:
            if isinstance(found, Opened) and found.status != "resumed":
                found.events[:] = [event for event in found.events if (time_of(event) or oldest) >= oldest]
        return opened

    async def _open(self, requests: Sequence[OpenRequest]) -> list[Opened | Failed]:
        mailboxes = [request.mailbox for request in requests]
        epochs = new_epochs(len(requests))
        answers = await self._script.run_each(
            [self._open_call(request, request.mailbox, epoch) for request, epoch in zip(requests, epochs, strict=True)]
        )
        slaves: list[int] = []
        for number, answer in enumerate(answers):
            if isinstance(answer, list) and answer[0] == SLAVE:
                mailboxes[number] = answer[1].decode(errors="replace")
                slaves.append(number)
        if slaves:
            calls = [self._open_call(requests[number], mailboxes[number], new_epoch()) for number in slaves]
            more = await self._script.run_each(calls)
            for number, answer in zip(slaves, more, strict=True):
                answers[number] = answer
        return [read_opened(mailbox, answer) for mailbox, answer in zip(mailboxes, answers, strict=True)]

    def _open_call(self, request: OpenRequest, mailbox: str, epoch: str) -> tuple[Sequence[str], Sequence[str | int]]:
        after = request.after
        return (
            self._open_keys(mailbox),
            (
                "open",
                epoch,
                mailbox,
                after.epoch if after else "",
                after.seq if after else 0,
                self._history_events,
                self._recent if request.mails else 0,
                self._stale_ms if request.ask else "",
                _MOST_BYTES,
                "1" if request.patient else "",
            ),
        )

    def _open_keys(self, mailbox: str) -> Sequence[str]:
        keys = self._keys
        return (
            keys.lease,
            keys.wanted,
            keys.generation,
            keys.state(mailbox),
            keys.log(mailbox),
            keys.directory,
            keys.slaves,
            keys.upstream,
            keys.barred,
        )

    async def page(self, mailbox: str, *, after: Position | None, limit: int) -> Page:
        """One page of history after a position, or the newest one.

        Raises:
            MailboxBarred: the account is disabled or deleted.
            JournalAway, JournalRefused
        """
        # Ask for one more, to know whether there is more.
        arguments = (after.epoch, after.seq, limit + 1) if after else ("", 0, limit)
        mailbox, answer = await self._page(mailbox, arguments)
        try:
            _, raw_epoch, top, events, first = answer
            epoch = raw_epoch.decode()
        except (ValueError, AttributeError) as error:
            raise JournalSpoilt(f"what is stored there cannot be read: {error}") from None
        resumed = after is not None and after.epoch == epoch and after.seq <= top
        # There is also more if the page was cut at its limit in bytes.
        more = resumed and bool(events) and (len(events) > limit or first + len(events) - 1 < top)
        # For an unknown epoch the script answers with the newest page, which is one entry too long.
        events = events[:limit] if resumed else events[-limit:]
        oldest = self._wall() - self._history_s
        kept = [event for event in events if (time_of(event) or oldest) >= oldest]
        begins_at = first + (len(events) - len(kept) if resumed else 0)
        if resumed and after is not None:
            complete = begins_at == after.seq + 1 if kept else after.seq == top
            last = after.seq if not events else first + len(events) - 1
        else:
            complete = after is None
            last = top
        return Page(mailbox, kept, Position(epoch, last), more, complete)

    async def _page(self, mailbox: str, arguments: Sequence[str | int]) -> tuple[str, list[Any]]:
        for address in (mailbox, None):
            mailbox = address or mailbox
            call = (self._open_keys(mailbox), ("page", new_epoch(), mailbox, *arguments, _PAGE_BYTES))
            [answer] = await self._script.run_each([call])
            if not isinstance(answer, list):
                raise answer
            if answer[0] == BARRED:
                raise MailboxBarred(mailbox)
            if answer[0] != SLAVE:
                return mailbox, answer
            mailbox = answer[1].decode(errors="replace")
        raise JournalSpoilt("a slave of a slave")

    async def unread(self, mailbox: str) -> tuple[str, int | None, int | None]:
        """Return ``(account address, unread, as_of in ms)``, and have the worker ask for a stale count.

        Raises:
            MailboxBarred: the account is disabled or deleted.
            JournalAway, JournalRefused
        """
        found = whole((await self._open([OpenRequest(mailbox, ask=True, mails=False)]))[0])
        if found.status == "barred":
            raise MailboxBarred(found.mailbox)
        return found.mailbox, found.unread, found.as_of

    async def tops(self, mailboxes: Sequence[str]) -> list[Position | None]:
        """The last position of each mailbox, ``None`` if it has none in this generation; one round trip.

        Raises:
            JournalAway, JournalRefused
        """
        keys = self._keys
        fields = ("generation", "epoch", "seq")
        # Not by redis-py, whose pipeline would take four times as long for ten thousand of them.
        asked = [("GET", keys.generation), *(("HMGET", keys.state(mailbox), *fields) for mailbox in mailboxes)]
        generation, *states = await self._script.ask(asked)
        return [read_top(state, generation or b"0") for state in states]

    async def states(self, mailboxes: Sequence[str]) -> list[AddressState]:
        """Whether each account's address may still be opened; one round trip.

        Raises:
            JournalAway, JournalRefused, JournalSpoilt
        """
        if not mailboxes:
            return []
        keys = self._keys
        asked = [("HMGET", keys.slaves, *mailboxes), ("SMISMEMBER", keys.barred, *mailboxes)]
        accounts, barred = await self._script.ask(asked)
        if not (isinstance(accounts, list) and isinstance(barred, list)):
            raise JournalSpoilt(f"{keys.slaves} or {keys.barred} is of another type")
        # In the same order as ``open``: a slave counts as moved even if it is barred.
        return [
            "moved" if account is not None else "barred" if bar else "open"
            for account, bar in zip(accounts, barred, strict=True)
        ]

    async def commits(self) -> int:
        """The number of commits; if it is unchanged, nothing was written in between."""
        with translated():
            return _number(await self._redis.get(self._keys.commits), self._keys.commits)

    async def written(self) -> tuple[int, int]:
        """The number of commits, and the generation."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.get(self._keys.commits)
        pipeline.get(self._keys.generation)
        with translated():
            commits, generation = await pipeline.execute()
        return _number(commits, self._keys.commits), _number(generation, self._keys.generation)

    async def upstream(self) -> UpstreamStatus:
        """The provider connection's state as the leader stored it; without a lease it is ``disconnected``."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.exists(self._keys.lease)
        pipeline.hmget(self._keys.upstream, "state", "since", "why")
        with translated():
            led, fields = await pipeline.execute(raise_on_error=False)
            for answer in (led, fields):
                if isinstance(answer, ResponseError) and not str(answer).startswith("WRONGTYPE"):
                    raise answer
        # The state is only additional information: an odd value must not fail anybody's opening.
        return read_upstream(led, *(fields if isinstance(fields, list) else (None, None, None)))

    async def publish(self, channel: str, text: str, *, sharded: bool = False) -> None:
        """Publish a probe."""
        with translated():
            await (self._redis.spublish if sharded else self._redis.publish)(channel, text)

    async def published(self) -> Published:
        """How the leader publishes what concerns a mailbox."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.get(self._keys.lease)
        pipeline.hget(self._keys.upstream, "sharded")
        with translated():
            return read_published(*await pipeline.execute())

    async def mark_online(self, mailboxes: Iterable[str], *, for_s: int) -> None:
        """Enter mailboxes with an open browser connection here; entries expire by Redis's clock."""
        names = list(mailboxes)
        if not names:
            return
        with translated():
            seconds, _ = await self._redis.time()
            # In pieces: ten thousand in one call cost Redis 30 ms, in which it serves nobody.
            for start in range(0, len(names), _ENTERED):
                await self._redis.zadd(
                    self._keys.online, dict.fromkeys(names[start : start + _ENTERED], seconds + for_s)
                )

    async def put_ticket(self, claims: bytes, *, life_s: int = 30) -> str:
        """Store ``claims`` for ``life_s`` seconds; return the ticket that stands for them once."""
        ticket = secrets.token_urlsafe(24)
        with translated():
            await self._redis.set(self._keys.ticket(_digest(ticket)), claims, ex=life_s)
        return ticket

    async def take_ticket(self, ticket: str) -> bytes | None:
        """Spend a ticket and return its claims; ``None`` if it is unknown, spent or expired."""
        return await self._tickets.ask(self._keys.ticket(_digest(ticket)))

    async def _take_tickets(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.getdel(key)
        with translated():
            return list(await pipeline.execute())


def _number(value: bytes | None, key: str) -> int:
    try:
        return int(value or 0)
    except ValueError:
        raise JournalSpoilt(f"{key} holds no number") from None


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()
