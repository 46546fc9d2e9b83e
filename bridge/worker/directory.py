"""The mirror of the member directory: delta pulls, and the first fill.

``Ver`` (the cursor) moves only together with the member changes it stands for, so a crash anywhere means that the
same delta is asked for again; only real changes against the mirror are published, so nothing is told twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

from bridge.events import DIRECTORY, DIRECTORY_HELD, DIRECTORY_SYNCED, Event, build_event, to_json
from bridge.journal.calls import Advance
from bridge.journal.errors import JournalAway
from bridge.journal.mirror import Mirror
from bridge.journal.writer import Writer
from bridge.obs.metrics import Metrics
from bridge.provider.client import ProviderClient
from bridge.provider.errors import ProviderError
from bridge.provider.models import Action
from bridge.worker.fold import Change, Fold, fold, last_actions, owners
from bridge.worker.profiles import Account, fetch_accounts

log = logging.getLogger(__name__)

_PIECE: Final = 250
_STAGE: Final = 500
_DELETES_AT_ONCE: Final = 5
_DELETE_SHARE: Final = 0.1

Outcome = Literal["changed", "unchanged", "refused", "held"]


class CursorElsewhere(Exception):
    """The stored Ver is not the one this pull started from; begin again from what is stored."""


DIRECTORY_FAULTS: Final = (ProviderError, JournalAway, CursorElsewhere)


class Directory:
    """Keeps the mirror for a leader. ``slaves`` (别名 → account) is shared with the translator, kept current here.

    ``look_s``: how long to go without asking where nothing is pushed; ``hurt_look_s``: the same after an answer that
    could not be used. ``lag_waits_s``: the pauses before asking again when a pushed Ver outran the data.
    """

    def __init__(
        self,
        client: ProviderClient,
        writer: Writer,
        mirror: Mirror,
        metrics: Metrics,
        slaves: dict[str, str],
        *,
        namespace: str,
        fields: Collection[str],
        look_s: float = 300.0,
        hurt_look_s: float = 30.0,
        lag_waits_s: Sequence[float] = (0.5, 1.0, 2.0),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._writer = writer
        self._mirror = mirror
        self._metrics = metrics
        self._slaves = slaves
        self._namespace = namespace
        self._fields = frozenset(fields)
        self._look_s = look_s
        self._hurt_look_s = hurt_look_s
        self._lag_waits_s = lag_waits_s
        self._wall = wall
        self._ver: int | None = None
        self._accounts: set[str] = set()
        self._pushed = 0
        self._usable = True
        self._stale = False
        self._held: tuple[str, int | None] | None = None
        self._news = asyncio.Event()
        self._current_at = wall()
        metrics.cursor_age.set_function(lambda: self._wall() - self._current_at)

    @property
    def cursor(self) -> int:
        """The Ver to listen with: 0 before the first fill (protocol 3.2.1)."""
        return self._ver or 0

    def version(self, ver: int) -> None:
        """The provider pushed a Ver; the latest wins."""
        self._pushed = ver
        if ver != self._ver:
            self._news.set()

    async def load(self) -> None:
        """Read what a leader before us left."""
        await self._read()
        # Cursor equality is no proof of completion: what happened while nobody led is asked for.
        self._news.set()

    async def _read(self) -> None:
        self._stale = True
        ver, accounts, slaves = await self._mirror.ver(), await self._mirror.aliases(), await self._mirror.slaves()
        # Pushes are translated meanwhile: never a moment without slaves.
        self._ver, self._accounts = ver, accounts
        self._slaves.clear()
        self._slaves.update(slaves)
        self._stale = False
        self._metrics.cursor_ver.set(self.cursor)

    def doubt(self) -> None:
        """Redis went back: mirror and cursor may be older than what we believe; read them, and pull from there."""
        self._stale = True
        self._news.set()

    async def run(self, progress: Callable[[], None]) -> None:
        """Pull whenever there is news, and now and then without: a pushed Ver may have been missed.

        Raises:
            ProviderError: the provider is away or busy; the cursor has not moved, run again later.
            JournalAway, CursorElsewhere: the same.
            LeaseLost
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s if self._usable else self._hurt_look_s):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._pull()
            except BaseException:
                self._news.set()
                raise
            progress()

    async def _pull(self) -> None:
        if self._stale:
            await self._read()
        full = self._ver is None or not self._accounts
        kind = "full" if full else "delta"
        try:
            outcome = await self._fill() if full else await self._follow(self.cursor)
        except DIRECTORY_FAULTS as error:
            self._metrics.directory_syncs.labels(kind=kind, outcome="failed").inc()
            self._stale = self._stale or isinstance(error, CursorElsewhere)
            raise
        self._metrics.directory_syncs.labels(kind=kind, outcome=outcome).inc()
        self._usable = outcome in ("changed", "unchanged")
        if self._usable:
            self._current_at = self._wall()
            self._held = None
        if outcome == "changed" and self._pushed > self.cursor:
            # The answer was not the newest; what comes after it is asked for, with the patience of a lag.
            self._news.set()

    # -- deltas

    async def _follow(self, cursor: int) -> Outcome:
        """Ask for what changed after the cursor, and apply it."""
        pushed = self._pushed
        delta = await self._client.user_list(cursor)
        for wait_s in self._lag_waits_s:
            if delta.changes or pushed <= cursor or (delta.ver or 0) > cursor:
                break
            # A push can outrun the data.
            await asyncio.sleep(wait_s)
            delta = await self._client.user_list(cursor)
        if not delta.changes and (delta.ver or 0) <= cursor and self._pushed == pushed:
            # Waited for in vain, or nothing to wait for; once is enough for one push.
            self._pushed = 0
        if not delta.ver or delta.ver < cursor:
            await self._hold("the answer's Ver is missing or below the cursor", delta.ver, 0)
            return "refused"
        actions = last_actions(delta.changes)
        if not actions and delta.ver == cursor:
            return "unchanged"
        present = [alias for alias, action in actions.items() if action is not Action.DEL]
        found: dict[str, Account | None] = dict.fromkeys(actions)
        found |= {a.alias: a for a in await fetch_accounts(self._client, present, fields=self._fields)}
        await self._apply(cursor, delta.ver, found)
        return "changed"

    # -- the whole directory

    async def _fill(self) -> Outcome:
        """Pull everything (Ver 0); the first time into a stage that becomes the mirror in one step."""
        delta = await self._client.user_list(0)
        if not delta.ver:
            await self._hold("the full listing has no Ver", delta.ver, 0)
            return "refused"
        # In a full listing any action but DEL means present.
        present = [a for a, action in last_actions(delta.changes).items() if action is not Action.DEL]
        if not present:
            await self._hold("the full listing is empty", delta.ver, len(self._accounts))
            return "refused"
        if not self._accounts:
            await self._first_fill(delta.ver, present)
            return "changed"
        gone = self._accounts - set(present)
        if len(gone) > max(_DELETES_AT_ONCE, int(len(self._accounts) * _DELETE_SHARE)):
            # A listing that comes back short must not delete everybody.
            await self._hold("a full listing would delete too many accounts", delta.ver, len(gone))
            return "held"
        found: dict[str, Account | None] = dict.fromkeys(sorted(gone))
        found |= {a.alias: a for a in await fetch_accounts(self._client, present, fields=self._fields)}
        await self._apply(self._ver, delta.ver, found)
        return "changed"

    async def _first_fill(self, ver: int, aliases: Sequence[str]) -> None:
        """Stage all profiles in calls of 500, so that Redis never stops for long; then swap the stage in."""
        # What a fill that was broken off left in the stage is thrown away.
        await self._commit(Advance(self._ver, None, "next"))
        slaves: dict[str, str] = {}
        accounts: set[str] = set()
        for at in range(0, len(aliases), _STAGE):
            fetched = await fetch_accounts(self._client, aliases[at : at + _STAGE], fields=self._fields)
            profiles = {each.alias: to_json(each.profile) for each in fetched if each.profile is not None}
            claimed = owners({each.alias: each.slaves for each in fetched}, set(aliases))
            if profiles:
                await self._commit(Advance(self._ver, None, "next", profiles=profiles, slaves=claimed))
            slaves |= claimed
            accounts |= profiles.keys()
        synced = self._synced(ver, {"added": len(accounts), "updated": 0, "deleted": 0}, initial=True)
        await self._commit(Advance(self._ver, ver, "swap", events=[synced]))
        self._slaves.clear()
        self._slaves.update(slaves)
        self._accounts = accounts
        self._moved(ver)

    # -- what both share

    async def _apply(self, cursor: int | None, ver: int, found: Mapping[str, Account | None]) -> None:
        """Store and publish what really changed, in pieces; the last one moves the cursor."""
        aliases = list(found)
        old = dict(zip(aliases, await self._mirror.profiles(aliases), strict=True))
        new: dict[str, dict[str, Any] | None] = {}
        slaves: dict[str, Sequence[str]] = {}
        for alias, account in found.items():
            if account is not None and account.incomplete and old[alias] is not None:
                # What we know is better than what we were refused.
                continue
            new[alias] = None if account is None else account.profile
            if account is not None:
                slaves[alias] = account.slaves
        changes = fold(old, new, slaves, self._slaves, self._accounts)
        await self._write(cursor, ver, changes)
        for slave in changes.slaves_removed:
            self._slaves.pop(slave, None)
        self._slaves.update(changes.slaves)
        self._accounts |= changes.profiles.keys()
        self._accounts -= set(changes.removed)
        self._moved(ver)

    async def _write(self, cursor: int | None, ver: int, changes: Fold) -> None:
        counts = {"added": 0, "updated": 0, "deleted": 0}
        for change in changes.changes:
            counts[change.type.rsplit(".", 1)[1]] += 1
        pieces = [changes.changes[at : at + _PIECE] for at in range(0, len(changes.changes), _PIECE)] or [[]]
        for number, piece in enumerate(pieces, 1):
            last = number == len(pieces)
            events = [self._user_event(change, ver) for change in piece]
            if last and changes.changes:
                events.append(self._synced(ver, counts, initial=False))
            await self._commit(
                Advance(
                    cursor,
                    ver if last else None,
                    profiles={c.alias: changes.profiles[c.alias] for c in piece if c.profile is not None},
                    removed=[c.alias for c in piece if c.profile is None],
                    # A piece that is stored without its slaves is done again: the cursor has not moved.
                    slaves=changes.slaves if last else {},
                    slaves_removed=changes.slaves_removed if last else (),
                    events=events,
                )
            )

    async def _commit(self, call: Advance) -> None:
        [outcome] = await self._writer.commit([call])
        if outcome.result == "cursor":
            raise CursorElsewhere("the stored Ver is not the one this pull started from")

    def _moved(self, ver: int) -> None:
        self._ver = ver
        self._metrics.cursor_ver.set(ver)

    def _user_event(self, change: Change, ver: int) -> Event:
        data: dict[str, Any] = {"alias": change.alias, "ver": ver}
        if change.profile is not None:
            data["profile"] = change.profile
        return self._event(change.type, data)

    def _synced(self, ver: int, counts: dict[str, int], *, initial: bool) -> Event:
        return self._event(DIRECTORY_SYNCED, {"from_ver": self._ver, "to_ver": ver, **counts, "initial": initial})

    async def _hold(self, why: str, answered: int | None, deleted: int) -> None:
        """Announce an answer that moves nothing; once, however often it comes."""
        log.warning("directory answer held", extra={"why": why, "ver": self._ver, "answered": answered})
        if self._held != (why, answered):
            data = {"from_ver": self._ver, "to_ver": answered, "why": why, "deleted": deleted}
            await self._commit(Advance(self._ver, None, events=[self._event(DIRECTORY_HELD, data)]))
            self._held = (why, answered)

    def _event(self, type: str, data: dict[str, Any]) -> Event:
        return build_event(namespace=self._namespace, stream=DIRECTORY, type=type, time_s=self._wall(), data=data)
