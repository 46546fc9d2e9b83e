"""How one setting is declared: a line of the table, as the metadata of a dataclass's field.

The declaring functions return what a field's type says, so that mypy checks the reader against the type; the loader,
``config show`` and the reference read the metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, cast

from bridge.settings.secret import Secret

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table.

    ``default`` is text, ``""`` where nothing is set; an error may quote the value only where ``quoted``. ``own_key``
    is the key of a setting whose variable names its whole section, as ``BRIDGE_SIGNON`` does. ``shown`` makes of a
    secret what an operator may see of it; without it that is nothing. ``former`` is the variable that it was before,
    which goes on to work. ``live``: a program takes a new value while it runs; any other needs a restart.
    """

    variable: str
    read: Callable[[str], Any]
    default: str
    help: str
    unit: str
    secret: bool
    quoted: bool
    own_key: str = ""
    shown: Callable[[str], str] | None = None
    former: str = ""
    live: bool = False

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable that it may be set by."""
        return (self.variable, self.former) if self.former else (self.variable,)

    @property
    def places(self) -> dict[tuple[str, str], str]:
        """Every table and key of the TOML file that it may be set by, and the variable that each stands for."""
        return {_place(variable, self.own_key): variable for variable in self.variables}

    @property
    def section(self) -> str:
        """Table of the TOML file, ``""`` for its top."""
        return _place(self.variable, self.own_key)[0]

    @property
    def key(self) -> str:
        """Key within :attr:`section`."""
        return _place(self.variable, self.own_key)[1]


def setting(
    variable: str,
    read: Callable[[str], T],
    default: str,
    help: str,
    *,
    unit: str = "",
    quoted: bool = True,
    own_key: str = "",
    former: str = "",
    live: bool = False,
) -> T:
    """Declare a setting as a field of its group."""
    declared = Setting(
        variable, read, default, help, unit, secret=False, quoted=quoted, own_key=own_key, former=former, live=live
    )
    return cast(T, field(metadata={"setting": declared}))


def secret(
    variable: str,
    read: Callable[[str], T],
    help: str,
    *,
    shown: Callable[[str], str] | None = None,
    former: str = "",
) -> Secret[T]:
    """Declare a secret: never shown but for what ``shown`` leaves of it, read from a file where ``_FILE`` says so."""
    declared = Setting(variable, read, "", help, "", secret=True, quoted=False, shown=shown, former=former, live=True)
    return cast(Secret[T], field(metadata={"setting": declared}))


def optional(read: Callable[[str], T], nothing: T) -> Callable[[str], T]:
    """Read ``nothing`` from an empty text, anything else with ``read``."""
    return lambda value: read(value) if value.strip() else nothing


def _place(variable: str, own_key: str) -> tuple[str, str]:
    section, _, key = variable.removeprefix("BRIDGE_").lower().partition("_")
    return (section if key or own_key else "", key or own_key or section)


def settings_in(group: type[Any]) -> Iterator[tuple[str, Setting]]:
    """Yield the attribute and declaration of each setting in a group."""
    for each in fields(group):
        if "setting" in each.metadata:
            yield each.name, each.metadata["setting"]
