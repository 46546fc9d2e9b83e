"""The standard streams of a command: any text can be written to them, and what could not be written is told."""

from __future__ import annotations

import codecs
import errno
import io
import sys
from typing import Final

CANNOT_WRITE: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of the system that are those of an output, where they name no file."""
_ESCAPING: Final = "exmail-bridge-escape"


def prepare() -> None:
    """Let standard output and error take every character, whatever the terminal's encoding.

    One that the encoding lacks is written as JSON escapes it, so that JSON stays what it is.
    """
    codecs.register_error(_ESCAPING, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPING)


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


def unwritten(error: OSError) -> str:
    """What to say where writing to standard output failed."""
    sys.stdout = None
    return f"standard output cannot be written: {error.strerror or error}"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)), error.end
