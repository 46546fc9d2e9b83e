"""Ask ``user/list``, and say what of the answer may be believed.

An answer whose Ver cannot be is refused whole. One that comes short of its own Count is asked for again; if it stays as
it is, what it says is taken, and what it leaves out means nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.models import Delta
from bridge.provider.bizmail.rules import is_far_ahead, is_ver
from bridge.provider.faults import ProviderRefused
from bridge.worker.claims import Claims, is_short, is_whole, read_claims, read_everybody
from bridge.worker.profiles import CONCERNS_ALL

log = logging.getLogger(__name__)

_LONG: Final = 5000


@dataclass(frozen=True, slots=True)
class Listing:
    """An answer. ``refused``: why it is not believed; ``answered`` is its Ver then, and there are no claims.

    ``whole``: who is left out of it is not there. ``short``: it came short of its Count; ``settled``: and stays so, so
    that waiting for a better one is in vain.
    """

    ver: int
    claims: Claims
    whole: bool = False
    short: str = ""
    settled: bool = True
    refused: str = ""
    answered: int | None = None


_NOBODY: Final = Claims((), ())


def _refused(why: str, answered: int | None) -> Listing:
    return Listing(0, _NOBODY, refused=why, answered=answered)


class Listings:
    """``lag_waits_s``: the pauses before asking again when a pushed Ver outran the data; ``short_waits_s``: the same
    for an answer that came short. ``wall`` gives epoch seconds."""

    def __init__(
        self,
        client: ProviderClient,
        *,
        lag_waits_s: Sequence[float],
        short_waits_s: Sequence[float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._lag_waits_s = lag_waits_s
        self._short_waits_s = short_waits_s
        self._wall = wall

    async def changes(self, cursor: int, pushed: int) -> Listing:
        """What changed after the cursor; ``pushed`` is the newest Ver that was pushed.

        Raises:
            ProviderError
        """

        async def ask() -> Delta:
            delta = await self._client.user_list(cursor)
            for wait_s in self._lag_waits_s:
                if delta.changes or pushed <= cursor or (delta.ver or 0) > cursor:
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
            # It will not tell what changed since then; what is there now it may tell.
            return _refused(f"the provider refuses the Ver with errcode {error.errcode[:8]}", None)
        if not is_ver(delta.ver) or delta.ver < cursor:
            return _refused("the answer's Ver is missing or below the cursor", delta.ver)
        if is_far_ahead(delta.ver, now_s=self._wall(), cursor=cursor):
            return _refused("the answer's Ver is more than a day ahead", delta.ver)
        claims = await _read(read_claims, delta)
        short = is_short(delta)
        if short and not settled:
            claims = Claims(claims.present, (), claims.added, claims.anew)
        return Listing(delta.ver, claims, short=_short(delta) if short else "", settled=settled)

    async def everything(self) -> Listing:
        """Everybody (Ver 0).

        The listing's Ver becomes the cursor also where it is lower or far ahead: two answers then agree on it, and a
        later one that does not is compared in full again.

        Raises:
            ProviderError
        """
        delta, settled = await self._settled(lambda: self._client.user_list(0), lambda delta: not is_whole(delta))
        claims = await _read(read_everybody, delta)
        if not is_ver(delta.ver):
            return _refused("the full listing has no Ver", delta.ver)
        if not claims.present:
            return _refused("the full listing is empty", delta.ver)
        whole = is_whole(delta)
        if not whole:
            claims = Claims(claims.present, ())
        return Listing(delta.ver, claims, whole=whole, short="" if whole else _short(delta), settled=settled)

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


async def _read(read: Callable[[Delta], Claims], delta: Delta) -> Claims:
    # Hundreds of thousands of lines would keep the pushes waiting for seconds.
    return await asyncio.to_thread(read, delta) if len(delta.changes) > _LONG else read(delta)


def _short(delta: Delta) -> str:
    lines = len(delta.changes) + delta.unreadable
    unread = f", {delta.unreadable} of them not to be read" if delta.unreadable else ""
    return f"the listing has {lines} lines{unread}, its Count says {delta.count}"
