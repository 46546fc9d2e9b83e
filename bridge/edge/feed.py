"""From Redis to the tails: the process's one pub/sub connection, and what it cannot be relied on for.

Pub/sub loses messages silently. A loss shows as a jump in seq, as a reconnect, or, where the last message was lost,
only when positions are compared. Each of these makes the loader read the journal. The order that leaves no gap:
subscribe, wait for Redis's confirmation, read position and history, then let live messages through.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from bridge.edge.canaries import Canaries
from bridge.edge.channels import Channels
from bridge.edge.cursor import Cursor
from bridge.edge.hub import Hub
from bridge.edge.loader import Loader
from bridge.edge.news import News
from bridge.edge.opening import Opening
from bridge.edge.pace import Pace
from bridge.edge.portions import portions
from bridge.edge.probe import Probe
from bridge.edge.recollection import Recollection
from bridge.edge.rounds import Rounds
from bridge.edge.tail import Tail
from bridge.edge.tops import Tops
from bridge.events import CANARY, Position, addresses_of, head_of, time_of
from bridge.journal.clock import SharedClock
from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalAway, JournalError, JournalRefused, JournalSpoilt, MailboxBarred
from bridge.journal.keys import Keys
from bridge.journal.reader import OpenRequest, Reader
from bridge.journal.reports import Reports
from bridge.journal.standing import Asker, Standings
from bridge.journal.subscription import Subscription
from bridge.obs.lasting import Lasting
from bridge.obs.metrics import Metrics
from bridge.obs.readiness import Unready

__all__ = ["Feed", "Pace"]

log = logging.getLogger(__name__)

_HOPS: Final = 3


class Feed:
    """The tails of this process. ``run`` keeps them up to date; ``open`` opens one for a new connection.

    ``connected`` is set after the first subscription; browsers can only be served from then on. ``name`` names this
    process to people. ``asked`` gets the inquiries that arrive. ``clock`` is monotonic seconds; ``redis_clock`` is
    Redis's clock, which a worker's times are compared with.
    """

    def __init__(
        self,
        *,
        address: RedisAddress,
        keys: Keys,
        reader: Reader,
        standings: Standings,
        rounds: Rounds,
        reports: Reports,
        name: str,
        redis_clock: SharedClock,
        recollection: Recollection,
        asked: Callable[[bytes], None] = lambda payload: None,
        hub: Hub,
        metrics: Metrics,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._reader = reader
        self._rounds = rounds
        self._redis_clock = redis_clock
        self._recollection = recollection
        self._asked = asked
        self._metrics = metrics
        self._pace = pace or Pace()
        self._away = Lasting()
        self._clock = clock
        self._channels = Channels(keys, reader, look_s=self._pace.probe_s)
        self._probe = Probe(
            self._channels, reader, reports, metrics, name=name, pace=self._pace, clock=clock, redis_clock=redis_clock
        )
        self._tails: dict[bytes, Tail] = {}
        self._arrived: set[Tail] = set()
        # Found by identity: a name would be one more thing of each tail that is not in the processor's cache.
        self._canary: Tail | None = None
        self._subscription: Subscription | None = None
        self.connected = asyncio.Event()
        # The tails whose channel is not confirmed yet, each with those who wait for it.
        self._confirming: dict[Tail, list[asyncio.Future[None]]] = {}
        self._loader = Loader(reader, standings, metrics, look=rounds.look, pace=self._pace)
        self._canaries = Canaries(reader, metrics, redis_clock)
        self._tops = Tops(
            reader, self._loader, rounds, recollection, tails=lambda: self._tails.values(), every_s=self._pace.tops_s
        )
        self.news = News(reader, hub, metrics, look_s=self._pace.probe_s)

    # -- what connections use

    def ready(self) -> Unready | None:
        """``None`` if a probe has come back through Redis lately, otherwise why this process is not ready."""
        if not self.connected.is_set():
            return Unready("starting", "no pub/sub connection")
        if self._subscription is None:
            return Unready("feed", "no pub/sub connection")
        if self._probe.is_overdue:
            return Unready("feed", "the pub/sub probe did not come back")
        return None

    async def open(self, asker: Asker, after: Position | None) -> Opening:
        """Open a mailbox for a new connection.

        The tail counts the connection as ``opening`` until :meth:`opened` is called.

        Raises:
            JournalAway: Redis does not answer; the client should come later.
            JournalSpoilt: what is stored of this mailbox cannot be read.
            MailboxBarred: the account is disabled or deleted.
        """
        mailbox = asker.address
        for _ in range(_HOPS):
            tail = self._tail(mailbox)
            tail.opening += 1
            news, rounds = self.news.number, self._rounds.number
            try:
                await self._listening(tail)
                opened, standing = await self._loader.open(OpenRequest(mailbox, after, ask=mailbox != CANARY), asker)
                if opened.status == "barred":
                    raise MailboxBarred(opened.mailbox)
            except BaseException:
                self.opened(tail)
                raise
            if opened.mailbox == mailbox == standing.account:
                if not tail.adopt(opened):
                    self._loader.gap(tail, "seq")
                if tail is not self._canary:
                    self._recollection.heard_of((tail,))
                return Opening(tail, opened, standing, news, rounds)
            # The address is a slave: its account's stream is the one to follow.
            self.opened(tail)
            mailbox = standing.account
        raise JournalSpoilt("an address that does not come to stand for one account")

    def joined(self, opening: Opening, cursor: Cursor) -> None:
        """The connection has its socket: give it what was broadcast since its mailbox was opened."""
        self._arrived.add(opening.tail)
        self.news.repeat(cursor, opening.news)
        self._rounds.joined(cursor, opening.rounds)

    def opened(self, tail: Tail) -> None:
        """The connection that :meth:`open` was called for has joined the tail, or failed."""
        tail.opening -= 1
        tail.idle_since = self._clock()
        if tail.is_idle:
            self._loader.deserted(tail)

    def tails(self) -> list[Tail]:
        """Those of all mailboxes with a connection here, and of some that had one."""
        return list(self._tails.values())

    def take_arrived(self) -> list[Tail]:
        """Those that got a connection since the last call."""
        arrived, self._arrived = self._arrived, set()
        return list(arrived)

    # -- subscriptions

    def _tail(self, mailbox: str) -> Tail:
        channel = self._channels.of(mailbox).encode()
        tail = self._tails.get(channel)
        if tail is None:
            tail = self._tails[channel] = Tail(mailbox, self._loader)
            tail.idle_since = self._clock()
            self._confirming[tail] = []
            self._loader.work.set()
            if mailbox == CANARY:
                self._canary = tail
        return tail

    async def _listening(self, tail: Tail) -> None:
        if self._subscription is None:
            raise JournalAway("no pub/sub connection")
        if (waiting := self._confirming.get(tail)) is not None:
            # One for each, because who stops waiting must not end it for the others.
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiting.append(future)
            await future

    def _confirmed(self, tails: list[Tail]) -> None:
        for tail in tails:
            for future in self._confirming.pop(tail, ()):
                if not future.done():
                    future.set_result(None)

    async def _subscribe_new(self) -> None:
        """Subscribe the tails that wait for it, and let those proceed who wait for the confirmation."""
        subscription = self._subscription
        tails = list(self._confirming)
        if subscription is None or not tails:
            return
        channels = [self._channels.of(tail.mailbox) for tail in tails]
        try:
            await subscription.subscribe(channels, sharded=self._channels.sharded)
        except JournalError:
            return
        self._confirmed(tails)

    # -- live messages

    def _received(self, messages: list[tuple[bytes, bytes]]) -> None:
        """Take what one read of the socket brought: append everything, then write once for each cursor."""
        tails = self._tails
        touched: dict[Tail, bytes] = {}
        for channel, event in messages:
            tail = tails.get(channel)
            if tail is None:
                self._other(channel, event)
                continue
            try:
                epoch, seq = head_of(event)
            except ValueError:
                # Anybody with the right to publish could send anything; the journal knows what is there.
                self._loader.gap(tail, "seq")
                continue
            if tail.append(epoch, seq, event):
                touched.setdefault(tail, event)
            else:
                self._loader.gap(tail, "seq")
        canary = self._canary
        if canary is not None and canary in touched:
            canary.flush()
            self._canaries.came(touched.pop(canary))
        sample = None
        for tail, event in touched.items():
            if tail.flush() and sample is None:
                sample = event
        self._recollection.heard_of(touched)
        if sample is not None and (arrived := time_of(sample)) is not None:
            # The first event of each read: the worst case, at a cost that does not grow with the number of events.
            self._metrics.delivery_seconds.observe(max(0.0, self._redis_clock() - arrived))

    def _other(self, channel: bytes, payload: bytes) -> None:
        channels = self._channels
        if channel == channels.probe:
            self._probe.came(payload)
        elif channel == channels.system:
            if b'"type":"exmail.upstream.' in payload:
                self.news.look()
            else:
                channels.look()
        elif channel == channels.control:
            self._rounds.kicked(payload)
        elif channel == channels.directory:
            self._rounds.all()
            with suppress(ValueError, LookupError, TypeError, AttributeError):
                for address in addresses_of(payload):
                    tail = self._tails.get(channels.of(address).encode())
                    if tail is not None and tail.cursors:
                        self._loader.look_again(tail)
        elif channel == channels.inquiry:
            self._asked(payload)
        elif channel == channels.canary:
            self._canaries.came(payload)

    # -- looking after itself

    async def run(self) -> None:
        """Stay connected, and repair what pub/sub loses. Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stay_connected(), name="feed connection")
            tasks.create_task(self._rounds.run(), name="feed rounds")
            tasks.create_task(self._loader.run(self._subscribe_new), name="feed questions")
            tasks.create_task(self.news.run(), name="news")
            tasks.create_task(self._canaries.run(), name="feed canaries")
            tasks.create_task(self._channels.follow(self._leave, self._address), name="feed channels")
            tasks.create_task(self._tops.run(), name="feed tops")
            tasks.create_task(self._drop_idle(), name="feed idle")

    async def _stay_connected(self) -> None:
        delay_s = self._pace.reconnect_s
        first = True
        while True:
            subscription = Subscription(self._received, patience_s=self._pace.deaf_s)
            try:
                await subscription.connect(self._address)
                await subscription.subscribe(self._channels.plain)
                # Whoever leads from now on in another way is heard to begin.
                await self._channels.choose()
                tails = await self._listen(subscription)
                self._subscription = subscription
                self._loader.dialled()
                self.connected.set()
                self._away.over()
                self._confirmed(tails)
                if not first:
                    self._metrics.feed_reconnects.inc()
                    for tail in tails:
                        self._loader.gap(tail, "reconnect")
                self._loader.work.set()
                self.news.look()
                self._rounds.all()
                first = False
                delay_s = self._pace.reconnect_s
                why = await self._probe.until_lost(subscription.lost)
                if why is None:
                    await self._probe.tell_deaf()
                else:
                    log.warning("pub/sub connection lost", extra={"error": why})
            except JournalError as error:
                if self._away.is_due():
                    log.warning("no pub/sub connection", extra={"error": str(error)})
            finally:
                self._subscription = None
                subscription.close()
            self._fail_confirming()
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, 5.0)

    async def _listen(self, subscription: Subscription) -> list[Tail]:
        """Listen to what concerns the mailboxes that are open here, and return their tails."""
        channels = self._channels
        self._tails = {channels.of(tail.mailbox).encode(): tail for tail in self._tails.values()}
        tails = list(self._tails.values())
        names = [*channels.own, *(channels.of(tail.mailbox) for tail in tails)]
        try:
            await subscription.subscribe(names, sharded=channels.sharded)
        except JournalRefused as error:
            if channels.sharded:
                channels.deny(error)
            raise
        return tails

    def _leave(self, why: str) -> None:
        if self._subscription is not None:
            self._subscription.leave_because(why)

    def _fail_confirming(self) -> None:
        """Fail the connections that wait for a confirmation; their tails are subscribed after the next dial."""
        for waiting in self._confirming.values():
            for future in waiting:
                if not future.done():
                    future.set_exception(JournalAway("pub/sub connection lost"))
            waiting.clear()

    async def _drop_idle(self) -> None:
        """Unsubscribe from mailboxes that have had no connection for a while."""
        while True:
            await asyncio.sleep(self._pace.idle_s / 2)
            before = self._clock() - self._pace.idle_s
            async for some in portions(self._loader.idle):
                self._loader.idle.difference_update([tail for tail in some if not tail.is_idle])
                self._drop([tail for tail in some if tail.is_idle and tail.idle_since < before])
            self._metrics.edge_mailboxes.set(len(self._tails))

    def _drop(self, tails: list[Tail]) -> None:
        dropped = []
        for tail in tails:
            channel = self._channels.of(tail.mailbox)
            if self._tails.get(channel.encode()) is not tail:
                # It still has the channel of a connection to Redis that is being replaced: later.
                continue
            del self._tails[channel.encode()]
            self._recollection.dropped(tail)
            self._confirming.pop(tail, None)
            self._loader.forget(tail)
            if tail.mailbox != CANARY:
                dropped.append(channel)
        if dropped and self._subscription is not None:
            with suppress(JournalAway):
                self._subscription.unsubscribe(dropped, sharded=self._channels.sharded)
