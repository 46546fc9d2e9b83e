"""Lively, seeded traffic: mails come, people read them, and now and then the directory changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.simulator.seeded import seeded
from bridge.simulator.world.account import Action
from bridge.simulator.world.letters import invent_party, invent_position
from bridge.simulator.world.parties import PartyWrite, Path, write
from bridge.simulator.world.world import World

_READS = 0.35
_DIRECTORY_CHANGES = 0.004
_BATCH_S = 0.005


class Traffic:
    """Things that happen in the world, ``rate_per_s`` of them a second; 0 is quiet.

    About two of three are mails, the others reading; one in 250 changes the directory: a position, a department, an
    account that comes or goes, a project group that is renamed with all its members. It deletes only accounts that
    it added itself, and never has more than five of them. Setting the rate takes effect at once.
    """

    __slots__ = ("_added", "_pace", "_paused", "_projects", "_random", "_rate_per_s", "_wake", "_world")

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = seeded(world.seed, "traffic")
        self._pace = seeded(world.seed, "pace")
        self._rate_per_s = 0.0
        self._paused = False
        self._added: list[str] = []
        self._projects = 0
        self._wake = asyncio.Event()

    @property
    def rate_per_s(self) -> float:
        """Happenings a second."""
        return self._rate_per_s

    @rate_per_s.setter
    def rate_per_s(self, rate_per_s: float) -> None:
        if rate_per_s < 0:
            raise ValueError("a rate is not negative")
        self._rate_per_s = rate_per_s
        self._wake.set()

    @property
    def paused(self) -> bool:
        """Whether traffic stands still; the rate is kept."""
        return self._paused

    def pause(self) -> None:
        """Nothing happens from now on."""
        self._paused = True
        self._wake.set()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False
        self._wake.set()

    def step(self) -> None:
        """One happening. The same seed gives the same sequence of them."""
        chance = self._random.random()
        if chance < _DIRECTORY_CHANGES:
            self._change_directory()
        elif chance < _DIRECTORY_CHANGES + _READS:
            self._read()
        else:
            self._world.deliver_mail()

    async def run(self) -> None:
        """Let things happen until cancelled; those due within 5 ms of each other together."""
        now = asyncio.get_running_loop().time
        while True:
            self._wake.clear()
            if self._paused or self._rate_per_s == 0:
                await self._wake.wait()
            else:
                await self._run_until_woken(self._rate_per_s, now)

    async def _run_until_woken(self, rate_per_s: float, now: Callable[[], float]) -> None:
        due_s = now() + self._pace.expovariate(rate_per_s)
        while True:
            try:
                async with asyncio.timeout(max(_BATCH_S, due_s - now())):
                    await self._wake.wait()
            except TimeoutError:
                pass
            else:
                return
            # A machine that slept, or is too slow, does not make up for more than a second in one burst.
            until_s = now()
            due_s = max(due_s, until_s - 1.0)
            while due_s <= until_s:
                self.step()
                due_s += self._pace.expovariate(rate_per_s)

    def _read(self) -> None:
        aliases = list(self._world.unread)
        mailbox = aliases[int(self._random.random() * len(aliases))]
        unread = self._world.unread[mailbox]
        self._world.read(mailbox, 1 + int(self._random.random() * unread))

    def _change_directory(self) -> None:
        what = self._random.random()
        if what < 0.2 and len(self._added) < 5:
            self._added.append(self._world.add_user().alias)
        elif what < 0.3 and self._added:
            alias = self._added.pop(0)
            if alias in self._world.accounts:
                self._world.delete_user(alias)
        elif what < 0.5:
            self._world.modify_user(self._anybody(), parties=(invent_party(self._random),))
        elif what < 0.6:
            self._reorganise()
        else:
            self._world.modify_user(self._anybody(), position=invent_position(self._random))

    def _reorganise(self) -> None:
        roster = self._world.roster
        if roster.parties.pending:
            # Somebody else is at it, and what we see may not be what our write would be judged by.
            return
        self._projects += 1
        old, new = self._project(self._projects - 1), self._project(self._projects)
        # Somebody else may have deleted the one or made the other.
        if write(old) in roster.parties.paths and write(new) not in roster.parties.paths:
            roster.change_party(PartyWrite(Action.MOD, new, old))
        self._world.modify_user(self._anybody(), parties=(write(new),))

    def _project(self, number: int) -> Path:
        return ("市场部", f"项目组 {number}")

    def _anybody(self) -> str:
        return self._random.choice(list(self._world.accounts))
