"""Accounts for which an answer of the provider is still owed: the entries of ``{ns}:owed``.

An account that could not be read, or whose deletion is not confirmed, is entered in the step that moves the cursor past
it. So none is lost between two answers, two leaders or two starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.events import from_json, to_json

DELETED: Final = "deleted"
"""A listing of changes has a line that deletes it."""
ABSENT: Final = "absent"
"""A complete listing of everybody lacks it."""
MISSING: Final = "missing"
"""It is listed, but ``user/get`` says that it does not exist (1301)."""
UNREADABLE: Final = "unreadable"
"""It is listed, but its profile cannot be read."""
REFUSED: Final = "refused"
"""It is listed, but ``user/get`` refuses it with another errcode."""


@dataclass(frozen=True, slots=True)
class Owed:
    """``since`` is epoch ms of Redis's clock, ``why`` one of the words above, or :data:`REFUSED` and an errcode.

    ``barred``: the address is barred only because the answer is owed. ``anew``: the account was deleted and created
    again, and its new profile could not be read.
    """

    since: int
    why: str
    barred: bool = False
    anew: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether it is said to be deleted; it is barred until a second look confirms that or not."""
        return self.why in (DELETED, ABSENT)

    def as_json(self) -> bytes:
        return to_json({"since": self.since, "why": self.why, "barred": self.barred, "anew": self.anew})


def read_owed(text: bytes) -> Owed:
    """Read what :meth:`Owed.as_json` wrote. An entry that cannot be read counts as owed since time 0."""
    try:
        found: Mapping[str, Any] = from_json(text)
        return Owed(int(found["since"]), str(found["why"]), bool(found.get("barred")), bool(found.get("anew")))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Owed(0, UNREADABLE)
