"""Check again and again whether those who have a connection open may keep it.

A round is due after a directory event, a kick, a new connection to Redis and each comparison of tops. The connections
here say who is to be checked, the journal says how each stands; a message on a channel only starts a round. Rounds over
everybody are merged; one for a single session or mailbox starts at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from bridge.access import codes
from bridge.access.standing import ending
from bridge.edge.cursor import Cursor
from bridge.edge.hub import Hub
from bridge.journal.errors import JournalError, NotLetIn
from bridge.journal.standing import Asker, Standing, Standings, named

log = logging.getLogger(__name__)

_PIECE: Final = 128
_MOST_NAMED: Final = 256


class Rounds:
    """Ends connections that may not stay.

    ``believes``: whether what a secret of this name signed still counts. ``window_s``: for how long after a change of
    person older credentials are refused. ``rest_s``: the pause between two
    rounds over everybody; ``pause_s``: before the next try while Redis is away. ``number`` counts the rounds: a new
    connection that finds it higher than when it asked may have been missed by one.
    """

    def __init__(
        self,
        standings: Standings,
        hub: Hub,
        *,
        window_s: int,
        believes: Callable[[str], bool] = lambda signer: True,
        rest_s: float = 1.0,
        pause_s: float = 0.25,
    ) -> None:
        self._believes = believes
        self._standings = standings
        self._hub = hub
        self._window_s = window_s
        self._rest_s = rest_s
        self._pause_s = pause_s
        self._everybody = False
        self._named: dict[bytes, None] = {}
        self._some: dict[Cursor, None] = {}
        self._wake = asyncio.Event()
        self.number = 0

    def all(self) -> None:
        """Check everybody, soon."""
        self._everybody = True
        self._wake.set()

    def kicked(self, payload: bytes) -> None:
        """Check those whom a message about a kick may mean, at once."""
        if len(self._named) < _MOST_NAMED:
            self._named[payload] = None
        else:
            # Anybody with the right to publish could send anything; one round over everybody bounds the list.
            self._everybody = True
        self._wake.set()

    def joined(self, cursor: Cursor, number: int) -> None:
        """Check one that joined, if a round may have missed it; it asked at round ``number``."""
        # Its credential was proved even before that.
        if self.number != number or not self._believes(cursor.connection.identity.signer):
            self._some[cursor] = None
            self._wake.set()

    async def run(self) -> None:
        """Make rounds when woken, until cancelled."""
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
                self.number += 1
                if due:
                    await self._look_at_all()
                else:
                    await self.look(self._meant())
            except JournalError as error:
                if not isinstance(error, NotLetIn):
                    log.debug("a round was broken off", extra={"error": str(error)})
                # The next round checks everybody, so also those whom this one did not reach.
                self._everybody = True
                rested_at = max(rested_at, loop.time() + self._pause_s)

    def _meant(self) -> list[Cursor]:
        """Those whom kicks may mean, and those who joined during a round."""
        some, self._some = self._some, {}
        names, self._named = self._named, {}
        if names:
            pairs = [named(name) for name in names]
            mailboxes = {mailbox for mailbox, session in pairs if not session}
            sessions = {session for _, session in pairs if session}
            for each in self._hub.cursors():
                if each.ring.mailbox in mailboxes or each.connection.identity.session in sessions:
                    some[each] = None
        return list(some)

    async def _look_at_all(self) -> None:
        # First of all, for this is known without Redis.
        for piece in self._hub.cursors_in_pieces():
            self._end_disowned(piece)
            await asyncio.sleep(0)
        for piece in self._hub.cursors_in_pieces():
            await self._ask(piece)

    def _end_disowned(self, cursors: Iterable[Cursor]) -> None:
        """End those whose credential was signed with a secret that is gone."""
        for cursor in cursors:
            if not self._believes(cursor.connection.identity.signer):
                cursor.connection.end(codes.NO_CREDENTIAL)

    async def look(self, cursors: Sequence[Cursor]) -> None:
        """End those that may not stay, in pieces: ten thousand at once would delay delivery by as many microseconds.

        Raises:
            JournalError: not all were checked.
        """
        self._end_disowned(cursors)
        await self._ask(cursors)

    async def _ask(self, cursors: Sequence[Cursor]) -> None:
        for start in range(0, len(cursors), _PIECE):
            askers: dict[Asker, list[Cursor]] = {}
            for cursor in cursors[start : start + _PIECE]:
                if cursor.connection.transport is not None:
                    askers.setdefault(Asker(cursor.address, cursor.connection.identity.session), []).append(cursor)
            for asked, standing in zip(askers.values(), await self._standings.look(list(askers)), strict=True):
                self._judge(standing, asked)

    def _judge(self, standing: Standing, cursors: Iterable[Cursor]) -> None:
        for cursor in cursors:
            if standing.says_nothing and standing.account == cursor.ring.mailbox:
                continue
            code = ending(
                cursor.connection.identity,
                standing,
                account=cursor.ring.mailbox,
                since=cursor.opened_at,
                window_s=self._window_s,
            )
            if code is not None:
                cursor.end(code)
