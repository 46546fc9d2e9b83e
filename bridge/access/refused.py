"""A refusal: one exception with everything that its answer needs.

Depending on how it asked, a browser sees a status, a close code or a frame; an operator sees the message and the label.
Whoever refuses gives all of these, and whoever answers chooses.
"""

from __future__ import annotations

from bridge.obs.labels import Refusal as Label
from bridge.obs.labels import TurnedAway

__all__ = ["Label", "Refused", "quoted"]

_SHOWN = 100


class Refused(Exception):
    """This request is not served.

    ``status`` is for plain HTTP, ``code`` (of :mod:`bridge.access.codes`) for connections that stay open. ``message``
    is for people: it says what was checked and contains no credential. ``retry_after_s``: when to come back.
    """

    def __init__(
        self, status: int, code: TurnedAway, label: Label, message: str, *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code: TurnedAway = code
        self.label: Label = label
        self.message = message
        self.retry_after_s = retry_after_s


def quoted(value: object) -> str:
    """A foreign value as it may appear in a message: short, printable, and valid in JSON."""
    try:
        text = ascii(value)
    except RecursionError:
        # What our JSON reader takes may be nested too deeply for it.
        text = "something nested too deeply"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
