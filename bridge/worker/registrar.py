"""What an answer about members changes in the mirror.

Only differences from the mirror are stored and published, so applying an answer again (after a crash) publishes nothing
twice. The cursor moves in the call that stores the last of what it stands for. What could not be read, and accounts
that are said to be gone, are owed a second look from the same call on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from bridge.events import USER_ADDED
from bridge.journal.held import Held
from bridge.journal.mirror import Mirror
from bridge.journal.owed import DELETED, MISSING, Owed
from bridge.journal.profile import named
from bridge.obs.labels import SyncKind
from bridge.worker.claims import is_another
from bridge.worker.fold import Fold, fold
from bridge.worker.guard import Guard
from bridge.worker.known import Known
from bridge.worker.notices import Applied, Notices
from bridge.worker.pieces import MOST, Piece, joined
from bridge.worker.profiles import Account
from bridge.worker.renamed import alone, matched
from bridge.worker.scribe import Scribe
from bridge.worker.step import Step
from bridge.worker.storing import as_pieces

log = logging.getLogger(__name__)

_TOO_MANY: Final = "it would delete too many accounts"


class Registrar:
    """Applies steps to the mirror, one after the other. ``appeared`` is called with each account that is new."""

    def __init__(
        self,
        scribe: Scribe,
        mirror: Mirror,
        notices: Notices,
        guard: Guard,
        appeared: Callable[[str], None],
    ) -> None:
        self._appeared = appeared
        self._scribe = scribe
        self._mirror = mirror
        self._notices = notices
        self._guard = guard
        self.known: Known = scribe.known

    async def apply(self, step: Step) -> Applied:
        """Store and publish what really changed; return what all parts up to this one came to.

        An account that is said to be gone is barred, and owed a second look. If too many are at once, they are held
        instead: they keep what they have until an operator decides.

        Raises:
            CursorElsewhere, JournalAway, LeaseLost, JournalRefused
        """
        known = self.known
        # Deleted and created again, and not readable: the former holder is gone, whoever the new one is.
        strangers = {alias for alias in step.unread if self._is_anew(step, alias)}
        if step.is_judged:
            held_back = bool(strangers) and self._guard.holds(strangers, known.accounts, known.waiting)
            leaving, to_hold = set(step.gone), step.held
        else:
            leaving, to_hold, held_back = self._judge(step.gone, strangers)
        changes = await self._changes(step, leaving)
        carried = await self._carried(step, leaving)
        parts = as_pieces(changes, known, self._notices, step.ver, carried)
        parts += self._leaving(step, leaving, changes)
        parts += self._unread(step, frozenset() if held_back else strangers, strangers)
        # These come last: after a crash in between, the parts before are done again because they are still owed.
        parts += self._settled(step, leaving)
        counts = replace(
            step.before,
            gone=step.before.gone + len(leaving - known.leaving),
            held=step.before.held + len(to_hold),
            owed=step.before.owed + len(step.unread),
        )
        for change in changes.changes:
            counts = counts.counting(change)
        pieces = joined(parts)
        if to_hold:
            log.warning("deletions held", extra={"ver": known.ver, "answered": step.ver, "accounts": len(to_hold)})
        held = self._held_after(step, to_hold)
        if held is not None and to_hold:
            pieces[-1].events.append(self._notices.held(known.ver, step.ver, held.why, len(held.aliases)))
        if step.completes and counts.changes:
            pieces[-1].events.append(self._notices.synced(known.ver, step.ver, counts))
        await self._scribe.write(pieces, ver=step.ver if step.moves else None, held=held)
        for change in changes.changes:
            if change.type == USER_ADDED:
                self._appeared(change.alias)
        return counts

    def judge(self, gone: Collection[str]) -> tuple[set[str], list[str]]:
        """Of all that an answer says to be gone: who leaves, and who is held because they are too many."""
        leaving, to_hold, _ = self._judge(gone, ())
        return leaving, to_hold

    def _judge(self, said: Collection[str], strangers: Collection[str]) -> tuple[set[str], list[str], bool]:
        known = self.known
        gone = [alias for alias in said if not known.is_held(alias)] if known.held is not None else said
        if not gone and not strangers:
            return set(), [], False
        waiting = known.waiting
        if not self._guard.holds([*gone, *strangers], known.accounts, waiting):
            return set(gone), [], False
        to_hold = [alias for alias in gone if alias in known.accounts and alias not in waiting]
        return set(gone).difference(to_hold), to_hold, True

    async def announce_held(self, why: str, answered: int | None) -> None:
        """Announce that an answer was not believed; nothing changes.

        Raises:
            CursorElsewhere, LeaseLost, JournalRefused
        """
        piece = Piece(events=[self._notices.held(self.known.ver, answered, why, 0)])
        await self._scribe.write([piece], ver=None, held=self.known.held)

    def _is_anew(self, step: Step, alias: str) -> bool:
        """Whether an account that exists may be another person's now; the rule is at the head of :mod:`.claims`."""
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
            # Listed, but not readable: better known by name than not at all, unless the address had another holder.
            if why != MISSING and alias not in known.accounts and alias not in known.barred:
                new[alias] = named(alias)
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
        """New main address → the former one of the same person, known by an ExtId that nobody else has."""
        known = self.known
        came = {
            alias: account.ext_id
            for alias, account in step.found.items()
            if account.ext_id and alias not in known.accounts and alias not in known.barred
        }
        going = list(known.accounts.intersection(known.leaving.union(leaving))) if came else []
        if not going:
            return {}
        went: dict[str, str] = {}
        for start in range(0, len(going), MOST):
            some = going[start : start + MOST]
            profiles = await self._mirror.profiles(some)
            went |= {alias: _ext_id(profile) for alias, profile in zip(some, profiles, strict=True) if profile}
        # A new main address that was another account's slave says nothing of who has it now.
        pairs = {new: old for new, old in matched(came, went).items() if known.slaves.get(new, old) == old}
        if not pairs:
            return {}
        asked = {came[new] for new in pairs}
        holders = [(alias, account.ext_id) for alias, account in step.found.items()]
        async for alias, profile in self._mirror.each_profile():
            if (ext_id := _ext_id(profile)) in asked and alias not in step.found:
                holders.append((alias, ext_id))
        return alone(pairs, came, holders)

    def _is_off(self, account: Account) -> bool:
        """Whether an account is disabled; if the provider does not say, it is as before."""
        if account.disabled is not None:
            return account.disabled
        known, owed = self.known, self.known.owed.get(account.alias)
        only_owed = owed is not None and owed.barred
        return account.alias in known.barred and account.alias in known.accounts and not only_owed

    def _settled(self, step: Step, leaving: Collection[str]) -> list[Piece]:
        """What is owed no longer. Of a removed account that is not in the mirror nothing may stay either.

        An account that is there although a line deleted it is doubted from the same step on; the doubt ends when it
        turns out to be another person's, or leaves.
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
        """Who is said to be gone: owed a second look, and barred unless the address is another account's slave now."""
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
        """Who could not be read: owed, and as open as before unless it may be another person now."""
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

    def _held_after(self, step: Step, to_hold: Collection[str]) -> Held | None:
        """What waits for a decision after a step: an account that was read is there again, all others stay held."""
        before = self.known.held
        if not to_hold and not any(map(self.known.is_held, step.found)):
            return before
        left = [alias for alias in before.aliases if alias not in step.found] if before is not None else []
        if not to_hold:
            return replace(before, aliases=tuple(left)) if before is not None and left else None
        aliases = tuple(sorted([*left, *to_hold]))
        if before is None:
            return Held(self.known.now_ms(), self.known.ver, step.ver, step.kind, _TOO_MANY, aliases)
        kind: SyncKind = "full" if "full" in (before.kind, step.kind) else "delta"
        return replace(before, to_ver=step.ver, kind=kind, aliases=aliases)


def _ext_id(profile: Mapping[str, Any]) -> str:
    return str(profile.get("ext_id") or "")
