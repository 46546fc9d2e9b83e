"""What a command is, and the options that several share."""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeVar

from bridge.obs.turns import MOST, new_event_loop
from bridge.settings import Address, Present, Settings, SettingsError, load_settings
from bridge.settings.values import address

T = TypeVar("T")

OK: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
"""Exit codes; ``MISUSED`` means a wrong command line or wrong settings, so that repeating the call will not help."""

SWITCH_S: Final = 0.0005
"""How long a thread at work keeps the interpreter from the event loop, in seconds.

Whenever the loop has asked the kernel for something, it has to wait for its turn again. By Python's own 5 ms, twenty
writes beside the reading of a large listing were a stand of a tenth of a second.
"""

CANNOT_LISTEN: Final = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)
"""System errors about an address that an operator chose, which are not defects."""

DEV_FOLDER: Final = Path(".dev")
"""Where ``dev`` keeps everything, below the current folder."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line of ``exmail-bridge --help``.

    ``summary`` is that line; ``examples`` are printed at the end of the command's own help, one call a line. ``run``
    returns the exit code. With ``passes_on`` nothing is parsed, and ``run`` finds the words in ``arguments.rest``.
    """

    name: str
    summary: str
    examples: tuple[str, ...]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    passes_on: bool = False


def run_until_done(main: Coroutine[Any, Any, T], *, in_turns_of: int = MOST) -> T:
    """Run a program's coroutine, on uvloop if it is installed (``pip install 'exmail-bridge[uvloop]'``).

    ``in_turns_of``: how many sockets are served before others have their turn; uvloop has no such bound.
    """
    factory: Callable[[], asyncio.AbstractEventLoop] = partial(new_event_loop, in_turns_of)
    if find_spec("uvloop") is not None:
        factory = import_module("uvloop").new_event_loop
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        with asyncio.Runner(loop_factory=factory) as runner:
            done: T = runner.run(main)
            return done
    finally:
        sys.setswitchinterval(before_s)


def add_settings_options(parser: argparse.ArgumentParser, *, dev: bool = False) -> None:
    """Add ``--config``, and ``--dev`` if the command can be used with a running ``dev``."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--config", metavar="FILE", type=Path, help="TOML file with settings")
    if dev:
        where.add_argument("--dev", action="store_true", help="the settings of `dev` in this folder")


def service_settings(arguments: argparse.Namespace, role: str) -> Settings:
    """:func:`settings_of` for a program that logs: why they cannot be used is JSON, too, where the environment says
    that log lines are."""
    if os.environ.get("BRIDGE_LOG_FORMAT", "").strip() == "json":
        from bridge.obs.logs import setup_logs

        setup_logs("info", "json", role=role)
    return settings_of(arguments)


def present_settings(arguments: argparse.Namespace, role: str, fits: Callable[[Settings], None]) -> Present:
    """The settings of a service, which reads them again while it runs; ``fits`` checks what it needs.

    Raises:
        SettingsError: they cannot be used.
    """
    settings = service_settings(arguments, role)
    fits(settings)
    return Present(settings, lambda: settings_of(arguments), fits)


def operator_settings(arguments: argparse.Namespace) -> Settings:
    """:func:`settings_of` for a command that talks to Redis and to nobody else: files with other secrets may be closed
    to whoever runs it."""
    return settings_of(arguments, tried="BRIDGE_REDIS_")


def settings_of(arguments: argparse.Namespace, *, tried: str = "") -> Settings:
    """Load the settings that the options ask for; ``tried``: see :func:`load_settings`.

    Raises:
        SettingsError: they cannot be used, or there is no ``dev`` here.
    """
    path: Path | None = arguments.config
    if getattr(arguments, "dev", False):
        path = DEV_FOLDER / "bridge.toml"
        if not path.exists():
            raise SettingsError([f"there is no {path} here; run `dev` in this folder first"])
    return load_settings(os.environ, path, tried=tried)


def processes(text: str) -> int:
    """Read how many processes an edge has, as a ``type`` of argparse."""
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError("a number from 1 to 256")
    return int(text)


def listen_address(text: str) -> Address:
    """Read ``host:port``, as a ``type`` of argparse."""
    try:
        return address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
