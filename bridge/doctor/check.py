"""A check: a question with a time limit. It gathers findings; what it cannot ask it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from bridge.doctor.finding import Finding, NotJudged, Outcome
from bridge.doctor.means import Means

WITHIN_S: Final = 15.0

Said = Finding | NotJudged


@dataclass(frozen=True, slots=True)
class Check:
    """``ask`` yields what is wrong as it finds it, and raises or yields :class:`NotJudged` for what it cannot ask.

    ``within_s``: the longest that it may take. What it found until then counts.
    """

    name: str
    ask: Callable[[Means], AsyncGenerator[Said, None]]
    within_s: float = WITHIN_S


async def examine(checks: Sequence[Check], means: Means, *, within_s: float) -> list[Outcome]:
    """Make the checks beside each other; together they take at most ``within_s`` seconds."""
    ends_at = asyncio.get_running_loop().time() + within_s
    return list(await asyncio.gather(*(_outcome(check, means, ends_at) for check in checks)))


async def _outcome(check: Check, means: Means, ends_at: float) -> Outcome:
    said: list[Said] = []
    limit_s = min(check.within_s, ends_at - asyncio.get_running_loop().time())
    try:
        async with asyncio.timeout(limit_s), aclosing(check.ask(means)) as answers:
            async for each in answers:
                said.append(each)
    except NotJudged as why:
        said.append(why)
    except TimeoutError:
        said.append(NotJudged("no-answer-in-time", check=check.name, seconds=round(limit_s)))
    except Exception as error:  # noqa: BLE001 - a defect of one check must not hide what the others found
        # Only its kind: nobody has looked at what its text may hold.
        said.append(NotJudged("check-broke", check=check.name, error=type(error).__name__))
    return Outcome(
        check.name,
        [each for each in said if isinstance(each, Finding)],
        [each for each in said if isinstance(each, NotJudged)],
    )
