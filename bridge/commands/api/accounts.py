"""Make accounts as the rows of a file want them: look at all, say what differs, then write one by one.

Nothing is written before every row has been compared. A write whose outcome is not known is looked at before it is
repeated, so that a run can be stopped anywhere and started again: what is already so is left alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bridge.commands.api.attempt import Attempt, failure
from bridge.commands.api.pause import Pause, is_doubtful
from bridge.commands.api.report import Report, Result
from bridge.commands.api.sheet import Fault, SheetRefused
from bridge.commands.api.wanted import Step, Wanted, is_other, lacking, step_to
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

    async def plan(self, rows: Sequence[Wanted], leavers: Sequence[Wanted] = ()) -> Plan:
        """Compare what is wanted with what is there. ``leavers`` are those whom the file leaves out.

        Raises:
            SheetRefused: rows that can never be done: an account that is to be added lacks something, or a row names
                an account by a further address of it.
            GaveUp
            ProviderError: the provider refuses us altogether.
        """
        everybody = [*rows, *leavers]
        seen = await self._look_at([each.alias for each in everybody])
        plan, faults = Plan(), []
        named = {each.address: each for each in rows}
        for each in everybody:
            found = seen[each.alias]
            if isinstance(found, ProviderError):
                plan.failed.append(failure(each, found, USER_GET))
                continue
            if found is not None and each.line is not None and is_other(each.alias, found):
                faults.append(Fault(each.line, f"{each.alias} is a further address of {found.alias}"))
                continue
            if found is not None and each.line is None:
                # Somebody is listed by a further address: his account is no leaver's.
                slaves = {normalise_address(slave) for slave in found.slaves}
                faults += [
                    Fault(row.line, f"{row.alias} is a further address of {found.alias}, which the file leaves out")
                    for address, row in named.items()
                    if address in slaves
                ]
            step = step_to(each, found)
            if step.kind == "add" and (why := lacking(each)) is not None:
                faults.append(Fault(each.line, why))
            elif each.line is not None or step.kind != "unchanged":
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


def leavers_of(listing: Listing, rows: Sequence[Wanted], keep: Sequence[str], how: str) -> list[Wanted]:
    """Who is there and not in the file, to be switched off or deleted (``how``)."""
    stay = {each.address for each in rows} | {normalise_address(each) or each for each in keep}
    gone = [
        change.alias
        for change in listing.changes
        if change.action is not Action.DEL and normalise_address(change.alias) not in stay
    ]
    if how == "delete":
        return [Wanted(None, alias, Action.DEL) for alias in dict.fromkeys(gone)]
    return [Wanted(None, alias, Action.MOD, {"open_type": "2"}) for alias in dict.fromkeys(gone)]
