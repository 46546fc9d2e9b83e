"""What the script answers to a leader: what became of a call, and of a claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bridge.journal.errors import JournalRefused

Result = Literal["published", "duplicate", "unchanged", "moved", "again", "cursor"]
_RESULTS: Final[dict[int, Result]] = {
    1: "published",
    2: "duplicate",
    3: "unchanged",
    4: "moved",
    5: "again",
    6: "cursor",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call. ``seq`` is set for ``published`` and ``moved`` (then: where the mailbox is now).

    ``missed``: how many mails can never be announced, at least, as far as a poll that was applied can tell.
    ``pending``: the poll's answer is not the last word on that; ask again once more was heard of the provider.
    """

    result: Result
    epoch: str = ""
    seq: int = 0
    missed: int = 0
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim that succeeded.

    ``heard_ms``: until when, by what Redis still knows, everything that was pushed is recorded; epoch ms, None = never.
    """

    fence: int
    generation: int
    new_generation: bool
    another_led: bool
    heard_ms: int | None


def read_outcomes(answers: Sequence[Sequence[Any]]) -> list[Outcome]:
    """What became of a batch of calls, up to the first that was refused for the lease, or because Redis went back.

    Raises:
        JournalRefused: one was refused for another reason.
    """
    outcomes: list[Outcome] = []
    for answer in answers:
        code = answer[0]
        if code == 0:
            if answer[1] not in (b"lease", b"back"):
                raise JournalRefused(f"the script refused: {answer[1]!r}")
            break
        if code == 1:
            pending = len(answer) > 4 and bool(answer[4])
            outcomes.append(Outcome("published", answer[1].decode(), answer[2], answer[3], pending))
        elif code == 3 and len(answer) > 1:
            outcomes.append(Outcome("unchanged", missed=answer[1], pending=bool(answer[2])))
        else:
            outcomes.append(Outcome(_RESULTS[code], seq=answer[1] if code == 4 else 0))
    return outcomes
