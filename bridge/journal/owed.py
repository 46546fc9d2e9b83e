"""Accounts of which the provider still owes an answer: what ``{ns}:owed`` holds.

What could not be read, and what is said to be gone and is not confirmed, is kept here in the step that moves the cursor
past it: so nobody is lost between two answers, two leaders or two starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.events import from_json, to_json

DELETED: Final = "deleted"
"""A listing of changes says so."""
ABSENT: Final = "absent"
"""A whole listing of everything leaves it out."""
MISSING: Final = "missing"
"""It is listed, and ``user/get`` says that there is none (1301)."""
UNREADABLE: Final = "unreadable"
"""It is listed, and its profile cannot be read."""
REFUSED: Final = "refused"
"""It is listed, and ``user/get`` refuses it for a reason of its own."""


@dataclass(frozen=True, slots=True)
class Owed:
    """``since`` is epoch ms of Redis's clock, ``why`` one of the words above, or :data:`REFUSED` and an errcode.

    ``barred``: the address was open, and is barred because of this alone. ``anew``: the account was deleted and made
    anew, and who it is now could not be read.
    """

    since: int
    why: str
    barred: bool = False
    anew: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether it is said to be gone: barred until a second look agrees or disagrees."""
        return self.why in (DELETED, ABSENT)

    def as_json(self) -> bytes:
        return to_json({"since": self.since, "why": self.why, "barred": self.barred, "anew": self.anew})


def read_owed(text: bytes) -> Owed:
    """Read what :meth:`Owed.as_json` wrote; what is none of that is owed all the same, since ever."""
    try:
        found: Mapping[str, Any] = from_json(text)
        return Owed(int(found["since"]), str(found["why"]), bool(found.get("barred")), bool(found.get("anew")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Owed(0, UNREADABLE)
