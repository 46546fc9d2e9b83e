"""The edge's side of the journal: what needs no lease.

Opening a connection, resuming, repairing a gap and comparing tops are one script operation (``open``), and many
mailboxes go in one round trip.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis.asyncio import Redis

from bridge.events import Position, UpstreamState, time_of
from bridge.journal.batch import Batch
from bridge.journal.errors import FormatTooNew, JournalRefused, MailboxBarred, NotLetIn, translated
from bridge.journal.keys import Keys
from bridge.journal.script import Script
from bridge.journal.writer import FORMAT, new_epoch

Status = Literal["resumed", "first", "expired", "epoch", "barred"]
Standing = Literal["open", "barred", "moved"]
"""What became of an address: it may be opened · its account is disabled or deleted · it is a slave now."""
TICKET_S = 30
_BARRED = 3


@dataclass(frozen=True, slots=True)
class Upstream:
    """The state of the connection to the provider, since when (epoch ms; None = never seen) and why."""

    state: UpstreamState
    since: int | None
    why: str


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """``after``: the position to resume from; ``ask``: have the worker ask for a stale count."""

    mailbox: str
    after: Position | None = None
    ask: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """One mailbox at one moment.

    ``mailbox`` is the account's main address also where a slave was asked for. ``top`` is the last event's
    position. ``events``: with ``resumed`` all after the position asked for, else the newest mails; oldest first.
    ``barred``: the account is disabled or deleted; nothing else is told.
    """

    mailbox: str
    top: Position
    unread: int | None
    as_of: int | None
    status: Status
    events: list[bytes]
    known: bool
    upstream: Upstream


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a mailbox's history, oldest first. ``complete``: nothing is missing before the first event."""

    mailbox: str
    events: list[bytes]
    position: Position
    more: bool
    complete: bool


class Reader:
    """Reads for browsers. ``history_s``: older events count as gone; ``stale_s``: older counts are asked for anew."""

    def __init__(
        self, redis: Redis, keys: Keys, *, history_events: int, history_s: int, recent: int = 20, stale_s: int = 600
    ) -> None:
        # redis-py types an answer as everything that some option could make of it; ours are bytes.
        self._redis: Any = redis
        self._script = Script(redis)
        self._keys = keys
        self._history_events = history_events
        self._history_s = history_s
        self._recent = recent
        self._stale_ms = stale_s * 1000
        self._tickets: Batch[str, bytes | None] = Batch(self._take_tickets)

    async def check(self) -> str | None:
        """Find out by trying whether this server will do; return a warning for the operator, if any.

        Raises:
            JournalAway, JournalRefused, FormatTooNew
        """
        with translated():
            try:
                await self._script.run([((self._keys.probe,), ("probe",))])
            except NotLetIn:
                raise
            except JournalRefused as error:
                raise JournalRefused(f"this server is too old, Redis 7.0 or Valkey 7.2 is needed: {error}") from error
            written = int(await self._redis.get(self._keys.format) or 0)
            if written > FORMAT:
                raise FormatTooNew(f"the data have layout {written}, this program knows {FORMAT}")
            memory = await self._redis.info("memory")
        if memory.get("maxmemory") and memory.get("maxmemory_policy") != "noeviction":
            return f"maxmemory-policy is {memory['maxmemory_policy']}: Redis may throw events away; set noeviction"
        return None

    async def open(self, requests: Sequence[OpenRequest]) -> list[Opened]:
        """Open many mailboxes in one round trip (a second one for slaves and for histories that are over age)."""
        opened = await self._open(requests)
        # A log lives as long as its newest event; what is over age in it counts as gone.
        oldest = time.time() - self._history_s
        again = [
            number
            for number, found in enumerate(opened)
            if found.status == "resumed" and found.events and (time_of(found.events[0]) or oldest) < oldest
        ]
        if again:
            fresh = await self._open([OpenRequest(opened[number].mailbox) for number in again])
            for number, found in zip(again, fresh, strict=True):
                opened[number] = Opened(
                    found.mailbox,
                    found.top,
                    found.unread,
                    found.as_of,
                    "expired",
                    found.events,
                    found.known,
                    found.upstream,
                )
        for found in opened:
            if found.status != "resumed":
                found.events[:] = [event for event in found.events if (time_of(event) or oldest) >= oldest]
        return opened

    async def _open(self, requests: Sequence[OpenRequest]) -> list[Opened]:
        mailboxes = [request.mailbox for request in requests]
        answers = await self._script.run([self._open_call(request, request.mailbox) for request in requests])
        slaves = [number for number, answer in enumerate(answers) if answer[0] == 2]
        if slaves:
            for number in slaves:
                mailboxes[number] = answers[number][1].decode()
            more = await self._script.run([self._open_call(requests[number], mailboxes[number]) for number in slaves])
            for number, answer in zip(slaves, more, strict=True):
                answers[number] = answer
        return [_opened(mailbox, answer) for mailbox, answer in zip(mailboxes, answers, strict=True)]

    def _open_call(self, request: OpenRequest, mailbox: str) -> tuple[Sequence[str], Sequence[str | int]]:
        after = request.after
        return (
            self._open_keys(mailbox),
            (
                "open",
                new_epoch(),
                mailbox,
                after.epoch if after else "",
                after.seq if after else 0,
                self._history_events,
                self._recent,
                self._stale_ms if request.ask else "",
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
        # One more than asked for says whether there is more.
        arguments = (after.epoch, after.seq, limit + 1) if after else ("", 0, limit)
        while True:
            [answer] = await self._script.run([(self._open_keys(mailbox), ("page", new_epoch(), mailbox, *arguments))])
            if answer[0] == 1:
                break
            if answer[0] == _BARRED:
                raise MailboxBarred(mailbox)
            mailbox = answer[1].decode()
        _, raw_epoch, top, events, first = answer
        epoch = raw_epoch.decode()
        resumed = after is not None and after.epoch == epoch and after.seq <= top
        more = resumed and len(events) > limit
        # An epoch we do not know: the script gave the newest page, one entry too long.
        events = events[:limit] if resumed else events[-limit:]
        oldest = time.time() - self._history_s
        kept = [event for event in events if (time_of(event) or oldest) >= oldest]
        begins_at = first + (len(events) - len(kept) if resumed else 0)
        if resumed and after is not None:
            complete = begins_at == after.seq + 1 if kept else after.seq == top
            last = after.seq if not events else first + len(events) - 1
        else:
            complete = after is None
            last = top
        return Page(mailbox, kept, Position(epoch, last), more, complete)

    async def unread(self, mailbox: str) -> tuple[str, int | None, int | None]:
        """Return ``(account address, unread, as_of ms)``; opens nothing but asks for a stale count.

        Raises:
            MailboxBarred: the account is disabled or deleted.
            JournalAway, JournalRefused
        """
        [found] = await self._open([OpenRequest(mailbox, ask=True)])
        if found.status == "barred":
            raise MailboxBarred(found.mailbox)
        return found.mailbox, found.unread, found.as_of

    async def tops(self, mailboxes: Sequence[str]) -> list[Position | None]:
        """The last position of each mailbox, ``None`` where a generation has gone; one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.get(self._keys.generation)
        for mailbox in mailboxes:
            pipeline.hmget(self._keys.state(mailbox), "generation", "epoch", "seq")
        with translated():
            generation, *states = await pipeline.execute()
        return [
            Position(epoch.decode(), int(seq)) if epoch and of == (generation or b"0") else None
            for of, epoch, seq in states
        ]

    async def standing(self, mailboxes: Sequence[str]) -> list[Standing]:
        """How each address stands now; one round trip."""
        if not mailboxes:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hmget(self._keys.slaves, mailboxes)
        pipeline.smismember(self._keys.barred, mailboxes)
        with translated():
            accounts, barred = await pipeline.execute()
        # As ``open`` does it: a slave is what its account is.
        return [
            "moved" if account is not None else "barred" if bar else "open"
            for account, bar in zip(accounts, barred, strict=True)
        ]

    async def commits(self) -> int:
        """How many commits there were; unchanged = nothing was written in between."""
        with translated():
            return int(await self._redis.get(self._keys.commits) or 0)

    async def upstream(self) -> Upstream:
        """The provider connection as the leader last wrote it; no lease = disconnected."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.exists(self._keys.lease)
        pipeline.hmget(self._keys.upstream, "state", "since", "why")
        with translated():
            led, fields = await pipeline.execute()
        return _upstream(led, *fields)

    async def publish(self, channel: str, text: str) -> None:
        """Send a probe round through Redis."""
        with translated():
            await self._redis.publish(channel, text)

    async def mark_online(self, mailboxes: Iterable[str], *, for_s: int) -> None:
        """Say that these mailboxes have an open browser here; entries expire, nobody counts down."""
        until = time.time() + for_s
        marks = dict.fromkeys(mailboxes, until)
        if marks:
            with translated():
                await self._redis.zadd(self._keys.online, marks)

    async def put_ticket(self, claims: bytes) -> str:
        """Keep ``claims`` for :data:`TICKET_S` seconds; return the ticket that opens them once."""
        ticket = secrets.token_urlsafe(24)
        with translated():
            await self._redis.set(self._keys.ticket(_digest(ticket)), claims, ex=TICKET_S)
        return ticket

    async def take_ticket(self, ticket: str) -> bytes | None:
        """Spend a ticket; ``None`` if it is unknown, spent or expired."""
        return await self._tickets.ask(self._keys.ticket(_digest(ticket)))

    async def _take_tickets(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.getdel(key)
        with translated():
            taken: list[bytes | None] = await pipeline.execute()
        return taken


def _digest(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()


def _opened(mailbox: str, answer: list[Any]) -> Opened:
    if answer[0] == _BARRED:
        return Opened(mailbox, Position("", 0), None, None, "barred", [], True, _upstream(0, None, None, None))
    _, epoch, seq, unread, as_of, status, events, known, led, state, since, why = answer
    return Opened(
        mailbox=mailbox,
        top=Position(epoch.decode(), seq),
        unread=None if unread is None else int(unread),
        as_of=None if as_of is None else int(as_of),
        status=status.decode(),
        events=events,
        known=bool(known),
        upstream=_upstream(led, state, since, why),
    )


def _upstream(led: int, state: bytes | None, since: bytes | None, why: bytes | None) -> Upstream:
    if not led:
        return Upstream("disconnected", None, "no worker leads")
    if state == b"connected":
        return Upstream("connected", int(since or 0), (why or b"").decode())
    if state == b"degraded":
        return Upstream("degraded", int(since or 0), (why or b"").decode())
    return Upstream("disconnected", int(since) if since else None, (why or b"not connected yet").decode())
