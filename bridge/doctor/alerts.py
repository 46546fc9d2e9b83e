"""Whether somebody would be told: Prometheus has the alerts of this release, measures, and knows whom to tell."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import aiohttp

from bridge.doctor.check import Check, Said
from bridge.doctor.finding import NotJudged, found
from bridge.doctor.means import Means
from bridge.events import from_json
from bridge.provider.egress import Egress

_HERE: Final = Path(__file__).parent
_PLACES: Final = (_HERE / "rules.yml", _HERE.parents[1] / "deploy" / "prometheus" / "rules.yml")
"""Beside this file in a package, in its own place in a checkout."""
_MEASURED: Final = "exmail_bridge_build_info"
_PREFIX: Final = "ExmailBridge"
_NAMED: Final = 8
_ANSWER_S: Final = 5.0
_ANSWER_MOST: Final = 4 * 1024 * 1024


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    url = means.prometheus.rstrip("/")
    if not url:
        raise NotJudged("no-prometheus", by_choice=True)
    async with Egress().session() as session:
        try:
            rules = await _answer(session, f"{url}/api/v1/rules")
            measured = await _answer(session, f"{url}/api/v1/query", query=_MEASURED)
            managers = await _answer(session, f"{url}/api/v1/alertmanagers")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            yield found("prometheus-away", url=url, error=type(error).__name__)
            return
    loaded = {rule["name"]: rule.get("state", "") for rule in _alerts(rules)}
    missing = sorted(shipped_alerts() - set(loaded))
    if missing:
        yield found("alerts-missing", url=url, count=len(missing), names=_some(missing))
    if not measured.get("result"):
        yield found("nothing-measured", url=url)
    if not managers.get("activeAlertmanagers"):
        yield found("nobody-told", url=url)
    firing = sorted(name for name, state in loaded.items() if state == "firing" and name.startswith(_PREFIX))
    if firing:
        yield found("alerts-fire", names=_some(firing))


def shipped_alerts() -> set[str]:
    """The names of the alerts that come with this release.

    Raises:
        OSError: the file is not there.
    """
    text = next((place for place in _PLACES if place.exists()), _PLACES[0]).read_text("utf-8")
    return set(re.findall(r"^\s*- alert: (\w+)", text, re.MULTILINE))


async def _answer(session: aiohttp.ClientSession, url: str, **asked: str) -> dict[str, Any]:
    """The ``data`` of an answer of Prometheus's API.

    Raises:
        ValueError: this is none.
        aiohttp.ClientError, OSError, TimeoutError
    """
    body = bytearray()
    async with asyncio.timeout(_ANSWER_S), session.get(url, params=asked) as answer:
        answer.raise_for_status()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > _ANSWER_MOST:
                raise ValueError("the answer is too long")
    said = from_json(bytes(body))
    data = said.get("data") if isinstance(said, dict) else None
    if not isinstance(data, dict):
        raise ValueError("this is no answer of Prometheus")
    return data


def _alerts(rules: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [group for group in rules.get("groups", ()) if isinstance(group, dict)]
    found_rules = [rule for group in groups for rule in group.get("rules", ()) if isinstance(rule, dict)]
    return [rule for rule in found_rules if rule.get("type") == "alerting" and isinstance(rule.get("name"), str)]


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


CHECK: Final = Check("alerts", _ask)
