"""What a check can say: that something is wrong, or that it could not judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is wrong. ``code`` names the text for people; ``facts`` is what was seen, and goes into that text.

    No fact is a secret. Texts that others wrote are made harmless when they are shown.
    """

    code: str
    facts: Mapping[str, object] = field(default_factory=dict)


class NotJudged(Exception):
    """A check cannot ask its question. ``code`` and ``facts`` as of a finding, with a text of its own.

    ``by_choice``: whoever called did not ask for it (no ``--prometheus``); that hides nothing.
    """

    def __init__(self, code: str, *, by_choice: bool = False, **facts: object) -> None:
        super().__init__(code)
        self.code = code
        self.by_choice = by_choice
        self.facts = facts


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check came to: findings, and questions that it could not ask; healthy if there are neither."""

    check: str
    findings: Sequence[Finding] = ()
    not_judged: Sequence[NotJudged] = ()


def found(code: str, **facts: object) -> Finding:
    """A finding, with what was seen."""
    return Finding(code, facts)
