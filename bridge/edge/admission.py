"""From a request to the mailboxes that a new connection follows: who asks, for what, and whether he may.

``?mailbox=*`` asks for all that the credential names. Of those some may be refused; the connection follows the others,
and is told which it does not follow and why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bridge.access import codes
from bridge.access.access import Access, Identity
from bridge.access.asking import Asking
from bridge.access.refused import Refused
from bridge.access.standing import require_standing
from bridge.edge.feed import Feed
from bridge.edge.opening import Opening
from bridge.edge.places import Places
from bridge.edge.positions import parse_positions
from bridge.edge.reception import JOURNAL_FAULTS, Reception
from bridge.events import CANARY, Position, parse_position
from bridge.journal.errors import JournalError, JournalSpoilt, MailboxBarred
from bridge.journal.standing import Asker

ALL: Final = "*"
UNREADABLE: Final = Position("-", 0)
"""Stands for a position that cannot be read. No epoch equals it, so the answer is ``resumed:false``, ``epoch``."""


class Admitted(NamedTuple):
    """A mailbox that the connection may follow: the address that was named, and the position to resume from."""

    address: str
    opening: Opening
    after: Position | None


class Admittance(NamedTuple):
    """Who asks, and what he may follow: at least one mailbox. ``withheld``: those that he may not, by address.

    ``many``: he asked for all of his.
    """

    identity: Identity
    many: bool
    mailboxes: Sequence[Admitted]
    withheld: Mapping[str, Refused]


class Admission:
    """Asks who is at the door. ``window_s``: for how long an address that changed person asks for a newer token."""

    def __init__(self, *, feed: Feed, access: Access, places: Places, reception: Reception, window_s: int) -> None:
        self._feed = feed
        self._access = access
        self._places = places
        self._reception = reception
        self._window_s = window_s

    async def admit(self, request: Asking, after: str | None) -> Admittance:
        """Check who asks, and open what he asks for. ``after``: what he resumes from, as he wrote it.

        Each opened tail counts the connection as ``opening`` until the caller says :meth:`leave`, whatever comes of
        it. The caller limits the time.

        Raises:
            Refused: there is nothing that he may follow, or the journal does not answer.
        """
        opened: list[Admitted] = []
        try:
            identity = await self._access.identify(request)
            wanted = request.query.get("mailbox")
            if wanted == ALL:
                withheld = await self._open_all(identity, after, opened)
                return Admittance(identity, True, opened, withheld)
            await self._open(identity, self._access.choose(identity, wanted), _position(after), opened)
            self._check(identity, opened[0])
            return Admittance(identity, False, opened, {})
        except BaseException as error:
            self.leave(opened)
            if isinstance(error, JOURNAL_FAULTS):
                raise self._reception.in_words(error) from error
            raise

    def leave(self, opened: Sequence[Admitted]) -> None:
        """Who opened these follows them by now, or is not going to."""
        for each in opened:
            self._feed.opened(each.opening.tail)

    async def _open(self, identity: Identity, address: str, after: Position | None, opened: list[Admitted]) -> Admitted:
        opening = await self._feed.open(Asker(address, identity.session), after)
        admitted = Admitted(address, opening, after)
        opened.append(admitted)
        return admitted

    def _check(self, identity: Identity, admitted: Admitted) -> None:
        require_standing(identity, admitted.opening.standing, window_s=self._window_s)
        there = admitted.opening.tail.cursors
        # Looked at one by one only where it matters: all who come back to one mailbox would look at all before them.
        if admitted.address != CANARY and not self._places.mailbox_has_room(len(there)):
            # Who was told to go counts no more, though his socket may need a moment.
            self._places.require_mailbox(sum(not each.connection.code for each in there))

    async def _open_all(self, identity: Identity, after: str | None, opened: list[Admitted]) -> dict[str, Refused]:
        """Open every mailbox that the credential names; return those that are withheld, and why."""
        positions = parse_positions(after) if after else {}
        # The edge writes them in the order of the mailboxes, so the first guess is mostly right.
        guesses = list(positions.values())
        faults: dict[str, Exception] = {}

        async def open_one(number: int, address: str) -> None:
            guess = guesses[number] if number < len(guesses) else UNREADABLE if after else None
            try:
                found = await self._open(identity, address, guess, opened)
                own = positions.get(found.opening.opened.top.epoch)
                if own is not None and own != guess:
                    opened.remove(found)
                    self.leave([found])
                    await self._open(identity, address, own, opened)
            except (JournalError, MailboxBarred) as error:
                faults[address] = error

        async with asyncio.TaskGroup() as tasks:
            for number, address in enumerate(identity.mailboxes):
                tasks.create_task(open_one(number, address), name="opening")
        withheld: dict[str, Refused] = {}
        for address, fault in faults.items():
            if not isinstance(fault, MailboxBarred | JournalSpoilt):
                # It concerns everybody, not one mailbox.
                raise fault
            withheld[address] = self._reception.in_words(fault)
        self._keep_admitted(identity, opened, withheld)
        if not opened:
            raise min(withheld.values(), key=lambda refused: not codes.may_return(refused.code))
        return withheld

    def _keep_admitted(self, identity: Identity, opened: list[Admitted], withheld: dict[str, Refused]) -> None:
        """Take those away that he may not follow, and all but one of those that mean the same account."""
        kept: dict[str, Admitted] = {}
        order = {address: number for number, address in enumerate(identity.mailboxes)}
        # An account's own address first: an alias may be taken away from it.
        own_first = sorted(opened, key=lambda each: (each.address != each.opening.tail.mailbox, order[each.address]))
        for each in own_first:
            account = each.opening.tail.mailbox
            try:
                self._check(identity, each)
            except Refused as refused:
                if refused.code == codes.KICKED:
                    raise
                withheld[each.address] = refused
            else:
                kept.setdefault(account, each)
        self.leave([each for each in opened if kept.get(each.opening.tail.mailbox) is not each])
        opened[:] = sorted(kept.values(), key=lambda each: order[each.address])


def _position(text: str | None) -> Position | None:
    """The position that a client resumes from. One that cannot be read belongs to no epoch; it is never an error."""
    return (parse_position(text) or UNREADABLE) if text else None
