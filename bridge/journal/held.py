"""Deletions that wait for an operator's decision: the value of ``{ns}:held``.

A listing that would delete too many accounts may be a fault of the provider. All of them are stored here, so that the
operator sees which they are and decides about exactly these.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from bridge.events import from_json, to_json


@dataclass(frozen=True, slots=True)
class Held:
    """``aliases`` are gone according to the provider since ``from_ver`` and are still in the mirror.

    ``since`` is epoch ms of Redis's clock. ``from_ver`` was the cursor (None = there was none), ``to_ver`` is the
    answer's Ver. ``kind``: the answer was a ``delta``, or a listing of everything (``full``).
    """

    since: int
    from_ver: int | None
    to_ver: int
    kind: Literal["delta", "full"]
    why: str
    aliases: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Identifies exactly these accounts. The decision names it, so that it applies to what was shown."""
        return hashlib.sha256("\n".join(sorted(self.aliases)).encode()).hexdigest()[:12]

    def as_json(self) -> bytes:
        # Not asdict, which copies tens of thousands of texts one by one.
        return to_json({field.name: getattr(self, field.name) for field in fields(self)})


def read_held(text: bytes) -> Held:
    """Read what :meth:`Held.as_json` wrote.

    Raises:
        ValueError: it did not write this.
    """
    try:
        found: Mapping[str, Any] = from_json(text)
        held = Held(
            found["since"], found["from_ver"], found["to_ver"], found["kind"], found["why"], tuple(found["aliases"])
        )
    except (TypeError, KeyError) as error:
        raise ValueError("these are no deletions that are held") from error
    if not isinstance(held.since, int) or not all(isinstance(alias, str) for alias in held.aliases):
        raise ValueError("these are no deletions that are held")
    return held
