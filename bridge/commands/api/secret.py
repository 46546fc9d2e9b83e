"""The password that goes with a call: from a file, from standard input, or asked for; never from the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from bridge.provider.bizmail.endpoints import Endpoint
from bridge.provider.faults import BadParameter

_MOST_BYTES: Final = 64 * 1024
"""Of the first line of a file; a password has 32 characters, its digest as many."""


def password_of(endpoint: Endpoint, arguments: argparse.Namespace) -> dict[str, object]:
    """The password that goes with the call, as values of it.

    Raises:
        BadParameter: it is needed and there is none, or it does not belong to this action.
    """
    parameter = next((each for each in endpoint.parameters if each.key == "password"), None)
    file: Path | None = getattr(arguments, "password_file", None)
    ask = getattr(arguments, "ask_password", False)
    if parameter is None:
        if file is not None or ask:
            raise BadParameter("Password", f"does not belong to the action {arguments.action.name}", endpoint.section)
        return {}
    if file is None and not ask:
        if not parameter.required:
            return {}
        if sys.stdin is None or not sys.stdin.isatty():
            raise BadParameter("Password", "is missing: --password-file FILE, - is standard input", endpoint.section)
    return {"password": read_password(file, endpoint)}


def read_password(file: Path | None, endpoint: Endpoint) -> str:
    """The first line of a file, ``-`` of standard input, or what somebody types.

    A line end and a byte order mark are no part of a password, blanks are.

    Raises:
        BadParameter: it cannot be read.
    """
    try:
        if file is None:
            from getpass import getpass

            try:
                return getpass("password: ")
            except EOFError:
                raise BadParameter("Password", "was asked for, and nobody typed one", endpoint.section) from None
        if file == Path("-"):
            text = "" if sys.stdin is None else sys.stdin.readline(_MOST_BYTES)
        else:
            with file.open("rb") as opened:
                text = opened.readline(_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise BadParameter("Password", f"cannot be read from {file}: {why}", endpoint.section) from None
    return text.removeprefix("\ufeff").rstrip("\r\n")
