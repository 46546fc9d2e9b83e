"""People come and go: accounts are added, disabled, deleted, and created again for somebody else; aliases change hands.

Each person has a browser on one transport that keeps coming back: with a new token as long as the address is the
person's, and with the last one when it is another's. Everything that each connection received is kept.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.simulator import World
from tests.support.browser_side import OPENERS, HandshakeRefused
from tests.support.follower import PATHS, SILENCE_S
from tests.support.stage import bearer

PLACES: Final = tuple(f"p{number}@gzdev.com" for number in range(1, 6))
"""Main addresses of people that come and go; as few as may disappear at once without an operator."""
DESKS: Final = ("desk1@gzdev.com", "desk2@gzdev.com")
"""Aliases that change hands."""
QUIET_S: Final = 1.5
"""No mail comes to a person for this long before he leaves: nobody could tell whose a late push would be."""
_PAUSE_S: Final = 0.3


@dataclass(slots=True, eq=False)
class Tenure:
    """An address that was one person's. Epoch seconds and Vers of the provider; ``until`` is ``None``: still.
    ``until_ver`` is that of the change that ended it.

    ``began`` and ``ended`` are the monotonic clock, as the simulator's log of calls has it.
    """

    address: str
    person: int
    since: float
    began: float
    from_ver: int
    until: float | None = None
    ended: float | None = None
    until_ver: int = 0
    visits: list[Visit] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Visit:
    """One connection. ``is_open``: it was let in and did not end. ``signed``: its token's ``iat``; ``opened``: when it
    was let in, epoch seconds."""

    signed: float
    opened: float | None = None
    is_open: bool = False
    code: int | None = None
    events: list[dict[str, Any]] = field(default_factory=list)


class Staff:
    """Who holds which address, and his browsers. ``seed`` is the history's; the dice are nobody else's."""

    def __init__(self, world: World, ports: list[int], seed: int) -> None:
        self._world = world
        self._ports = ports
        self._dice = random.Random(f"{seed} people")
        self._hired = 0
        self._leaving: dict[str, float] = {}
        self.tenures: list[Tenure] = []
        self._browsers: list[asyncio.Task[None]] = []

    def settle_in(self) -> None:
        """All are there, before anybody looks."""
        for place in PLACES:
            self._world.add_user(place, name=f"person {self._next()}", slaves=())

    def open_browsers(self) -> None:
        for place in PLACES:
            self._begin(place, int(self._world.accounts[place].name.removeprefix("person ")))

    async def close_browsers(self) -> None:
        for task in self._browsers:
            task.cancel()
        if self._browsers:
            await asyncio.wait(self._browsers)
        for task in self._browsers:
            if not task.cancelled():
                task.result()

    def holder(self, address: str) -> Tenure | None:
        """Whose an address is."""
        for tenure in reversed(self.tenures):
            if tenure.address == address:
                return tenure if tenure.until is None else None
        return None

    # -- what happens

    async def come_and_go(self) -> None:
        """Change something again and again until cancelled."""
        while True:
            await asyncio.sleep(self._dice.uniform(0.05, 0.3))
            place = self._dice.choice(PLACES)
            match self._dice.randrange(8):
                case 0 | 1:
                    self._come_or_go(place)
                case 2:
                    self._switch(place)
                case 3 | 4:
                    self._hand_over(self._dice.choice(DESKS), place)
                case _:
                    if place in self._world.accounts and place not in self._leaving:
                        self._world.deliver_mail(place)
            for place, at in list(self._leaving.items()):
                if time.time() >= at:
                    del self._leaving[place]
                    self._leave(place)

    def finish(self) -> None:
        """Everybody who was about to leave stays."""
        self._leaving.clear()

    def succeed(self) -> None:
        """Who has an alias is succeeded, in his account and in the alias: both go on by name, and are another's."""
        for desk in DESKS:
            for place, account in list(self._world.accounts.items()):
                if desk in account.slaves:
                    self._delete(place)
                    self._come(place, slaves=account.slaves)
                    return

    def _next(self) -> int:
        self._hired += 1
        return self._hired

    def _come_or_go(self, place: str) -> None:
        if place not in self._world.accounts:
            self._come(place)
        elif place not in self._leaving:
            self._leaving[place] = time.time() + QUIET_S

    def _come(self, place: str, *, slaves: tuple[str, ...] = ()) -> None:
        person = self._next()
        self._world.add_user(place, name=f"person {person}", slaves=slaves)
        for address in (place, *slaves):
            self._begin(address, person)

    def _leave(self, place: str) -> None:
        self._delete(place)
        if self._dice.random() < 0.5:
            # Within one answer of user/list, perhaps.
            self._come(place)

    def _delete(self, place: str) -> None:
        addresses = (place, *self._world.accounts[place].slaves)
        self._world.delete_user(place)
        for address in addresses:
            self._end(address)

    def _switch(self, place: str) -> None:
        account = self._world.accounts.get(place)
        if account is not None:
            self._world.modify_user(place, open_type=1 if account.disabled else 2)

    def _hand_over(self, desk: str, place: str) -> None:
        """An alias is taken away, and given to another at once or later."""
        for alias, account in list(self._world.accounts.items()):
            if desk in account.slaves:
                self._world.modify_user(alias, slaves=tuple(slave for slave in account.slaves if slave != desk))
                self._end(desk)
                if alias == place:
                    return
        account = self._world.accounts.get(place)
        holder = self.holder(place)
        if account is not None and holder is not None:
            self._world.modify_user(place, slaves=(*account.slaves, desk))
            self._begin(desk, holder.person)

    # -- browsers

    def _begin(self, address: str, person: int) -> None:
        tenure = Tenure(address, person, time.time(), time.monotonic(), self._world.ver)
        self.tenures.append(tenure)
        number = len(self.tenures)
        browser = _insist(tenure, self._ports[number % 2], ("websocket", "sse")[number // 2 % 2])
        self._browsers.append(asyncio.create_task(browser, name=f"browser of {person} at {address}"))

    def _end(self, address: str) -> None:
        if (tenure := self.holder(address)) is not None:
            tenure.until, tenure.ended, tenure.until_ver = time.time(), time.monotonic(), self._world.ver


async def _insist(tenure: Tenure, port: int, transport: str) -> None:
    """Come back until cancelled; a former holder with what was signed when he was none yet."""
    signed = time.time()
    while True:
        if tenure.until is None:
            signed = time.time()
        visit = Visit(signed)
        tenure.visits.append(visit)
        with suppress(OSError, EOFError, HandshakeRefused, asyncio.IncompleteReadError, TimeoutError):
            await _visit(visit, f"http://127.0.0.1:{port}", transport, bearer(tenure.address, iat=signed))
        visit.is_open = False
        await asyncio.sleep(_PAUSE_S)


async def _visit(visit: Visit, url: str, transport: str, credential: dict[str, str]) -> None:
    async with asyncio.timeout(SILENCE_S):
        opened = await OPENERS[transport](url, PATHS[transport], **credential)
    async with opened as client:
        try:
            while True:
                try:
                    frame = await client.frame(within_s=SILENCE_S)
                except TimeoutError:
                    # Nothing to tell is no reason to leave.
                    continue
                if frame.type == "exmail.snapshot":
                    visit.is_open = True
                    visit.opened = visit.opened or time.time()
                    visit.events += frame.data["data"].get("recent", [])
                elif "id" in frame.data:
                    visit.events.append(frame.data)
        finally:
            visit.code = client.code
