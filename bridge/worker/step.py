"""What is applied to the mirror at once: a part of an answer, or of what is owed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bridge.journal.owed import DELETED
from bridge.obs.labels import SyncKind
from bridge.worker.notices import Applied
from bridge.worker.profiles import Account


@dataclass(frozen=True, slots=True)
class Step:
    """``ver``: the answer's cursor; the stored one moves there if ``moves``. ``found``: accounts that were read;
    ``unread``: those that could not be → why. ``gone``: accounts that are said to be gone, for the reason ``why_gone``;
    whether they are too many is judged by the step, or ``is_judged`` already, and ``held`` are those that wait for an
    operator. ``removed``: those that a second look confirms to be gone; ``settled``: those that nothing is owed for any
    more. ``added``, ``anew``: as in :class:`bridge.worker.claims.Claims`. ``after_refusal``: answers before this one
    could not be used. ``completes``: this is the last part; ``before``: what the parts before it came to.
    """

    ver: int
    kind: SyncKind = "delta"
    moves: bool = False
    found: Mapping[str, Account] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    gone: Collection[str] = ()
    why_gone: str = DELETED
    held: Collection[str] = ()
    is_judged: bool = False
    removed: Collection[str] = ()
    settled: Collection[str] = ()
    added: Collection[str] = ()
    anew: Collection[str] = ()
    after_refusal: bool = False
    completes: bool = True
    before: Applied = Applied()  # noqa: RUF009 - frozen
