"""A refusal, as one exception that carries all that its answer needs.

A browser sees a status, a close code or a frame, depending on how it asked; an operator reads the message and
counts the label. Whoever refuses knows all of these at once, whoever answers picks.
"""

from __future__ import annotations

from bridge.obs.labels import Refusal as Label
from bridge.obs.labels import TurnedAway

__all__ = ["Label", "Refused", "quoted"]

_SHOWN = 100


class Refused(Exception):
    """This request is not served.

    ``status`` is for plain HTTP, ``code`` (of :mod:`bridge.access.codes`) for connections that stay open, ``message``
    for people: it names what was looked at and never holds a credential. ``retry_after_s``: come again then.
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
    """Show a foreign value in a message: short, printable, and without what JSON cannot carry."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
