"""Make accounts as the rows of a file want them: look at all, say what differs, then write one by one.

Nothing is written before every row has been compared. A write whose outcome is not known is looked at before it is
repeated, so that a run can be stopped anywhere and started again: what is already so is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bridge.commands.api.attempt import Attempt, failure
from bridge.commands.api.ending import Ending
from bridge.commands.api.pause import Pause, is_doubtful
from bridge.commands.api.report import Report, Result
from bridge.commands.api.sheet import Fault, SheetRefused
from bridge.commands.api.wanted import DISABLED, Step, Wanted, is_other, lacking, step_to
from bridge.events import normalise_address
from bridge.provider.bizmail.endpoints import USER_GET, USER_LIST
from bridge.provider.faults import NotFound, ProviderError, UnreadableAnswer
from bridge.provider.members import Action, Profile

if TYPE_CHECKING:
    from bridge.provider.bizmail.client import ProviderClient
    from bridge.provider.members import Listing

_AT_ONCE: Final = 8


@dataclass(slots=True)
class Plan:
    """What a run would do: the rows with their steps, in order, and those that cannot be judged."""

    steps: list[tuple[Wanted, Step]] = field(default_factory=list)
    failed: list[Result] = field(default_factory=list)

    @property
    def disappearing(self) -> int:
        """How many people lose their mailbox."""
        return sum(step.disappears for _, step in self.steps)

    @property
    def deletes(self) -> bool:
        """Whether mails would be gone for ever."""
        return any(step.kind == "delete" for _, step in self.steps)

    @property
    def parties(self) -> list[str]:
        """The departments that somebody is to be put into."""
        return [path for _, step in self.steps for path in _parties(step)]

    def without(self, parties: Sequence[str]) -> Plan:
        """The same, where these departments are not there: who is to be put into one of them is left as he is."""
        plan = Plan(failed=[*self.failed])
        for wanted, step in self.steps:
            if missing := [path for path in _parties(step) if path in parties]:
                why = f"there is no department {missing[0]}; --add-parties adds it"
                plan.failed.append(Result(wanted.line, wanted.alias, ending=Ending.REFUSED, error=why))
            else:
                plan.steps.append((wanted, step))
        return plan


def _parties(step: Step) -> list[str]:
    return [path for change in step.changes if change.key == "parties" for path in change.after if path]


@dataclass(frozen=True, slots=True)
class Leaving:
    """Whom a list of everybody leaves out, as they shall become; ``keep`` are addresses of those who stay all the same,
    ``listed`` of all who are there."""

    who: Sequence[Wanted] = ()
    keep: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()

    def keeps(self, profile: Profile) -> bool:
        """Whether somebody stays, by whichever of his addresses that was said."""
        return not self.keep.isdisjoint(_slaves(profile))

    def unknown(self, profiles: Iterable[Profile]) -> list[Fault]:
        """Addresses to be kept that nobody has: whoever was meant would be taken for a leaver."""
        known = self.listed.union(*map(_slaves, profiles))
        return [Fault(None, f"--keep {each}: there is no such account") for each in sorted(self.keep - known)]


class Accounts:
    """The accounts of a corporation, as a run reads and writes them. ``pause`` is the run's one pause."""

    def __init__(self, client: ProviderClient, pause: Pause, report: Report) -> None:
        self._client = client
        self._pause = pause
        self._report = report

    async def listed(self) -> Listing:
        """Everybody who is there.

        Raises:
            GaveUp
            ProviderError: the listing cannot be had, or used.
        """
        from bridge.provider.bizmail.members import BizMailMembers

        listing = await self._pause.ask(BizMailMembers(self._client).everything)
        if listing.refused:
            raise UnreadableAnswer(USER_LIST.name, listing.refused)
        return listing

    async def plan(self, rows: Sequence[Wanted], leaving: Leaving | None = None) -> Plan:
        """Compare what is wanted with what is there.

        Raises:
            SheetRefused: what can never be done: an account that is to be added lacks something, a row names an account
                by a further address of it, or nobody has an address that is to be kept.
            GaveUp
            ProviderError: the provider refuses us altogether.
        """
        leaving = leaving or Leaving()
        everybody = [*rows, *leaving.who]
        seen = await self._look_at([each.alias for each in everybody])
        found = {alias: profile for alias, profile in seen.items() if isinstance(profile, Profile)}
        plan = Plan()
        faults = [*_hidden(rows, leaving, found), *leaving.unknown(found.values())]
        for each in everybody:
            answer = seen[each.alias]
            if isinstance(answer, ProviderError):
                plan.failed.append(failure(each, answer, USER_GET))
                continue
            step = step_to(each, answer)
            if each.line is None:
                if answer is not None and step.kind != "unchanged" and not leaving.keeps(answer):
                    plan.steps.append((each, step))
            elif step.kind == "add" and (why := lacking(each)) is not None:
                faults.append(Fault(each.line, why))
            else:
                plan.steps.append((each, step))
        if faults:
            raise SheetRefused(sorted(faults, key=lambda fault: fault.line or 0))
        return plan

    async def _look_at(self, aliases: Iterable[str]) -> dict[str, Profile | ProviderError | None]:
        waiting = list(aliases)
        seen: dict[str, Profile | ProviderError | None] = {}
        with self._report.stage("reading", len(waiting)) as stage:
            rest = iter(waiting)

            async def look_on() -> None:
                for alias in rest:
                    try:
                        seen[alias] = await self._look(alias)
                    except ProviderError as error:
                        if not is_doubtful(error):
                            raise
                        seen[alias] = error
                    stage.step()

            tasks = [
                asyncio.create_task(look_on(), name="look at accounts") for _ in range(min(_AT_ONCE, len(waiting)))
            ]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                if tasks:
                    await asyncio.wait(tasks)
        return seen

    async def _look(self, alias: str) -> Profile | None:
        try:
            return await self._pause.ask(lambda: self._client.user_get(alias))
        except NotFound:
            return None

    async def carry_out(self, wanted: Wanted, step: Step) -> Result:
        """Do one step; return what became of it."""
        return await Attempt(self._client, self._pause, wanted, step).run()


def leaving_of(listing: Listing, rows: Sequence[Wanted], keep: Sequence[str], how: str) -> Leaving:
    """Who is there and not in the file, to be switched off or deleted (``how``)."""
    there = {
        normalise_address(change.alias) or change.alias: change.alias
        for change in listing.changes
        if change.action is not Action.DEL
    }
    kept = frozenset(normalise_address(each) or each for each in keep)
    stay = kept | {each.address for each in rows}
    gone = [alias for address, alias in there.items() if address not in stay]
    action, values = (Action.DEL, {}) if how == "delete" else (Action.MOD, {"open_type": DISABLED})
    return Leaving([Wanted(None, alias, action, values) for alias in gone], kept, frozenset(there))


def _hidden(rows: Sequence[Wanted], leaving: Leaving, found: Mapping[str, Profile]) -> list[Fault]:
    """Rows that name somebody by a further address: they would add what exists, and he would be taken for a leaver."""
    named = {each.address: each for each in rows}
    faults = [
        Fault(each.line, f"{each.alias} is a further address of {found[each.alias].alias}")
        for each in rows
        if each.alias in found and is_other(each.alias, found[each.alias])
    ]
    for each in leaving.who:
        if (profile := found.get(each.alias)) is not None:
            faults += [
                Fault(named[address].line, f"{named[address].alias} is a further address of {profile.alias}, left out")
                for address in _slaves(profile) & named.keys()
            ]
    return faults


def _slaves(profile: Profile) -> set[str]:
    return {normalise_address(slave) or slave for slave in profile.slaves}
