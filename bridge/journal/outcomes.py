"""What the script answers to a leader: the outcome of a call, and of a claim."""

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
    """The outcome of one call. ``seq`` is set for ``published``, and for ``moved``: the mailbox's current seq.

    ``missed``: how many mails, at least, can never be announced, as far as an applied poll can tell. ``pending``: that
    number may still change; poll again after the next sign of life of the provider.
    """

    result: Result
    epoch: str = ""
    seq: int = 0
    missed: int = 0
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim that succeeded.

    ``heard_ms``: until when everything that was pushed is recorded, as far as Redis knows; epoch ms, None = unknown.
    """

    fence: int
    generation: int
    new_generation: bool
    another_led: bool
    heard_ms: int | None


def read_outcomes(answers: Sequence[Sequence[Any]]) -> list[Outcome]:
    """The outcomes of a batch of calls, from the answers of its runs.

    Up to the first call that was refused because of the lease or because Redis went back.

    Raises:
        JournalRefused: a call was refused for another reason.
    """
    outcomes: list[Outcome] = []
    each = [one for answer in answers for one in ([answer] if isinstance(answer[0], int) else answer)]
    for answer in each:
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
