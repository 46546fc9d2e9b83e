"""One account's step, until it is done or it is clear that it will not be.

A write whose outcome is not known is looked at before it is repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridge.commands.api.answer import in_words
from bridge.commands.api.ending import Ending, ending_of, facts_of
from bridge.commands.api.pause import DOUBTS_MOST, GaveUp, Pause, is_doubtful, is_later
from bridge.commands.api.report import Result
from bridge.commands.api.wanted import Step, Wanted, step_to
from bridge.provider.bizmail.endpoints import USER_ADD, USER_DELETE, USER_MODIFY, Endpoint
from bridge.provider.faults import (
    CONCERNS_ALL,
    PERHAPS_DONE,
    CallerFault,
    NotFound,
    OutcomeUnknown,
    ProviderAway,
    ProviderError,
    ProviderRefused,
)
from bridge.provider.members import Profile

if TYPE_CHECKING:
    from bridge.provider.bizmail.client import ProviderClient

_EXISTS: Final = "1304"
_ENDPOINTS: Final = {"add": USER_ADD, "change": USER_MODIFY, "disable": USER_MODIFY, "delete": USER_DELETE}


class Attempt:
    """One step, until it is done, or it is clear that it will not be."""

    def __init__(self, client: ProviderClient, pause: Pause, wanted: Wanted, step: Step) -> None:
        self._client = client
        self._pause = pause
        self._wanted = wanted
        self._first = step
        # Whether a write may have been done at all, and whether the last one may and was not looked at since.
        self._perhaps_done = self._is_open = False
        self._doubts = 0

    async def run(self) -> Result:
        """Do it; return what became of it."""
        step = self._first
        if step.kind in ("not-found", "exists"):
            return foreseen(self._wanted, step)
        try:
            return await self._done(step)
        except GaveUp as gave_up:
            return stopping(self._failure(gave_up.error, gave_up=True))
        except ProviderError as error:
            # Looking again was refused.
            return self._failure(error) if is_doubtful(error) else stopping(self._failure(error))

    async def _done(self, step: Step) -> Result:
        while step.kind != "unchanged":
            began = await self._pause.turn()
            try:
                await self._write(step)
            except ProviderError as error:
                if not self._goes_on(error):
                    return self._without(error)
                self._pause.put_off(error, began=began)
                step = await self._next_step()
                # Reading is answered, so this is no limit for everything.
                if step.kind == "exists" or (step.kind != "unchanged" and self._doubts >= DOUBTS_MOST):
                    self._pause.left_open(error)
                    return self._failure(error)
            else:
                self._pause.settled()
                break
        return Result(self._wanted.line, self._wanted.alias, self._first.kind, changes=self._first.changes)

    def _goes_on(self, error: ProviderError) -> bool:
        """Whether to look again and go on after this; notes what it says of the outcome."""
        self._is_open = isinstance(error, OutcomeUnknown) or (isinstance(error, ProviderAway) and error.sent)
        self._perhaps_done |= self._is_open
        # An account that was perhaps added may not be shown yet: one answer says that it exists, the other that not.
        is_late = self._perhaps_done and isinstance(error, ProviderRefused) and error.errcode == _EXISTS
        self._is_open |= is_late
        self._doubts += is_doubtful(error) or is_late
        return is_later(error) or is_doubtful(error) or is_late

    def _without(self, error: ProviderError) -> Result:
        if isinstance(error, NotFound | CallerFault):
            self._pause.settled()
            if isinstance(error, NotFound) and self._first.kind == "delete":
                kind = "delete" if self._perhaps_done else "unchanged"
                return Result(self._wanted.line, self._wanted.alias, kind)
        result = self._failure(error)
        return result if _is_of_the_row(error) else stopping(result)

    def _failure(self, error: ProviderError, *, gave_up: bool = False) -> Result:
        endpoint = _ENDPOINTS[self._first.kind]
        return failure(self._wanted, error, endpoint, perhaps=self._is_open, gave_up=gave_up)

    async def _next_step(self) -> Step:
        """What is left to do, by what is there now."""
        try:
            profile: Profile | None = await self._pause.ask(lambda: self._client.user_get(self._wanted.alias))
        except NotFound:
            profile = None
        if self._first.kind != "add":
            self._is_open = False
        return step_to(self._wanted, profile)

    async def _write(self, step: Step) -> None:
        write = getattr(self._client, _ENDPOINTS[step.kind].method)
        await write(self._wanted.alias, **step.values)


def foreseen(wanted: Wanted, step: Step) -> Result:
    """What will become of a row, as far as can be told without trying."""
    line, alias = wanted.line, wanted.alias
    if step.kind == "not-found":
        return Result(line, alias, ending=Ending.NOT_FOUND, error="there is no such account")
    if step.kind == "exists":
        other = ", ".join(each.key for each in step.changes)
        return Result(line, alias, ending=Ending.REFUSED, error=f"it exists already, with another {other}")
    return Result(line, alias, step.kind, changes=step.changes)


def failure(
    wanted: Wanted, error: ProviderError, endpoint: Endpoint, *, perhaps: bool = False, gave_up: bool = False
) -> Result:
    """The result of a row that could not be done. ``perhaps``: it may have been done."""
    ending = ending_of(error, gave_up=gave_up)
    said = in_words(error, endpoint)
    if perhaps:
        ending = Ending.UNKNOWN
        said = said if PERHAPS_DONE in said else f"{said}; {PERHAPS_DONE}"
    return Result(wanted.line, wanted.alias, ending=ending, error=said, facts=facts_of(error))


def stopping(result: Result) -> Result:
    """The same, as the last of a run."""
    return Result(result.line, result.of, ending=result.ending, error=result.error, facts=result.facts, stops=True)


def _is_of_the_row(error: ProviderError) -> bool:
    return isinstance(error, ProviderRefused) and not isinstance(error, CONCERNS_ALL)
