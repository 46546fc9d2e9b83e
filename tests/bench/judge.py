"""What paired runs prove: a rule, and its words. Nothing here measures.

Each round runs both versions one after the other, so a slow minute of the machine hits both, and the two figures of a
round are compared with each other. A row is better or worse only if

- the rounds agree: all point the same way, one in eight may differ, and there are at least five of them; and
- the median of the rounds' ratios differs from 1 by more than the noise: three times the middle deviation of a
  version's own repeats from their median (of the version that repeats worse), and never less than 2 %.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FEWEST_ROUNDS: Final = 5
_SMALLEST: Final = 0.02
_DEVIATIONS: Final = 3.0
_MAY_DIFFER: Final = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """``ratio`` is after / before, the median of the rounds'; ``noise`` is what it must exceed, as a share of 1."""

    before: float
    after: float
    ratio: float
    noise: float
    word: str


def judge(before: Sequence[float], after: Sequence[float], *, more: bool) -> Verdict:
    """Compare rounds in order. ``more``: whether more is better. The word is ``better``, ``worse``, ``same`` or, where
    there are too few rounds to tell, ``?``."""
    if min(*before, *after) <= 0:
        # A difference that cannot be put as a ratio: memory that did not grow, time below the clock's resolution.
        return Verdict(statistics.median(before), statistics.median(after), float("nan"), float("nan"), "?")
    ratios = [late / early for early, late in zip(before, after, strict=True)]
    ratio = statistics.median(ratios)
    noise = max(_SMALLEST, _DEVIATIONS * max(_deviation(before), _deviation(after)))
    rises, falls = sum(each > 1 for each in ratios), sum(each < 1 for each in ratios)
    word = "same"
    if len(ratios) < FEWEST_ROUNDS:
        word = "?"
    elif max(rises, falls) >= len(ratios) - len(ratios) // _MAY_DIFFER and max(ratio, 1 / ratio) > 1 + noise:
        word = "better" if (ratio > 1) == more else "worse"
    return Verdict(statistics.median(before), statistics.median(after), ratio, noise, word)


def _deviation(repeats: Sequence[float]) -> float:
    """The middle distance of a version's repeats from their median, as a share of it."""
    middle = statistics.median(repeats)
    return statistics.median(abs(each / middle - 1) for each in repeats)
