"""The settings and the revision that the stored data were made with: ``{ns}:made``.

A new layout number would forbid going back to the previous release. This value instead tells a program what it must
correct in data that were made by an older release, with a wider privacy, or with other profile fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Privacy = Literal["full", "subject", "sender", "count"]
"""How much of a mail may be stored, the widest first."""

REVISION: Final = 1
"""Revision 1: accounts that are disabled or deleted are in ``{ns}:barred``."""
_WIDTH: Final[Mapping[str, int]] = {name: -place for place, name in enumerate(get_args(Privacy))}


@dataclass(frozen=True, slots=True)
class Made:
    """``fields``: the profile fields, ``None`` if none were noted. ``revision``: 0 if none was noted."""

    privacy: str
    fields: frozenset[str] | None
    revision: int

    def is_wider_than(self, now: Made) -> bool:
        """Whether data may be stored that ``now`` forbids."""
        left = self.fields is not None and now.fields is not None and not self.fields <= now.fields
        return left or _WIDTH.get(self.privacy, _WIDTH["full"]) > _WIDTH[now.privacy]

    def is_poorer_than(self, now: Made) -> bool:
        """Whether data are missing that ``now`` needs, or were stored by older rules."""
        lacks = self.fields is None or (now.fields is not None and not now.fields <= self.fields)
        return lacks or self.revision < now.revision

    def as_fields(self) -> tuple[str, str, int]:
        """The stored form: privacy, fields, revision."""
        return self.privacy, ",".join(sorted(self.fields or ())), self.revision


def read_made(privacy: bytes | None, fields: bytes | None, revision: bytes | None) -> Made:
    """Read what is stored. Data without it may contain everything."""
    return Made(
        "full" if privacy is None else privacy.decode(errors="replace"),
        None if fields is None else frozenset(fields.decode(errors="replace").split(",")),
        int(revision) if revision is not None and revision.isdigit() else 0,
    )
