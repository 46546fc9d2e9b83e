"""Read the profiles of accounts: a listing only names them, so each costs a call."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.events import normalise_address, to_json
from bridge.journal.owed import MISSING, REFUSED, UNREADABLE
from bridge.provider.faults import (
    CONCERNS_ALL,
    BadParameter,
    NotFound,
    ProviderError,
    ProviderRefused,
    UnreadableAnswer,
)
from bridge.provider.members import Members
from bridge.supervision import apart
from bridge.worker.allowance import Allowance
from bridge.worker.fold import slaves_of, stored_profile

_ALIKE: Final = 5
_STOPS: Final = 3
_TOGETHER: Final = 32
_LARGEST: Final = 64 * 1024
_MOST_SLAVES: Final = 100


class ManyRefused(ProviderError):
    """One account after the other was refused in the same way, so the reason is not in the accounts."""

    def __init__(self, why: str, aliases: Sequence[str]) -> None:
        super().__init__(f"{len(aliases)} accounts one after the other: {why}")
        self.why = why
        self.aliases = aliases


@dataclass(frozen=True, slots=True)
class Account:
    """One account as the provider has it now; ``profile`` is what may be kept of it.

    ``disabled`` stands beside the profile, which may leave ``open_type`` out; ``None``: the provider does not say.
    """

    alias: str
    profile: dict[str, Any]
    slaves: Sequence[str] = ()
    disabled: bool | None = False
    ext_id: str = ""


@dataclass(slots=True)
class Fetch:
    """Accounts that are to be read, and how far that has got.

    ``found`` and ``unread`` (alias → why, in the words of :mod:`bridge.journal.owed`) fill while it runs. A run that
    follows a fault goes on where that broke off. ``stopped_by``: the accounts whose refusals ended the last run.
    ``looks_again``: the accounts are said to be gone, so many missing ones in a row mean nothing. ``allowance`` is
    shared by all that read accounts for one leader.
    """

    members: Members
    fields: Collection[str]
    allowance: Allowance
    aliases: Sequence[str] = ()
    found: dict[str, Account] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)
    stopped_by: Sequence[str] = ()
    looks_again: bool = False
    _alike: list[str] = field(default_factory=list)
    _stops: int = 0
    _readers: int = 0

    async def run(self) -> None:
        """Read every account, with a bounded number of calls under way.

        An account that is refused for a reason of its own must not hold up the others. If several in a row are refused
        in the same way, the run ends; the third run that ends so without a success leaves the rest unread.

        Raises:
            ManyRefused
            ProviderError: the provider is away, busy, or refuses us altogether.
        """
        before = len(self.found)
        try:
            await self._all([alias for alias in self.aliases if alias not in self.found and alias not in self.unread])
        except ManyRefused as many:
            self._stops = 1 if len(self.found) > before else self._stops + 1
            if self._stops >= _STOPS:
                for alias in self.aliases:
                    if alias not in self.found:
                        self.unread.setdefault(alias, many.why)
                return
            self.stopped_by = many.aliases
            for alias in many.aliases:
                self.unread.pop(alias, None)
            self._alike.clear()
            raise

    async def _all(self, waiting: Sequence[str]) -> None:
        self._readers = 0
        try:
            # Apart: whoever took an answer for what came of a cancellation would ask again, and never end.
            await apart(self._each(waiting), name="fetch all accounts")
        except ExceptionGroup as errors:
            # The first one ended it; what others that were under way met says the same.
            self.allowance.troubled(self._readers)
            raise errors.exceptions[0] from None

    async def _each(self, waiting: Sequence[str]) -> None:
        aliases = iter(waiting)
        async with asyncio.TaskGroup() as group:
            for number in range(1, min(self.allowance.now, len(waiting)) + 1):
                if self._readers >= self.allowance.now:
                    # Those that began first have begun others.
                    break
                self._begin(group, aliases)
                if number % _TOGETHER == 0:
                    # To begin a hundred calls takes as long as to read a hundred answers, which come together.
                    await asyncio.sleep(0)

    # Methods, not functions in one another: those would refer to each other in a circle, which keeps all that was found
    # until Python's collector stops everybody to look for it.
    def _begin(self, group: asyncio.TaskGroup, aliases: Iterator[str]) -> None:
        self._readers += 1
        group.create_task(self._read_on(group, aliases), name="fetch accounts")

    async def _read_on(self, group: asyncio.TaskGroup, aliases: Iterator[str]) -> None:
        for alias in aliases:
            await self._one(alias)
            self.allowance.answered(self._readers)
            if self._readers < self.allowance.now:
                self._begin(group, aliases)
        self._readers -= 1

    async def _one(self, alias: str) -> None:
        answer = await read_account(self.members, alias, self.fields)
        if isinstance(answer, Account):
            self.found[alias] = answer
            self._alike.clear()
            return
        if self._alike and self.unread[self._alike[-1]] != answer:
            self._alike.clear()
        self.unread[alias] = answer
        if answer == MISSING and self.looks_again:
            return
        self._alike.append(alias)
        if len(self._alike) >= _ALIKE:
            raise ManyRefused(answer, tuple(self._alike))


async def read_account(members: Members, alias: str, fields: Collection[str]) -> Account | str:
    """Ask for one account; a text is why it could not be read.

    Raises:
        ProviderError: that has nothing to do with this account.
    """
    try:
        profile = await members.account(alias)
    except NotFound:
        return MISSING
    except CONCERNS_ALL:
        raise
    except ProviderRefused as error:
        return f"{REFUSED} {error.label}".rstrip()
    except (UnreadableAnswer, BadParameter):
        return UNREADABLE
    slaves = slaves_of(profile)
    if normalise_address(profile.alias) != alias:
        # Either the address has become a slave of another account, or this is no answer to what was asked.
        return MISSING if alias in slaves else UNREADABLE
    kept = stored_profile(profile, fields) | {"alias": alias}
    if len(slaves) > _MOST_SLAVES or not _fits(kept):
        return UNREADABLE
    return Account(alias, kept, slaves, profile.disabled, profile.ext_id.strip())


def _fits(profile: dict[str, Any]) -> bool:
    """Whether a profile can be kept: its size is bounded, and JSON readers can read its numbers."""
    try:
        return len(to_json(profile)) <= _LARGEST
    except (TypeError, ValueError):
        return False
