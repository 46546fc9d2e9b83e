"""What an answer of the provider does to the mirror.

Only real changes against the mirror are stored and published, so that whatever is applied again (after a crash) is told
once. The cursor moves in the call that stores the last of what it stands for; what could not be read, and who is said
to be gone, is owed from then on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from bridge.events import USER_ADDED, from_json
from bridge.journal.held import Held
from bridge.journal.mirror import Mirror
from bridge.journal.owed import DELETED, MISSING, Owed
from bridge.obs.labels import SyncKind
from bridge.worker.claims import is_another
from bridge.worker.fold import Change, Fold, fold
from bridge.worker.guard import Guard
from bridge.worker.known import Known
from bridge.worker.notices import Applied, Notices
from bridge.worker.pieces import Piece, joined
from bridge.worker.profiles import Account
from bridge.worker.renamed import alone, matched
from bridge.worker.scribe import Scribe

log = logging.getLogger(__name__)

_TOO_MANY: Final = "it would delete too many accounts"


@dataclass(frozen=True, slots=True)
class Step:
    """A part of an answer, or of what is owed, that is applied at once.

    ``ver``: the answer's; the cursor moves there if ``moves``. ``found``: accounts that were read; ``unread``: those
    that were not → why. ``gone``: accounts that are said to be gone, for the reason ``why_gone``; ``removed``: those of
    which a second look says so too; ``settled``: those of which nothing is owed any more. ``added``, ``anew``: as in
    :class:`bridge.worker.claims.Claims`. ``after_refusal``: answers before this one were not to be used. ``tells``:
    with this something is complete, ``before`` what the parts before came to.
    """

    ver: int
    kind: SyncKind = "delta"
    moves: bool = False
    found: Mapping[str, Account] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    gone: Collection[str] = ()
    why_gone: str = DELETED
    removed: Collection[str] = ()
    settled: Collection[str] = ()
    added: Collection[str] = ()
    anew: Collection[str] = ()
    after_refusal: bool = False
    tells: bool = True
    before: Applied = Applied()  # noqa: RUF009 - frozen


class Members:
    """Applies steps, one after the other. ``appeared`` hears of each account that is new."""

    def __init__(
        self,
        scribe: Scribe,
        mirror: Mirror,
        notices: Notices,
        guard: Guard,
        appeared: Callable[[str], None] = lambda alias: None,
    ) -> None:
        self._appeared = appeared
        self._scribe = scribe
        self._mirror = mirror
        self._notices = notices
        self._guard = guard
        self.known: Known = scribe.known

    async def apply(self, step: Step) -> Applied:
        """Store and publish what really changed; return what all parts up to this one came to.

        Who is said to be gone is barred, and owed a second look; too many at once are held instead, and keep what they
        had until an operator decides.

        Raises:
            CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        known = self.known
        # Deleted and made anew, and not to be read: the former holder is gone, whoever it is now.
        strangers = {alias for alias in step.unread if self._is_anew(step, alias)}
        gone = [alias for alias in step.gone if not known.is_held(alias)]
        held_back = self._guard.holds([*gone, *strangers], known.accounts, known.waiting)
        doomed = [alias for alias in gone if held_back and alias in known.accounts and not known.is_waiting(alias)]
        leaving = set(gone).difference(doomed)
        changes = await self._changes(step, leaving)
        carried = await self._carried(step, leaving)
        parts = changed(changes, known, self._notices, step.ver, carried)
        parts += self._leaving(step, leaving, changes)
        parts += self._unread(step, frozenset() if held_back else strangers, strangers)
        # Last: what a crash leaves of the parts before is done again for as long as it is owed.
        parts += self._settled(step, leaving)
        counts = replace(
            step.before,
            gone=step.before.gone + len(leaving - known.leaving),
            held=step.before.held + len(doomed),
            owed=step.before.owed + len(step.unread),
        )
        for change in changes.changes:
            counts = counts.counting(change)
        pieces = joined(parts)
        if doomed:
            log.warning("deletions held", extra={"ver": known.ver, "answered": step.ver, "accounts": len(doomed)})
        held = self._held_after(step, doomed)
        if held is not None and doomed:
            pieces[-1].events.append(self._notices.held(known.ver, step.ver, held.why, len(held.aliases)))
        if step.tells and counts.changes:
            pieces[-1].events.append(self._notices.synced(known.ver, step.ver, counts))
        await self._scribe.write(pieces, ver=step.ver if step.moves else None, held=held)
        for change in changes.changes:
            if change.type == USER_ADDED:
                self._appeared(change.alias)
        return counts

    async def announce_held(self, why: str, answered: int | None) -> None:
        """Say that an answer was not believed; nothing changes.

        Raises:
            CursorElsewhere, LeaseLost, JournalRefused
        """
        told = Piece(events=[self._notices.held(self.known.ver, answered, why, 0)])
        await self._scribe.write([told], ver=None, held=self.known.held)

    def _is_anew(self, step: Step, alias: str) -> bool:
        """Whether an account that is there may be another person's; the rule is at the head of :mod:`.claims`."""
        known = self.known
        owed = known.owed.get(alias)
        if alias in step.anew or (owed is not None and owed.anew):
            return True
        return is_another(
            waits=known.is_waiting(alias),
            said=owed is not None and owed.why == DELETED,
            recanted=known.is_doubted(alias),
            is_added=alias in step.added,
            in_listing=step.kind == "full",
            after_refusal=step.after_refusal,
        )

    async def _changes(self, step: Step, leaving: Collection[str]) -> Fold:
        known = self.known
        new: dict[str, dict[str, Any] | None] = {alias: account.profile for alias, account in step.found.items()}
        new |= dict.fromkeys(step.removed)
        for alias, why in step.unread.items():
            # Listed, and not to be read: better known by name than not at all, unless somebody else had that name.
            if why != MISSING and alias not in known.accounts and alias not in known.barred:
                new[alias] = {"alias": alias, "incomplete": True}
        names = list(new)
        old = dict(zip(names, await self._mirror.profiles(names), strict=True))
        slaves = {alias: account.slaves for alias, account in step.found.items()}
        return fold(
            old,
            new,
            slaves,
            known.related(names, slaves.values()),
            known.accounts,
            disabled={alias for alias, account in step.found.items() if self._is_off(account)},
            barred=known.barred,
            leaving=known.leaving | set(leaving),
            anew={alias for alias in step.found if self._is_anew(step, alias)},
        )

    async def _carried(self, step: Step, leaving: Collection[str]) -> Mapping[str, str]:
        """New main address → the former one of the same person: by an ExtId that nobody else has, if we keep those."""
        known = self.known
        came = {
            alias: account.ext_id
            for alias, account in step.found.items()
            if account.ext_id and alias not in known.accounts and alias not in known.barred
        }
        going = sorted(known.accounts.intersection(known.leaving.union(leaving))) if came else []
        if not going:
            return {}
        profiles = await self._mirror.profiles(going)
        went = {alias: _ext_id(from_json(text)) for alias, text in zip(going, profiles, strict=True) if text}
        # An address that was another's is his successor's, whoever that is.
        pairs = {new: old for new, old in matched(came, went).items() if known.slaves.get(new, old) == old}
        if not pairs:
            return {}
        stored = await self._mirror.everybody()
        everybody = [(alias, _ext_id(profile)) for alias, profile in stored.items() if alias not in step.found]
        everybody += [(alias, account.ext_id) for alias, account in step.found.items()]
        return alone(pairs, came, everybody)

    def _is_off(self, account: Account) -> bool:
        """Whether an account is disabled; where the provider does not say, it is what it was."""
        if account.disabled is not None:
            return account.disabled
        known, owed = self.known, self.known.owed.get(account.alias)
        only_owed = owed is not None and owed.barred
        return account.alias in known.barred and account.alias in known.accounts and not only_owed

    def _settled(self, step: Step, leaving: Collection[str]) -> list[Piece]:
        """What is owed no longer; and who was removed and is in no mirror, of whom nothing may stay either.

        Whose deletion a line said is doubted from the same step on; who is another person, or leaves, is not any more.
        """
        known, parts = self.known, []
        anew = {alias for alias in step.found if self._is_anew(step, alias)}
        for alias in (*step.found, *step.removed, *step.settled):
            if alias in known.owed:
                let_in = alias in step.found and alias not in anew and known.owed[alias].why == DELETED
                parts.append(Piece(settled=[alias], doubted=[alias] if let_in else []))
        parts += [Piece(trusted=[alias]) for alias in sorted(anew.union(leaving)) if known.is_doubted(alias)]
        parts += [Piece(forgotten=[alias]) for alias in step.removed if alias not in known.accounts]
        return parts

    def _leaving(self, step: Step, leaving: Collection[str], changes: Fold) -> list[Piece]:
        """Who is said to be gone: barred, and owed a second look. An address that is another's slave by now is not."""
        known, now_ms, parts = self.known, self.known.now_ms(), []
        for alias in sorted(leaving):
            is_slave = alias in changes.slaves or (alias in known.slaves and alias not in changes.slaves_removed)
            before = known.owed.get(alias)
            if before is not None and (before.why == DELETED or before.why == step.why_gone):
                continue
            bars = not is_slave and alias not in known.barred
            was_barred, was_anew = (before.barred, before.anew) if before is not None else (False, False)
            since = before.since if before is not None and before.is_gone else now_ms
            owed = Owed(since, step.why_gone, barred=bars or was_barred, anew=was_anew)
            parts.append(Piece(owed={alias: owed.as_json()}, barred=[alias] if bars else []))
        return parts

    def _unread(self, step: Step, barring: Collection[str], strangers: Collection[str]) -> list[Piece]:
        """Who could not be read: owed, and open as before, unless it may be another person by now."""
        known, now_ms, parts = self.known, self.known.now_ms(), []
        for alias, why in step.unread.items():
            before = known.owed.get(alias, Owed(now_ms, why))
            bars = (
                alias in barring and alias in known.accounts and alias not in known.barred and not known.is_held(alias)
            )
            owed = Owed(before.since, why, barred=before.barred or bars, anew=alias in strangers)
            if owed != known.owed.get(alias):
                parts.append(Piece(owed={alias: owed.as_json()}, barred=[alias] if bars else []))
        return parts

    def _held_after(self, step: Step, doomed: Sequence[str]) -> Held | None:
        """What waits for a decision once a step is applied: who was read is there again, all others stay."""
        before = self.known.held
        left = [alias for alias in before.aliases if alias not in step.found] if before is not None else []
        if not doomed:
            return replace(before, aliases=tuple(left)) if before is not None and left else None
        aliases = tuple(sorted({*left, *doomed}))
        if before is None:
            return Held(self.known.now_ms(), self.known.ver, step.ver, step.kind, _TOO_MANY, aliases)
        kind: SyncKind = "full" if "full" in (before.kind, step.kind) else "delta"
        return replace(before, to_ver=step.ver, kind=kind, aliases=aliases)


def _ext_id(profile: Mapping[str, Any]) -> str:
    return str(profile.get("ext_id") or "")


def changed(
    changes: Fold, known: Known, notices: Notices, ver: int, carried: Mapping[str, str] = MappingProxyType({})
) -> list[Piece]:
    """What is stored of a comparison, each account and each address for itself; nothing of a former holder stays.

    ``carried``: accounts that are another's who went, under a new address: the same person, whose mailbox goes on.
    """
    fresh = set(changes.fresh).union(carried)
    became: list[str] = []
    gone: list[str] = []
    for slave in changes.slaves_removed:
        (became if slave in fresh else gone).append(slave)
    parts = [
        Piece(
            slaves_removed=[slave],
            moved=[slave],
            forgotten=[] if slave in known.accounts else [slave],
            barred=[slave] if slave in changes.slaves_barred else [],
        )
        for slave in gone
    ]
    told = {change.alias: _told(change, changes, notices, ver) for change in changes.changes}
    # In the same step as the account: afterwards nobody could see any more that it was another person's.
    for alias in changes.fresh:
        if alias not in carried:
            part = told.setdefault(alias, Piece())
            part.fresh, part.moved = [alias], [alias]
    for alias, former in carried.items():
        told[alias].carried = {alias: former}
    for slave in became:
        told[slave].slaves_removed = [slave]
    parts += told.values()
    for slave, alias in changes.slaves.items():
        # What is kept under a main address that became a slave waits for the second look.
        keeps = slave in known.accounts
        part = Piece(slaves={slave: alias}, moved=[slave], forgotten=[] if keeps else [slave])
        if carried.get(alias) == slave or (alias in carried and known.slaves.get(slave) == carried[alias]):
            # His own, before and after.
            part.moved, part.forgotten = [], []
        parts.append(part)
    parts += [Piece(unbarred=[slave]) for slave in changes.slaves_unbarred]
    return parts


def _told(change: Change, changes: Fold, notices: Notices, ver: int) -> Piece:
    """One account's profile and event."""
    part = Piece(events=[notices.user(change, ver)])
    if change.profile is None:
        part.removed, part.forgotten = [change.alias], [change.alias]
    else:
        part.profiles = {change.alias: changes.profiles[change.alias]}
    if change.bars is not None:
        (part.barred if change.bars else part.unbarred).append(change.alias)
    return part
