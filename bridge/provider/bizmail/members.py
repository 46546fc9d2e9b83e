"""Members of a corporation on BizMail: ``user/list`` and ``user/get``, and what of the answers may be believed.

An answer whose Ver cannot be is refused whole. One that comes short of its own Count is asked for again; if it stays as
it is, what it says is taken, and what it leaves out means nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ..faults import CONCERNS_ALL, ProviderRefused
from ..members import Listing, Profile
from .client import ProviderClient
from .models import Delta
from .rules import is_far_ahead, is_ver, read_ver

LAG_WAITS_S: Final = (0.5, 1.0, 2.0)
SHORT_WAITS_S: Final = (1.0, 2.0)


class BizMailMembers:
    """``lag_waits_s``: the pauses before asking again when a pushed Ver outran the data; ``short_waits_s``: the same
    for an answer that came short."""

    def __init__(
        self,
        client: ProviderClient,
        *,
        lag_waits_s: Sequence[float] = LAG_WAITS_S,
        short_waits_s: Sequence[float] = SHORT_WAITS_S,
    ) -> None:
        self._client = client
        self._lag_waits_s = lag_waits_s
        self._short_waits_s = short_waits_s

    def cursor_of(self, stored: str | None) -> int | None:
        """A stored Ver, if it can be one."""
        return read_ver(stored)

    async def changes(self, cursor: int, *, announced: int, now_s: float) -> Listing:
        """What changed after the cursor; ``announced`` is the newest Ver that was pushed.

        Raises:
            ProviderError
        """

        async def ask() -> Delta:
            delta = await self._client.user_list(cursor)
            for wait_s in self._lag_waits_s:
                if delta.changes or announced <= cursor or (delta.ver or 0) > cursor:
                    break
                # A push can outrun the data.
                await asyncio.sleep(wait_s)
                delta = await self._client.user_list(cursor)
            return delta

        try:
            delta, settled = await self._settled(ask, is_short)
        except CONCERNS_ALL:
            raise
        except ProviderRefused as error:
            # It does not list the changes since then; it may list what is there now.
            return Listing(0, refused=f"the provider refuses the Ver with errcode {error.errcode[:8]}")
        newer = (delta.ver or 0) > cursor
        if not is_ver(delta.ver) or delta.ver < cursor:
            return _refused("the answer's Ver is missing or below the cursor", delta, newer=newer)
        if is_far_ahead(delta.ver, now_s=now_s, cursor=cursor):
            return _refused("the answer's Ver is more than a day ahead", delta, newer=newer)
        short = _short(delta) if is_short(delta) else ""
        return Listing(delta.ver, delta.changes, short=short, settled=settled, newer=newer)

    async def everything(self) -> Listing:
        """Everybody (Ver 0).

        The listing's Ver becomes the cursor also where it is lower or far ahead: two answers then agree on it, and a
        later one that does not is compared in full again.

        Raises:
            ProviderError
        """
        delta, settled = await self._settled(lambda: self._client.user_list(0), lambda delta: not is_whole(delta))
        if not is_ver(delta.ver):
            return _refused("the full listing has no Ver", delta)
        whole = is_whole(delta)
        short = "" if whole else _short(delta)
        return Listing(delta.ver, delta.changes, whole=whole, short=short, settled=settled, newer=True)

    async def account(self, alias: str) -> Profile:
        """One account.

        Raises:
            NotFound, BadParameter, ProviderError
        """
        return await self._client.user_get(alias)

    async def _settled(
        self, ask: Callable[[], Awaitable[Delta]], is_lacking: Callable[[Delta], bool]
    ) -> tuple[Delta, bool]:
        """An answer that lacks nothing, or the last of several; and whether those were alike."""
        delta = await ask()
        alike = True
        for wait_s in self._short_waits_s:
            if not is_lacking(delta):
                return delta, True
            await asyncio.sleep(wait_s)
            before, delta = delta, await ask()
            alike = alike and (before.changes, before.count) == (delta.changes, delta.count)
        return delta, alike or not is_lacking(delta)


def is_short(delta: Delta) -> bool:
    """Whether lines are missing from an answer, or cannot be read: its Count says so."""
    return delta.unreadable > 0 or (delta.count is not None and delta.count > len(delta.changes))


def is_whole(delta: Delta) -> bool:
    """Whether a listing of everything vouches for being one: its List is as long as its Count."""
    return delta.unreadable == 0 and delta.count == len(delta.changes)


def _refused(why: str, delta: Delta, *, newer: bool = False) -> Listing:
    return Listing(0, refused=why, answered=delta.ver, newer=newer)


def _short(delta: Delta) -> str:
    lines = len(delta.changes) + delta.unreadable
    unread = f", {delta.unreadable} of them not to be read" if delta.unreadable else ""
    return f"the listing has {lines} lines{unread}, its Count says {delta.count}"
