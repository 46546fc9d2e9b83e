"""The events of the stream ``directory``, made from what changed. Pure, apart from the clock for their ``time``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bridge.events import DIRECTORY, DIRECTORY_HELD, DIRECTORY_SYNCED, USER_ADDED, USER_DELETED, Event, build_event
from bridge.worker.fold import Change


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an answer of the provider, in numbers of accounts.

    ``gone``: barred until a second look; ``held``: deletions that wait for an operator; ``owed``: could not be read,
    and are asked for again.
    """

    added: int = 0
    updated: int = 0
    deleted: int = 0
    held: int = 0
    gone: int = 0
    owed: int = 0

    @property
    def changes(self) -> int:
        """How many accounts really changed."""
        return self.added + self.updated + self.deleted

    def counting(self, change: Change) -> Applied:
        """The same with one more change."""
        if change.type == USER_ADDED:
            return replace(self, added=self.added + 1)
        if change.type == USER_DELETED:
            return replace(self, deleted=self.deleted + 1)
        return replace(self, updated=self.updated + 1)


@dataclass(frozen=True, slots=True)
class Notices:
    """Builds events. ``wall`` gives epoch seconds."""

    namespace: str
    wall: Callable[[], float]

    def user(self, change: Change, ver: int) -> Event:
        """One account changed."""
        data: dict[str, Any] = {"alias": change.alias, "ver": ver}
        if change.changed:
            data["changed"] = change.changed
        if change.enabled is not None:
            data["enabled"] = change.enabled
        if change.profile is not None:
            data["profile"] = change.profile
        return self._event(change.type, data)

    def deleted(self, alias: str, ver: int) -> Event:
        """One account is deleted."""
        return self._event(USER_DELETED, {"alias": alias, "ver": ver})

    def synced(self, from_ver: int | None, to_ver: int, counts: Applied, *, initial: bool = False) -> Event:
        """An answer is applied as a whole."""
        data = {"from_ver": from_ver, "to_ver": to_ver, "added": counts.added, "updated": counts.updated}
        return self._event(DIRECTORY_SYNCED, {**data, "deleted": counts.deleted, "initial": initial})

    def held(self, from_ver: int | None, answered: int | None, why: str, deleted: int) -> Event:
        """An answer was not believed, or ``deleted`` of its deletions wait for an operator."""
        data = {"from_ver": from_ver, "to_ver": answered, "why": why, "deleted": deleted}
        return self._event(DIRECTORY_HELD, data)

    def _event(self, type: str, data: dict[str, Any]) -> Event:
        return build_event(namespace=self.namespace, stream=DIRECTORY, type=type, time_s=self.wall(), data=data)
