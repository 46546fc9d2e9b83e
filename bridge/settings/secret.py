"""A secret that is handed on as a function, so that no repr holds it and a file can be read again.

Rooms take a ``Callable[[], …]``; they never learn whether the secret is in the environment or in a file that
an operator replaced a minute ago.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from bridge.settings.errors import SettingsError

T_co = TypeVar("T_co", covariant=True)


class Secret(Generic[T_co]):
    """Call it for the secret's present value; false when it is not set.

    Raises (when called):
        SettingsError: not set, its file cannot be read, or the value is not acceptable.
    """

    __slots__ = ("_parse", "_read", "_variable")

    def __init__(self, variable: str, parse: Callable[[str], T_co], read: Callable[[], str] | None) -> None:
        self._variable = variable
        self._parse = parse
        self._read = read

    def __bool__(self) -> bool:
        return self._read is not None

    def __call__(self) -> T_co:
        if self._read is None:
            raise SettingsError([f"{self._variable} is not set"])
        try:
            text = self._read()
        except OSError as error:
            raise SettingsError([f"{self._variable}_FILE: cannot read {error.filename}: {error.strerror}"]) from None
        except UnicodeDecodeError:
            # The error itself quotes the bytes.
            raise SettingsError([f"{self._variable}_FILE: not UTF-8 text"]) from None
        try:
            # What some editors put in front of a file, and nobody types.
            return self._parse(text.removeprefix("\ufeff"))
        except ValueError as error:
            raise SettingsError([f"{self._variable}: {error}"]) from None

    def __repr__(self) -> str:
        return f"Secret({self._variable}, {'set' if self else 'not set'})"
