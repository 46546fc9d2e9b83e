"""The command line: the table of commands, exit codes, and errors in one line.

A command that is not built is not in the table. An expected failure (settings, a port in use, a Redis that is too
old) is one line on standard error; a defect is logged with its traceback, because somebody has to read that.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Final

from bridge import __version__
from bridge.commands import (
    adopt,
    api,
    config,
    dead,
    dev,
    directory,
    doctor,
    edge,
    events,
    forget,
    kick,
    signon,
    simulate,
    size,
    status,
    test,
    token,
    why,
    worker,
)
from bridge.commands.command import CANNOT_LISTEN, FAILED, MISUSED, OK, Command
from bridge.commands.streams import CANNOT_WRITE, flushed, prepare, say_why_it_ends, unwritten
from bridge.settings import SettingsError, SettingsFileError
from bridge.supervision import StartRefused

log = logging.getLogger(__name__)

COMMANDS: Final[tuple[Command, ...]] = (
    dev.COMMAND,
    test.COMMAND,
    worker.COMMAND,
    edge.COMMAND,
    signon.COMMAND,
    simulate.COMMAND,
    events.COMMAND,
    status.COMMAND,
    size.COMMAND,
    doctor.COMMAND,
    why.COMMAND,
    directory.COMMAND,
    forget.COMMAND,
    adopt.COMMAND,
    kick.COMMAND,
    dead.COMMAND,
    api.COMMAND,
    token.COMMAND,
    config.COMMAND,
)

_PROGRAM: Final = "exmail-bridge"
_INTERRUPTED: Final = 130


def run_command_line(words: Sequence[str]) -> int:
    """Run what ``words`` say and return the exit code: 0 done, 1 failed, 2 wrong call or settings."""
    prepare()
    try:
        code = _tried(words)
    except SystemExit:
        # What argparse said and how it ends; a help that nobody can have read is no success.
        if _written(OK) != OK:
            raise SystemExit(FAILED) from None
        raise
    return _written(code)


def _written(code: int) -> int:
    """``code``, or what stands for an output that could not be written."""
    why = flushed()
    if why is None:
        return code
    return _refuse(why, FAILED) if why else FAILED


def _tried(words: Sequence[str]) -> int:
    try:
        return _ungrouped(words)
    except SettingsFileError as error:
        # Whoever watches over us may start us again: a file that is being written is whole a moment later.
        return _refuse(str(error), FAILED)
    except SettingsError as error:
        return _refuse(str(error), MISUSED)
    except StartRefused as error:
        return _refuse(str(error), FAILED)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`… | head`); Python must not try to flush to it at exit.
        sys.stdout = None
        return FAILED
    except OSError as error:
        if error.errno in CANNOT_LISTEN:
            return _refuse(error.strerror or str(error), FAILED)
        if error.errno in CANNOT_WRITE and error.filename is None:
            return _refuse(unwritten(error), FAILED)
        log.critical("the program ends on an unexpected error", exc_info=True)
        return FAILED
    except Exception:
        log.critical("the program ends on an unexpected error", exc_info=True)
        return FAILED


def _ungrouped(words: Sequence[str]) -> int:
    """Run; what ends one task of a program ends the others with it, and is itself again here."""
    try:
        return _run(words)
    except ExceptionGroup as group:
        error: Exception = group
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            [error] = error.exceptions
        if isinstance(error, OSError | StartRefused):
            raise error from None
        raise


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands; each puts its :class:`Command` into ``arguments.command``."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Real-time notification bridge for Tencent Exmail.",
        epilog=f"examples:\n  {_PROGRAM} dev\n  {_PROGRAM} config reference\n  {_PROGRAM} worker --help\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        one = commands.add_parser(
            command.name,
            help=command.summary,
            description=command.summary,
            epilog="examples:\n" + "".join(f"  {_PROGRAM} {example}\n" for example in command.examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        one.set_defaults(command=command)
        command.add_arguments(one)
    return parser


def _run(words: Sequence[str]) -> int:
    passed_on = next((command for command in COMMANDS if command.passes_on and [command.name] == list(words[:1])), None)
    if passed_on is not None and list(words[1:2]) not in (["-h"], ["--help"]):
        return passed_on.run(argparse.Namespace(rest=list(words[1:])))
    arguments = build_parser().parse_args(words)
    command: Command = arguments.command
    return command.run(arguments)


def _refuse(why: str, code: int) -> int:
    say_why_it_ends(_PROGRAM, why)
    return code
