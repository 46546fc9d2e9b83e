"""The member directory three ways: as the provider has it, as Redis mirrors it, as the events tell it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import orjson

from bridge.simulator import World
from tests.support.workers import KEYS

_NAMES = ("name", "gender", "position", "tel", "mobile", "ext_id", "open_type", "status")


def fresh(world: World, fields: Collection[str]) -> dict[str, dict[str, Any]]:
    """What a pull of everything would store now."""
    found = {}
    for alias, account in world.accounts.items():
        whole = {name: getattr(account, name) for name in _NAMES}
        whole |= {"alias": alias, "slaves": list(account.slaves), "parties": list(account.parties)}
        found[alias] = {name: value for name, value in whole.items() if name in fields or name == "alias"}
    return found


def slaves_of(world: World) -> dict[str, str]:
    return {slave: alias for alias, account in world.accounts.items() for slave in account.slaves}


async def mirrored(redis: Any) -> dict[str, dict[str, Any]]:
    """Redis's mirror."""
    return {alias.decode(): orjson.loads(text) for alias, text in (await redis.hgetall(KEYS.directory)).items()}


async def mirrored_slaves(redis: Any) -> dict[str, str]:
    return {slave.decode(): alias.decode() for slave, alias in (await redis.hgetall(KEYS.slaves)).items()}


def told(
    mirror: dict[str, dict[str, Any]], events: Sequence[dict[str, Any]], *, enabled_counts: bool = False
) -> dict[str, dict[str, Any]]:
    """What a reader of the events believes who had ``mirror``; refuses what cannot be.

    ``enabled_counts``: an update may tell of ``enabled`` alone, where profiles do not hold ``open_type``.
    """
    believed = dict(mirror)
    for event in events:
        kind, data = event["type"].removeprefix("exmail.directory."), event["data"]
        if kind == "user.added":
            assert data["alias"] not in believed, "added twice"
            believed[data["alias"]] = data["profile"]
        elif kind == "user.updated":
            news = believed[data["alias"]] != data["profile"] or (enabled_counts and "enabled" in data)
            assert news, "updated to what it was"
            assert data["changed"], "updated, and nothing changed"
            believed[data["alias"]] = data["profile"]
        elif kind == "user.deleted":
            del believed[data["alias"]]
    return believed
