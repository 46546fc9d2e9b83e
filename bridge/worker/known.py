"""What a leader knows of the mirror, updated with every change that it stores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from bridge.journal.held import Held
from bridge.journal.mirror import Mirror
from bridge.journal.owed import Owed, read_owed
from bridge.obs.metrics import Metrics
from bridge.worker.pieces import Piece
from bridge.worker.portions import PORTION, given_up

_DOUBTED_MS: Final = 86_400_000


class Known:
    """``slaves`` (别名 → account) is shared with the translator and updated here. ``cursor_of`` reads a stored cursor,
    see :class:`bridge.provider.members.Members`; ``monotonic`` gives seconds.

    ``stored_ver`` is the cursor as Redis has it, ``ver`` the same as a number. It is ``None`` if the source cannot have
    given it: then everybody is asked for.
    """

    def __init__(
        self,
        slaves: dict[str, str],
        metrics: Metrics,
        *,
        cursor_of: Callable[[str | None], int | None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cursor_of = cursor_of
        self._metrics = metrics
        self._monotonic = monotonic
        self._ahead_ms = 0.0
        # Tuples, not sets: Python's collector does not walk through tuples of texts.
        self._slaves_of: dict[str, tuple[str, ...]] = {}
        self.slaves = slaves
        self.stored_ver: str | None = None
        self.ver: int | None = None
        self.accounts: set[str] = set()
        self.barred: set[str] = set()
        self.held: Held | None = None
        self._held: frozenset[str] = frozenset()
        self.owed: dict[str, Owed] = {}
        self.leaving: set[str] = set()
        """Accounts that are said to be gone, until a second look."""
        self._doubted: dict[str, int] = {}
        metrics.directory_held_age.set_function(self._held_age_s)
        metrics.directory_owed_age.set_function(self._owed_age_s)

    async def read(self, mirror: Mirror) -> None:
        """Read what is stored.

        Raises:
            JournalAway, JournalRefused
        """
        ver, accounts, slaves = await mirror.stored_ver(), await mirror.aliases(), await mirror.slaves()
        barred, held, owed, doubted = (
            await mirror.barred(),
            await mirror.held(),
            await mirror.owed(),
            await mirror.doubted(),
        )
        self._ahead_ms = await mirror.now_ms() - self._monotonic() * 1000
        slaves_of = await _grouped(slaves)
        outdated: list[list[Any]] = []
        for texts in (self.slaves, self.slaves.values(), self.accounts, self._slaves_of.values()):
            # A turn of the loop for each: of a large corporation they are a million texts.
            outdated.append(list(texts))
            await asyncio.sleep(0)
        # Pushes are translated between two awaits, and need the slaves: clear and fill them without one.
        self.accounts, self.barred, self.owed, self._doubted = accounts, barred, owed, doubted
        self.leaving = {alias for alias, each in owed.items() if each.is_gone}
        self.slaves.clear()
        self.slaves.update(slaves)
        self._slaves_of = slaves_of
        self._cursor(ver)
        self.now_held(held)
        self._metrics.directory_owed.set(len(owed))
        await given_up(*outdated)

    def now_ms(self) -> int:
        """Redis's clock, as it was at the last :meth:`read` and has gone on since; epoch ms."""
        return int(self._monotonic() * 1000 + self._ahead_ms)

    @property
    def waiting(self) -> set[str]:
        """Accounts whose deletion is not decided: they are leaving, or held."""
        return (self.leaving | self._held) & self.accounts

    def is_held(self, alias: str) -> bool:
        """Whether the deletion of an account waits for an operator."""
        return alias in self._held

    def is_waiting(self, alias: str) -> bool:
        """Whether an account was said to be deleted, and nothing else since."""
        return self.is_held(alias) or (alias in self.owed and self.owed[alias].is_gone)

    def is_doubted(self, alias: str) -> bool:
        """Whether a line said within a day that an account was deleted, and it was there all the same."""
        return self._doubted.get(alias, 0) > self.now_ms() - _DOUBTED_MS

    def slaves_of(self, alias: str) -> list[str]:
        """An account's further addresses, in order."""
        return sorted(self._slaves_of.get(alias, ()))

    def related(self, aliases: Iterable[str], named: Iterable[Sequence[str]]) -> Mapping[str, str]:
        """Slave → account, as far as a change of these accounts may touch them; ``named``: the slaves they have now."""
        found = {slave: alias for alias in aliases for slave in self._slaves_of.get(alias, ())}
        for slave in (*aliases, *(slave for names in named for slave in names)):
            if slave in self.slaves:
                found[slave] = self.slaves[slave]
        return found

    def expect(self, slaves: Mapping[str, str], removed: Iterable[str] = ()) -> None:
        """These slaves are about to be stored: the next push is translated with them."""
        for slave in removed:
            self._no_slave(slave)
        for slave, alias in slaves.items():
            self._no_slave(slave)
            self.slaves[slave] = alias
            self._slaves_of[alias] = (*self._slaves_of.get(alias, ()), slave)

    async def expect_all(self, slaves: Mapping[str, str]) -> None:
        """The same for a mirror that is about to be stored whole and read again: in pieces, because pushes come."""
        pairs = iter(slaves.items())
        while portion := list(islice(pairs, PORTION)):
            self.slaves.update(portion)
            await asyncio.sleep(0)

    def learn(self, piece: Piece) -> None:
        """A piece is stored."""
        self.accounts.difference_update(piece.removed)
        self.accounts.update(piece.profiles)
        self.barred.difference_update(piece.unbarred)
        self.barred.update(piece.barred)
        owed = {alias: read_owed(text) for alias, text in piece.owed.items()}
        for alias in piece.settled:
            self.owed.pop(alias, None)
        self.owed.update(owed)
        self.leaving.difference_update(piece.settled, owed)
        self.leaving.update(alias for alias, each in owed.items() if each.is_gone)
        self._metrics.directory_owed.set(len(self.owed))
        for alias in piece.trusted:
            self._doubted.pop(alias, None)
        if piece.doubted:
            now = self.now_ms()
            self._doubted = {alias: at for alias, at in self._doubted.items() if at > now - _DOUBTED_MS}
            self._doubted |= dict.fromkeys(piece.doubted, now)

    def moved(self, ver: int) -> None:
        """The cursor is stored."""
        self._cursor(str(ver))

    def now_held(self, held: Held | None) -> None:
        """Note which deletions wait for an operator from now on."""
        if held is self.held:
            # Each part of a change comes by here, and tens of thousands may be held.
            return
        self.held, self._held = held, frozenset(() if held is None else held.aliases)
        self._metrics.directory_held.set(0 if held is None else len(held.aliases))

    def _no_slave(self, slave: str) -> None:
        alias = self.slaves.pop(slave, None)
        if alias is not None:
            left = tuple(each for each in self._slaves_of.get(alias, ()) if each != slave)
            if left:
                self._slaves_of[alias] = left
            else:
                self._slaves_of.pop(alias, None)

    def _cursor(self, stored: str | None) -> None:
        self.stored_ver, self.ver = stored, self.cursor_of(stored)
        self._metrics.cursor_ver.set(self.ver or 0)

    def _held_age_s(self) -> float:
        return 0.0 if self.held is None else max(0.0, (self.now_ms() - self.held.since) / 1000)

    def _owed_age_s(self) -> float:
        return max(0.0, (self.now_ms() - min(owed.since for owed in self.owed.values())) / 1000) if self.owed else 0.0


async def _grouped(slaves: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Account → its slaves; in pieces, so that pushes are read meanwhile."""
    found: dict[str, tuple[str, ...]] = {}
    for number, (slave, alias) in enumerate(slaves.items()):
        if number % PORTION == 0:
            await asyncio.sleep(0)
        found[alias] = (*found.get(alias, ()), slave)
    return found


def nobody_knows(metrics: Metrics) -> None:
    """A worker that does not lead shows no numbers of the mirror."""
    metrics.directory_held.set(0)
    metrics.directory_owed.set(0)
    metrics.directory_held_age.set_function(lambda: 0.0)
    metrics.directory_owed_age.set_function(lambda: 0.0)
