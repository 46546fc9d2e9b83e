"""Fetch the details of accounts: ``user/list`` names them only, so each costs a call (protocol 3.3.1, 3.3.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.provider.client import ProviderClient
from bridge.provider.errors import (
    AddressNotAllowed,
    Busy,
    CredentialsRefused,
    InvalidToken,
    NotFound,
    ProviderRefused,
    UnreadableAnswer,
)
from bridge.worker.fold import DISABLED, slaves_of, stored_profile

log = logging.getLogger(__name__)

_AT_ONCE: Final = 8
CONCERNS_ALL: Final = (Busy, InvalidToken, AddressNotAllowed, CredentialsRefused)
"""Refusals that have nothing to do with the account that was asked for."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account as the provider tells it now. ``profile`` ``None``: deleted meanwhile (1301).

    ``disabled`` is told apart from the profile, which may leave ``open_type`` out.
    """

    alias: str
    profile: dict[str, Any] | None
    slaves: Sequence[str] = ()
    incomplete: bool = False
    disabled: bool = False


async def fetch_accounts(client: ProviderClient, aliases: Sequence[str], *, fields: Collection[str]) -> list[Account]:
    """Return every account, in order, with a bounded number of calls under way.

    An account that the provider refuses to show for a reason of its own comes as incomplete: it must not hold up
    all the others.

    Raises:
        ProviderError: the provider is away, busy, or refuses us altogether.
    """
    found: dict[str, Account] = {}
    waiting = iter(aliases)

    async def fetch_on() -> None:
        for alias in waiting:
            found[alias] = await _fetch(client, alias, fields)

    tasks = [asyncio.create_task(fetch_on(), name="fetch accounts") for _ in range(min(_AT_ONCE, len(aliases)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
    return [found[alias] for alias in aliases]


async def _fetch(client: ProviderClient, alias: str, fields: Collection[str]) -> Account:
    try:
        profile = await client.user_get(alias)
    except NotFound:
        return Account(alias, None)
    except CONCERNS_ALL:
        raise
    except (ProviderRefused, UnreadableAnswer) as error:
        log.warning("account kept as incomplete", extra={"error": str(error)})
        return Account(alias, {"alias": alias, "incomplete": True}, incomplete=True)
    kept = stored_profile(profile, fields) | {"alias": alias}
    return Account(alias, kept, slaves_of(profile), disabled=profile.open_type == DISABLED)
