"""The standard streams of a command: any text can be written to them, and a failed write is reported."""

from __future__ import annotations

import codecs
import errno
import io
import logging
import os
import select
import sys
from typing import Final

CANNOT_WRITE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""System errors that concern the output, if they name no file."""
log = logging.getLogger(__name__)

_PATIENCE_MS: Final = 1000
_ESCAPING: Final = "exmail-bridge-escape"


def prepare() -> None:
    """Let standard output and error take every character, whatever the terminal's encoding.

    A character that the encoding lacks is written as a JSON escape, so that JSON stays valid. If standard error is
    closed (``2>&-``), only what is written there is lost.
    """
    _fill_gaps()
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    codecs.register_error(_ESCAPING, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPING)


def _fill_gaps() -> None:
    """Open those of the descriptors 0 to 2 that are closed; otherwise the next socket would get one of them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest that is free: this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def flushed() -> str | None:
    """Flush standard output; return ``None``, or why it failed, or ``""`` if its reader has gone (``| head``).

    After a failure nothing more goes to standard output, so that Python does not try again when it exits.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = None
        return ""
    except OSError as error:
        return unwritten(error)
    return None


def say_why_it_ends(program: str, why: str) -> None:
    """Write one line to standard error behind the log lines, JSON where these are; give up if nobody reads it, so that
    the process can end."""
    handlers = logging.getLogger().handlers
    if handlers and _are_for_machines():
        log.error("the program ends", extra={"why": why})
    for handler in handlers:
        handler.flush()
    if not handlers or not _are_for_machines():
        write_last(f"{program}: {why}\n")


def _are_for_machines() -> bool:
    # Only a process that has set its logs up pays for the import.
    from bridge.obs.logs import are_for_machines

    return are_for_machines()


def write_last(text: str) -> None:
    """Write to standard error what a program ends with; give up if nobody reads it."""
    try:
        descriptor = sys.stderr.fileno()
    except OSError:
        # A stream of a test.
        sys.stderr.write(text)
        return
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    if room.poll(_PATIENCE_MS):
        sys.stderr.write(text)


def unwritten(error: OSError) -> str:
    """The message for a failed write to standard output."""
    sys.stdout = None
    return f"standard output cannot be written: {error.strerror or error}"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end
