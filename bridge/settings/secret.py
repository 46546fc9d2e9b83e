"""A secret that is passed on as a function, so that no repr contains it and a file can be read again.

Rooms take a ``Callable[[], …]``. They do not learn whether the secret is in the environment or in a file that an
operator replaced a minute ago. If the file becomes unusable (it is being written, a mount is gone), the last usable
value stays in use.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from bridge.settings.errors import SettingsError, SettingsFileError

log = logging.getLogger(__name__)

T_co = TypeVar("T_co", covariant=True)

_SAID_AGAIN_S: Final = 60.0


class Secret(Generic[T_co]):
    """Call it for the secret's present value; false if it is not set.

    ``given`` is the text, or the file with it. ``clock``: monotonic seconds.

    Raises (when called):
        SettingsFileError: its file cannot be used, and never could.
        SettingsError: not set, or the value is not acceptable.
    """

    __slots__ = ("_clock", "_given", "_last", "_parse", "_said_at", "_variable")

    def __init__(
        self,
        variable: str,
        parse: Callable[[str], T_co],
        given: str | Path | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._variable = variable
        self._parse = parse
        self._given = given
        self._clock = clock
        self._last: tuple[T_co] | None = None
        self._said_at: float | None = None

    def __bool__(self) -> bool:
        return self._given is not None

    @property
    def of_file(self) -> bool:
        """Whether it is read from a file, whose content may change."""
        return isinstance(self._given, Path)

    @property
    def file(self) -> Path | None:
        """The file that it is read from, if any."""
        return self._given if isinstance(self._given, Path) else None

    def take(self, other: Secret[T_co]) -> bool:
        """From now on be what ``other`` is, for whoever has this one; return whether it was set otherwise before.

        The last usable value stays until the new one can be used.
        """
        changed = self._given != other._given
        self._variable, self._given = other._variable, other._given
        return changed

    def __call__(self) -> T_co:
        if self._given is None:
            raise SettingsError([f"{self._variable} is not set"])
        try:
            value = self._read(self._given)
        except SettingsFileError as error:
            if self._last is None:
                raise
            self._say(str(error))
            return self._last[0]
        if self._said_at is not None:
            self._said_at = None
            log.info("secret file can be used again", extra={"setting": f"{self._variable}_FILE"})
        self._last = (value,)
        return value

    def _read(self, given: str | Path) -> T_co:
        error_of = SettingsFileError if isinstance(given, Path) else SettingsError
        try:
            text = given.read_text("utf-8") if isinstance(given, Path) else given
        except OSError as error:
            raise SettingsFileError([f"{self._variable}_FILE: cannot read {given}: {error.strerror}"]) from None
        except UnicodeDecodeError:
            # The error itself quotes the bytes.
            raise SettingsFileError([f"{self._variable}_FILE: not UTF-8 text"]) from None
        try:
            # What some editors put in front of a file, and nobody types.
            return self._parse(text.removeprefix("\ufeff"))
        except ValueError as error:
            raise error_of([f"{self._variable}: {error}"]) from None

    def _say(self, why: str) -> None:
        """Log it once, and again each minute while it lasts: whoever dials reads, and that may be often."""
        now = self._clock()
        if self._said_at is None or now - self._said_at >= _SAID_AGAIN_S:
            self._said_at = now
            log.error("secret file cannot be used, the value before it stays in use", extra={"error": why})

    def __repr__(self) -> str:
        return f"Secret({self._variable}, {'set' if self else 'not set'})"
