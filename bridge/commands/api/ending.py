"""How an ``api`` call ends: the exit code, and the error in words or as JSON.

A script has to tell apart what it should correct, what it should tell somebody, and what it should try again later, so
each has a code of its own. The codes 0, 1 and 2 mean what they mean for every command.
"""

from __future__ import annotations

import sys
from enum import Enum
from typing import Any, Final

from bridge.commands.command import FAILED, MISUSED
from bridge.commands.leader import shown, shown_json
from bridge.commands.streams import say_why_it_ends, write_last
from bridge.events import to_json
from bridge.provider.faults import (
    PERHAPS_DONE,
    BadParameter,
    Busy,
    ListenRefused,
    NotFound,
    NotUsable,
    OutcomeUnknown,
    ProviderAway,
    ProviderError,
    ProviderRefused,
)
from bridge.settings import SettingsError, SettingsFileError

PROGRAM: Final = "exmail-bridge"


class Ending(Enum):
    """What kept a call from succeeding: its word in JSON, and its exit code.

    ``UNKNOWN`` is a write that was sent and not answered with yes or no. Of several, the greatest code counts.
    """

    MISUSED = "misused", MISUSED
    FAILED = "failed", FAILED
    NOT_FOUND = "not-found", 3
    REFUSED = "refused", 4
    BUSY = "busy", 5
    AWAY = "away", 6
    UNKNOWN = "unknown", 6

    def __init__(self, word: str, code: int) -> None:
        self.word = word
        self.code = code


EXIT_CODES: Final = """\
exit codes:
  0  done
  1  failed for another reason, such as Redis or a file that cannot be written
  2  wrong call, settings or file, or --yes is needed; nothing was changed
  3  not found: there is no such account
  4  the provider refused
  5  the provider is busy: later, and slower
  6  the provider was not reached or gave no usable answer; a write may have been done
With --from the greatest of what became of the rows. With --json errors are JSON too, one line of standard error.
"""


def ending_of(error: Exception, *, gave_up: bool = False) -> Ending:
    """By whose fault it is, as an ending. ``gave_up``: the provider went on saying so, whatever it was asked."""
    match error:
        case ProviderRefused() if gave_up and type(error) is ProviderRefused:
            # A code that no document has, for everything: a limit, most likely.
            return Ending.BUSY
        case BadParameter():
            return Ending.MISUSED
        case SettingsError():
            return Ending.FAILED if isinstance(error, SettingsFileError) else Ending.MISUSED
        case NotFound():
            return Ending.NOT_FOUND
        case Busy():
            return Ending.BUSY
        case ProviderRefused() | ListenRefused():
            return Ending.REFUSED
        case OutcomeUnknown():
            return Ending.UNKNOWN
        case ProviderAway() if PERHAPS_DONE in str(error):
            return Ending.UNKNOWN
        case NotUsable():
            return Ending.FAILED
        case ProviderError():
            return Ending.AWAY
        case _:
            return Ending.FAILED


def facts_of(error: Exception) -> dict[str, Any]:
    """What a program may want to know of an error, beside its text."""
    facts = {name: getattr(error, name, None) for name in ("endpoint", "errcode", "parameter", "section", "status")}
    return {name: value for name, value in facts.items() if value not in (None, "")}


def say(ending: Ending, why: str, *, as_json: bool, **facts: Any) -> int:
    """Write why a call ends to standard error; return its exit code."""
    if as_json:
        write_last(json_line({"error": {"kind": ending.word, "message": why, **facts}}) + "\n")
    else:
        say_why_it_ends(PROGRAM, shown(why))
    return ending.code


def note(why: str, *, as_json: bool, **facts: Any) -> None:
    """Write what somebody should know, though the call goes on."""
    line = json_line({"note": why, **facts}) if as_json else f"{PROGRAM}: {shown(why)}"
    sys.stderr.write(f"{line}\n")


def alone(why: str, *, as_json: bool) -> None:
    """Say that the token of all programs cannot be used, before one of our own is fetched."""
    note(
        f"Redis cannot be used ({why}); "
        "fetching a token of our own, which may end that of the worker until it fetches another",
        as_json=as_json,
    )


def json_line(value: Any) -> str:
    """A value as one line of JSON for a terminal.

    The bytes of an argument or a file's name may be no UTF-8, which JSON cannot hold: they are escaped.
    """
    return shown_json(to_json(_sayable(value))).decode()


def _sayable(value: Any) -> Any:
    match value:
        case str():
            return value.encode(errors="backslashreplace").decode()
        case dict():
            return {_sayable(name): _sayable(each) for name, each in value.items()}
        case list() | tuple():
            return [_sayable(each) for each in value]
        case _:
            return value
