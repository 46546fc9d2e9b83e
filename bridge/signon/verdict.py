"""What came of a click: the one value that its answer, log line, metric and record are made from.

A click that fails ends on a page in front of a person. So each way of failing has a status for programs, a result for
operators and words for people, and these must not drift apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bridge.obs.labels import Click as Result
from bridge.provider.faults import Busy, NotFound, ProviderError, ProviderRefused


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a click.

    ``reason`` is for operators and never shown; ``detail`` is for people who asked wrongly and holds no credential.
    ``retry_after_s``: seconds before which another click would fail too.
    """

    result: Result
    status: int
    reason: str = ""
    detail: str = ""
    retry_after_s: int | None = None

    @property
    def passes(self) -> bool:
        """Whether the same click may succeed later."""
        return self.result in ("limited", "away", "busy", "denied", "journal")


class TurnedAway(Exception):
    """The click ends here; ``verdict`` says how."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.result)
        self.verdict = verdict


OPENED = Verdict("opened", 302)


def too_many(wait_s: float) -> Verdict:
    """The mailbox was asked to be opened too often; the next minute begins in ``wait_s`` seconds."""
    return Verdict("limited", 429, retry_after_s=max(1, math.ceil(wait_s)))


def journal_away(error: Exception) -> Verdict:
    """Redis does not answer: who asks and how often cannot be known, and what came of it cannot be recorded."""
    return Verdict("journal", 503, reason=str(error) or type(error).__name__, retry_after_s=3)


def provider_failed(error: ProviderError | TimeoutError) -> Verdict:
    """The provider gave no key."""
    reason = str(error) or type(error).__name__
    match error:
        case NotFound():
            return Verdict("unknown", 404, reason)
        case Busy():
            return Verdict("busy", 503, reason, retry_after_s=5)
        case ProviderRefused():
            return Verdict("denied", 502, reason)
        case _:
            return Verdict("away", 502, reason)
