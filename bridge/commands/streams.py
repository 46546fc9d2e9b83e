"""The standard streams of a command: any text can be written to them, and what could not be written is told."""

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
"""Errors of the system that are those of an output, where they name no file."""
_PATIENCE_MS: Final = 1000
_ESCAPING: Final = "exmail-bridge-escape"


def prepare() -> None:
    """Let standard output and error take every character, whatever the terminal's encoding.

    One that the encoding lacks is written as JSON escapes it, so that JSON stays what it is. Where standard error is
    closed (``2>&-``) what is said there is lost, and nothing else is.
    """
    _fill_gaps()
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    codecs.register_error(_ESCAPING, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPING)


def _fill_gaps() -> None:
    """Open what is closed of descriptors 0 to 2: the next socket would be one of them, and children's too."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest that is free: this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def flushed() -> str | None:
    """Write out what a command said; ``None`` if that worked, else why not, ``""`` if its reader has gone (``| head``).

    Afterwards nothing can be said on standard output, so that Python does not try again at its exit.
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


def say_at_the_end(text: str) -> None:
    """Write to standard error after what was logged; not where nobody reads it: nobody's end may hang over that."""
    for handler in logging.getLogger().handlers:
        handler.flush()
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
    """What to say where writing to standard output failed."""
    sys.stdout = None
    return f"standard output cannot be written: {error.strerror or error}"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end
