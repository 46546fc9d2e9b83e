"""The watchman's rounds: whether those who look may still do so.

A directory event, a kick, a new connection to Redis and each comparison of tops send him. Who is looked at is told by
the connections here, what is right by the journal: a message on a channel only wakes. Rounds of all are coalesced,
and one for a single session or mailbox goes at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from bridge.access.standing import ending
from bridge.edge.audience import Audience
from bridge.journal.errors import JournalError, NotLetIn
from bridge.journal.standing import Asker, Standing, Standings, named

if TYPE_CHECKING:
    from bridge.edge.subscriber import Subscriber

log = logging.getLogger(__name__)

_PIECE: Final = 512
_MOST_NAMED: Final = 256


class Rounds:
    """Ends connections that may not stay. ``window_s``: for how long a change of person asks for newer credentials.

    ``rest_s``: between two rounds of all; ``pause_s``: before the next try while Redis is away. ``number`` grows with
    each round that begins: who joins the audience and finds it higher than when he asked may have been passed by.
    """

    def __init__(
        self, standings: Standings, audience: Audience, *, window_s: int, rest_s: float = 1.0, pause_s: float = 0.25
    ) -> None:
        self._standings = standings
        self._audience = audience
        self._window_s = window_s
        self._rest_s = rest_s
        self._pause_s = pause_s
        self._everybody = False
        self._named: dict[bytes, None] = {}
        self._some: dict[Subscriber, None] = {}
        self._wake = asyncio.Event()
        self.number = 0

    def all(self) -> None:
        """Look at everybody, soon."""
        self._everybody = True
        self._wake.set()

    def told(self, payload: bytes) -> None:
        """A kick was told of: look at those whom it may mean, at once."""
        if len(self._named) < _MOST_NAMED:
            self._named[payload] = None
        else:
            # Whoever may publish could send anything: one round of all costs less than a list without end.
            self._everybody = True
        self._wake.set()

    def one(self, subscriber: Subscriber) -> None:
        """Look at one who joined while a round was under way."""
        self._some[subscriber] = None
        self._wake.set()

    async def run(self) -> None:
        """Go round when woken, until cancelled."""
        loop = asyncio.get_running_loop()
        rested_at = loop.time()
        while True:
            rest_s = rested_at - loop.time() if self._everybody else None
            try:
                async with asyncio.timeout(rest_s if rest_s is None else max(0.0, rest_s)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            due = self._everybody and loop.time() >= rested_at
            if due:
                self._everybody = False
                self._named.clear()
                self._some.clear()
                rested_at = loop.time() + self._rest_s
            try:
                await self._go(self._audience.everybody() if due else self._meant())
            except JournalError as error:
                if not isinstance(error, NotLetIn):
                    log.debug("a round was broken off", extra={"error": str(error)})
                # What was not looked at is looked at in the next one, with all others.
                self._everybody = True
                rested_at = max(rested_at, loop.time() + self._pause_s)

    def _meant(self) -> list[Subscriber]:
        """Whom the kicks that were told of may mean, and those who joined late."""
        some, self._some = self._some, {}
        names, self._named = self._named, {}
        if names:
            pairs = [named(name) for name in names]
            mailboxes = {mailbox for mailbox, session in pairs if not session}
            sessions = {session for _, session in pairs if session}
            for each in self._audience.everybody():
                if each.tail.mailbox in mailboxes or each.identity.session in sessions:
                    some[each] = None
        return list(some)

    async def _go(self, subscribers: Sequence[Subscriber]) -> None:
        self.number += 1
        await self.look(subscribers)

    async def look(self, subscribers: Sequence[Subscriber]) -> None:
        """End those of them who may not stay.

        Piece by piece: ten thousand at once would hold up delivery for as many microseconds.

        Raises:
            JournalError: not all were looked at.
        """
        for start in range(0, len(subscribers), _PIECE):
            askers: dict[Asker, list[Subscriber]] = {}
            for subscriber in subscribers[start : start + _PIECE]:
                if subscriber.transport is not None:
                    askers.setdefault(Asker(subscriber.address, subscriber.identity.session), []).append(subscriber)
            for asked, standing in zip(askers.values(), await self._standings.look(list(askers)), strict=True):
                self._judge(standing, asked)

    def _judge(self, standing: Standing, subscribers: Iterable[Subscriber]) -> None:
        for subscriber in subscribers:
            code = ending(
                subscriber.identity,
                standing,
                account=subscriber.tail.mailbox,
                since=subscriber.opened_at,
                window_s=self._window_s,
            )
            if code is not None:
                subscriber.end(code)
