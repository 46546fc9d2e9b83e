"""The members as the mirror holds them, and every way in which they change.

Only real changes against the mirror are stored and published, so that whatever is applied again (after a crash, while
deletions are held) is told once. The cursor moves in the call that stores the last of what it stands for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from bridge.events import DIRECTORY, DIRECTORY_HELD, DIRECTORY_SYNCED, USER_DELETED, Event, build_event, to_json
from bridge.journal.calls import Advance, Forget, Scrub, Stream
from bridge.journal.held import Held
from bridge.journal.mirror import Mirror
from bridge.journal.writer import Writer
from bridge.obs.metrics import Metrics
from bridge.worker.fold import Change, Fold, fold, owners
from bridge.worker.guard import Guard
from bridge.worker.profiles import Account

log = logging.getLogger(__name__)

_PIECE: Final = 250
_SCRUBBED: Final = 500
_TOO_MANY: Final = "it would delete too many accounts"
_STREAMS: Final[tuple[Stream, ...]] = ("events", "log", "audit", "dead")

Kind = Literal["delta", "full"]


class CursorElsewhere(Exception):
    """The stored Ver is not the one this change started from; begin again from what is stored."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an answer of the provider: how many accounts of each, and how many deletions are held."""

    added: int = 0
    updated: int = 0
    deleted: int = 0
    held: int = 0


class Members:
    """What a leader knows of the mirror. Not for several tasks at once: one change goes after the other.

    ``slaves`` (别名 → account) is shared with the translator, kept current here. ``wall`` gives epoch seconds.
    """

    def __init__(
        self,
        writer: Writer,
        mirror: Mirror,
        metrics: Metrics,
        slaves: dict[str, str],
        *,
        namespace: str,
        guard: Guard,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._mirror = mirror
        self._metrics = metrics
        self._slaves = slaves
        self._namespace = namespace
        self._guard = guard
        self._wall = wall
        self.ver: int | None = None
        self.accounts: set[str] = set()
        self._barred: set[str] = set()
        self._held: Held | None = None

    async def read(self) -> None:
        """Learn what is stored."""
        mirror = self._mirror
        ver, accounts, slaves = await mirror.ver(), await mirror.aliases(), await mirror.slaves()
        barred, held = await mirror.barred(), await mirror.held()
        # Pushes are translated meanwhile: never a moment without slaves.
        self.ver, self.accounts, self._barred = ver, accounts, barred
        self._slaves.clear()
        self._slaves.update(slaves)
        self._metrics.cursor_ver.set(ver or 0)
        self._now_held(held)

    # -- what the provider says

    async def apply(self, found: Mapping[str, Account | None], *, ver: int, kind: Kind) -> Applied:
        """Store and publish what really changed, and move the cursor to ``ver``; too many deletions are held.

        ``found``: each account that the answer names (of a full one: and each that it leaves out), ``None`` = gone.
        While deletions are held the cursor stays, so that the next answer proposes them again.
        """
        old = await self._stored(found)
        new: dict[str, dict[str, Any] | None] = {}
        slaves: dict[str, Sequence[str]] = {}
        for alias, account in found.items():
            if account is not None and account.incomplete and old[alias] is not None:
                # What we know is better than what we were refused.
                continue
            new[alias] = None if account is None else account.profile
            if account is not None:
                slaves[alias] = account.slaves
        disabled = {alias for alias, account in found.items() if account is not None and account.disabled}
        changes = self._fold(old, new, slaves, disabled)
        doomed: Sequence[str] = ()
        if self._guard.refuses(len(changes.removed), len(self.accounts)):
            doomed = changes.removed
            kept = new.keys() - set(doomed)
            there = {alias: profile for alias, profile in new.items() if alias in kept}
            changes = self._fold(old, there, slaves, disabled)
        held = self._held_after(kind, ver, doomed, found.keys())
        told = []
        if held is not None and doomed and (self._held is None or held.aliases != self._held.aliases):
            log.warning("deletions held", extra={"ver": self.ver, "answered": ver, "accounts": len(held.aliases)})
            told = [self._held_event(held.why, ver, len(held.aliases))]
        applied = await self._write(changes, ver=ver, settles=not doomed, held=held, told=told)
        return replace(applied, held=len(doomed))

    def _held_after(self, kind: Kind, ver: int, doomed: Sequence[str], named: Iterable[str]) -> Held | None:
        """What waits for a decision once an answer is applied."""
        before, left = self._held, set[str]()
        if before is not None and before.kind == "full" and kind == "delta":
            # A delta is silent about those that a listing of everything left out, unless it names them.
            left = (set(before.aliases) & self.accounts) - set(named)
        if doomed:
            since = int(self._wall() * 1000) if before is None else before.since
            aliases = tuple(sorted({*left, *doomed}))
            return Held(since, self.ver, ver, "full" if left else kind, _TOO_MANY, aliases)
        return replace(before, aliases=tuple(sorted(left))) if before is not None and left else None

    async def announce_held(self, why: str, answered: int | None) -> None:
        """Say that an answer was not believed; nothing changes."""
        await self._commit(Advance(self.ver, None, events=[self._held_event(why, answered, 0)]))

    # -- the first fill

    async def clear_stage(self) -> None:
        """Throw away what a first fill that was broken off has left."""
        await self._commit(Advance(self.ver, None, "next"))

    async def stage(self, accounts: Sequence[Account], all_aliases: Collection[str]) -> None:
        """Add to the stage of a first fill; at most 500 at a time, so that Redis never stops for long."""
        profiles = {each.alias: to_json(each.profile) for each in accounts if each.profile is not None}
        if not profiles:
            return
        slaves = owners({each.alias: each.slaves for each in accounts}, all_aliases)
        barred = [each.alias for each in accounts if each.disabled]
        await self._commit(Advance(self.ver, None, "next", profiles=profiles, slaves=slaves, barred=barred))

    async def swap(self, ver: int, staged: int) -> Applied:
        """Make the stage of ``staged`` accounts the mirror, and ``ver`` the cursor, in one step."""
        counts = Applied(added=staged)
        await self._commit(Advance(self.ver, ver, "swap", events=[self._synced(ver, counts, initial=True)], held=b""))
        await self.read()
        return counts

    # -- what an operator decides

    async def release(self) -> Applied:
        """Delete what is held."""
        held = self._held
        if held is None:
            return Applied()
        gone = [alias for alias in held.aliases if alias in self.accounts]
        changes = self._fold(await self._stored(gone), dict.fromkeys(gone), {}, ())
        # A later answer may have moved the cursor meanwhile; it must not go back for this.
        ver = held.to_ver if held.from_ver == self.ver or self.ver is None else self.ver
        return await self._write(changes, ver=ver, settles=True, held=None, told=())

    async def refuse(self) -> int:
        """Keep the accounts that are held, and move on; return how many. The next full pull proposes them again."""
        held = self._held
        if held is None:
            return 0
        moves = held.from_ver == self.ver
        await self._commit(Advance(self.ver, held.to_ver if moves else None, held=b""))
        self._now_held(None)
        if moves:
            self._moved(held.to_ver)
        return len(held.aliases)

    async def forget(self, address: str) -> tuple[str, bool, int]:
        """Delete all that is kept of a mailbox; return its account, whether the mirror had it, and entries scrubbed.

        Readers of the mirror are told by ``user.deleted``, which then is scrubbed with the rest: whoever reads the
        stream later finds a hole. An address that may not be opened stays one.
        """
        alias = self._slaves.get(address, address)
        slaves = sorted(slave for slave, account in self._slaves.items() if account == alias)
        known = alias in self.accounts
        calls: list[Forget | Advance] = [Forget(each) for each in (alias, *slaves)]
        held = self._held
        if held is not None and alias in held.aliases:
            left = tuple(each for each in held.aliases if each != alias)
            held = replace(held, aliases=left) if left else None
        told = [self._event(USER_DELETED, {"alias": alias, "ver": self.ver or 0})] if known else []
        if known or slaves:
            calls.append(
                Advance(
                    self.ver,
                    None,
                    removed=[alias],
                    slaves_removed=slaves,
                    events=told,
                    held=self._held_bytes(held),
                )
            )
        await self._commit(*calls)
        self.accounts.discard(alias)
        for slave in slaves:
            self._slaves.pop(slave, None)
        self._now_held(held)
        return alias, known, await self._scrub({alias, *slaves})

    async def _scrub(self, addresses: Collection[str]) -> int:
        scrubbed = 0
        for stream in _STREAMS:
            ids = await self._mirror.entries_of(stream, addresses)
            for at in range(0, len(ids), _SCRUBBED):
                await self._commit(Scrub(stream, ids[at : at + _SCRUBBED]))
            scrubbed += len(ids)
        return scrubbed

    # -- what they share

    async def _stored(self, aliases: Iterable[str]) -> dict[str, bytes | None]:
        names = list(aliases)
        return dict(zip(names, await self._mirror.profiles(names), strict=True))

    def _fold(
        self,
        old: Mapping[str, bytes | None],
        new: Mapping[str, dict[str, Any] | None],
        slaves: Mapping[str, Sequence[str]],
        disabled: Collection[str],
    ) -> Fold:
        return fold(old, new, slaves, self._slaves, self.accounts, disabled=disabled, barred=self._barred)

    async def _write(
        self, changes: Fold, *, ver: int, settles: bool, held: Held | None, told: Sequence[Event]
    ) -> Applied:
        """Store and publish in pieces; the last one stores what is held, and moves the cursor if that settles ``ver``.

        Nothing to store is no call.
        """
        counts = dict.fromkeys(("added", "updated", "deleted"), 0)
        for change in changes.changes:
            counts[change.type.rsplit(".", 1)[1]] += 1
        applied = Applied(**counts)
        pieces = [changes.changes[at : at + _PIECE] for at in range(0, len(changes.changes), _PIECE)] or [[]]
        for piece in pieces[:-1]:
            await self._commit(*self._piece(changes, piece, ver))
        *forgotten, last = self._piece(changes, pieces[-1], ver)
        assert isinstance(last, Advance)
        events = [*last.events, *told]
        if changes.changes and settles:
            events.append(self._synced(ver, applied, initial=False))
        to_ver = ver if settles and ver != self.ver else None
        last = replace(
            last,
            to_ver=to_ver,
            # A piece that is stored without its slaves is done again: the cursor has not moved.
            slaves=changes.slaves,
            slaves_removed=changes.slaves_removed,
            barred=[*last.barred, *changes.slaves_barred],
            unbarred=[*last.unbarred, *changes.slaves_unbarred],
            events=events,
            held=self._held_bytes(held),
        )
        moved = (last.slaves, last.slaves_removed, last.unbarred, events, last.held is not None, to_ver is not None)
        if any(moved):
            await self._commit(*forgotten, last)
        self._learn(changes, to_ver, held)
        return applied

    def _piece(self, changes: Fold, piece: Sequence[Change], ver: int) -> list[Forget | Advance]:
        removed = [change.alias for change in piece if change.profile is None]
        # Before the accounts go: whoever comes after a crash in between finds them, and does both again.
        return [
            *(Forget(alias) for alias in removed),
            Advance(
                self.ver,
                None,
                profiles={c.alias: changes.profiles[c.alias] for c in piece if c.profile is not None},
                removed=removed,
                barred=[change.alias for change in piece if change.bars],
                unbarred=[change.alias for change in piece if change.bars is False],
                events=[self._user_event(change, ver) for change in piece],
            ),
        ]

    def _learn(self, changes: Fold, ver: int | None, held: Held | None) -> None:
        for slave in changes.slaves_removed:
            self._slaves.pop(slave, None)
        self._slaves.update(changes.slaves)
        self.accounts |= changes.profiles.keys()
        self.accounts -= set(changes.removed)
        self._barred |= {*changes.slaves_barred, *(each.alias for each in changes.changes if each.bars)}
        self._barred -= {*changes.slaves_unbarred, *(each.alias for each in changes.changes if each.bars is False)}
        self._now_held(held)
        if ver is not None:
            self._moved(ver)

    async def _commit(self, *calls: Forget | Scrub | Advance) -> None:
        outcomes = await self._writer.commit(calls)
        if outcomes[-1].result == "cursor":
            raise CursorElsewhere("the stored Ver is not the one this change started from")

    def _moved(self, ver: int) -> None:
        self.ver = ver
        self._metrics.cursor_ver.set(ver)

    def _now_held(self, held: Held | None) -> None:
        self._held = held
        self._metrics.directory_held.set(0 if held is None else len(held.aliases))

    def _held_bytes(self, held: Held | None) -> bytes | None:
        """For the journal: ``None`` if it has that already."""
        if held == self._held:
            return None
        return b"" if held is None else held.as_json()

    def _user_event(self, change: Change, ver: int) -> Event:
        data: dict[str, Any] = {"alias": change.alias, "ver": ver}
        if change.changed:
            data["changed"] = change.changed
        if change.enabled is not None:
            data["enabled"] = change.enabled
        if change.profile is not None:
            data["profile"] = change.profile
        return self._event(change.type, data)

    def _synced(self, ver: int, counts: Applied, *, initial: bool) -> Event:
        data = {"from_ver": self.ver, "to_ver": ver, "added": counts.added, "updated": counts.updated}
        return self._event(DIRECTORY_SYNCED, {**data, "deleted": counts.deleted, "initial": initial})

    def _held_event(self, why: str, answered: int | None, deleted: int) -> Event:
        data = {"from_ver": self.ver, "to_ver": answered, "why": why, "deleted": deleted}
        return self._event(DIRECTORY_HELD, data)

    def _event(self, type: str, data: dict[str, Any]) -> Event:
        return build_event(namespace=self._namespace, stream=DIRECTORY, type=type, time_s=self._wall(), data=data)
