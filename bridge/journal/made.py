"""What the stored data were made with, beside their layout: ``{ns}:made``.

A layout number that grew would forbid going back to the release before. This says what a program has to look at again
when it finds data that were made otherwise: by an older release, with a wider privacy, with other profile fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Privacy = Literal["full", "subject", "sender", "count"]
"""How much of a mail may be stored, the widest first."""

REVISION: Final = 1
"""1: who is disabled or deleted stands in ``{ns}:barred``."""
_WIDTH: Final[Mapping[str, int]] = {name: -place for place, name in enumerate(get_args(Privacy))}


@dataclass(frozen=True, slots=True)
class Made:
    """``fields``: of the directory's profiles, ``None`` where nobody noted them; ``revision`` 0: there was none."""

    privacy: str
    fields: frozenset[str] | None
    revision: int

    def is_wider_than(self, now: Made) -> bool:
        """Whether something may be stored that ``now`` forbids."""
        left = self.fields is not None and now.fields is not None and not self.fields <= now.fields
        return left or _WIDTH.get(self.privacy, _WIDTH["full"]) > _WIDTH[now.privacy]

    def is_poorer_than(self, now: Made) -> bool:
        """Whether ``now`` needs what was not stored, or not by its rules."""
        lacks = self.fields is None or (now.fields is not None and not now.fields <= self.fields)
        return lacks or self.revision < now.revision

    def as_fields(self) -> tuple[str, str, int]:
        """As it is stored: privacy, fields, revision."""
        return self.privacy, ",".join(sorted(self.fields or ())), self.revision


def read_made(privacy: bytes | None, fields: bytes | None, revision: bytes | None) -> Made:
    """Read what is stored. Of data without it nothing is known: they may hold everything."""
    return Made(
        "full" if privacy is None else privacy.decode(errors="replace"),
        None if fields is None else frozenset(fields.decode(errors="replace").split(",")),
        int(revision) if revision is not None and revision.isdigit() else 0,
    )
