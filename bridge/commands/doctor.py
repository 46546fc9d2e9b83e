"""``doctor``: try the whole way, piece by piece, and say what to do about what does not work."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bridge.commands.command import OK, Command, add_settings_options, settings_of
from bridge.commands.leader import ordered, reaching, shown_json
from bridge.settings import Settings, SettingsError, load_settings
from bridge.supervision import StartRefused

if TYPE_CHECKING:
    from bridge.doctor.means import Means

_WITHIN_S: Final = 90.0
_IDLE_S: Final = 32.0
_PROGRAMS: Final = ("worker", "edge")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser, dev=True)
    parser.add_argument(
        "--for",
        dest="programs",
        metavar="PROGRAM",
        action="append",
        choices=("worker", "edge", "signon"),
        default=[],
        help="judge what runs on this host only; may be repeated (worker and edge)",
    )
    parser.add_argument(
        "--units",
        metavar="DIR",
        type=Path,
        help="where the units are that say what each program is set to; without it /etc/systemd/system, if no setting "
        "is in the environment and no file is named",
    )
    parser.add_argument(
        "--passwords",
        metavar="DIR",
        type=Path,
        help="try every right of every user of Redis: the directory that make-users reads, with the file admin in it",
    )
    parser.add_argument(
        "--prometheus",
        type=_url,
        metavar="URL",
        help="see whether its alerts are loaded and reach somebody",
    )
    parser.add_argument(
        "--capture",
        metavar="FILE",
        type=Path,
        help="check nothing; have the worker that leads record what the provider sends, and write that to a new FILE: "
        "lengths and moments as they were, every text of people a stand-in, no token. The listen session that stands "
        "is recorded, so nobody's place is taken; a second listener could silence it. Needs a leader, and Redis",
    )
    parser.add_argument(
        "--seconds", type=_seconds, default=60.0, metavar="N", help="with --capture: for how long, at most 600 (60)"
    )
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    parser.add_argument("--lang", choices=("en", "zh"), help="the language of the report; without it the locale's")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="do not wait half a minute to see whether a quiet connection stays",
    )
    parser.add_argument(
        "--within", type=_seconds, default=_WITHIN_S, metavar="SECONDS", help="the whole takes at most so long (90)"
    )


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError("a URL such as http://127.0.0.1:9090")
    return text


def _seconds(text: str) -> float:
    if not text.isdecimal() or not 1 <= int(text) <= 3600:
        raise argparse.ArgumentTypeError("a number of seconds from 1 to 3600")
    return float(text)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.capture is not None:
        return asyncio.run(_capture(settings_of(arguments), arguments.capture, min(arguments.seconds, 600.0)))
    from bridge.doctor.check import examine
    from bridge.doctor.checks import CHECKS
    from bridge.doctor.report import exit_code, facts, language_here, lines
    from bridge.events import to_json

    language = arguments.lang or language_here()
    outcomes = asyncio.run(examine(CHECKS, means_of(arguments, os.environ), within_s=arguments.within))
    if arguments.json:
        sys.stdout.buffer.write(shown_json(to_json(facts(outcomes, language))) + b"\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(outcomes, language)))
    return exit_code(outcomes)


async def _capture(settings: Settings, path: Path, seconds: float) -> int:
    """Have the leader record, wait, fetch it, and write it where nothing is yet."""
    from bridge.events import to_json

    try:
        # Nobody else's to read, and never over something that is there.
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise StartRefused(f"cannot write {path}: {error.strerror}") from None
    kept = False
    try:
        with file:
            async with reaching(settings) as (_, orders):
                await ordered(orders, "record", ids=(str(seconds),))
                sys.stderr.write(f"recording for {seconds:.0f} s\n")
                await asyncio.sleep(seconds)
                lines = (await ordered(orders, "recorded"))["lines"]
            for line in lines:
                file.write(to_json(line) + b"\n")
        kept = True
    finally:
        if not kept:
            await asyncio.to_thread(path.unlink)
    pieces = sum("text" in line or "base64" in line for line in lines)
    sys.stdout.write(f"{path}: {pieces} pieces, {lines[0]['bytes']} bytes; look at it before you hand it on\n")
    return OK


def means_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Means:
    """What the checks work with. Settings that cannot be used are a finding like any other."""
    from bridge.doctor.means import Means

    units: dict[Any, Settings] = {}
    problems: dict[Any, tuple[str, ...]] = {}
    operator: Settings | None = None
    try:
        operator = settings_of(arguments)
    except SettingsError as error:
        operator_problems = tuple(error.problems)
    for program in arguments.programs or _PROGRAMS:
        try:
            own = _of_unit(program, arguments, environ)
            if own is not None:
                units[program] = load_settings(own, arguments.config)
            elif operator is not None:
                units[program] = operator
            else:
                problems[program] = operator_problems
        except SettingsError as error:
            problems[program] = tuple(error.problems)
        except OSError as error:
            problems[program] = (f"cannot read {error.filename}: {error.strerror}",)
    if _is_silent(arguments, environ) and units:
        # Nobody said how to reach Redis but the units.
        operator = None
    idle_s = 0.0 if arguments.quick else _IDLE_S
    return Means(
        units=units,
        operator=operator,
        problems=problems,
        idle_s=idle_s,
        passwords=arguments.passwords,
        prometheus=arguments.prometheus or "",
    )


def _of_unit(program: str, arguments: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str] | None:
    """The environment of the program's unit; ``None`` where the caller's own settings count."""
    from bridge.doctor.units import FOLDERS, unit_environ

    if arguments.units is not None:
        found = unit_environ(program, [arguments.units])
        if found is None:
            raise SettingsError([f"there is no exmail-bridge-{program}.service in {arguments.units}"])
        return found
    return unit_environ(program, FOLDERS) if _is_silent(arguments, environ) else None


def _is_silent(arguments: argparse.Namespace, environ: Mapping[str, str]) -> bool:
    said = arguments.config is not None or arguments.dev or any(name.startswith("BRIDGE_") for name in environ)
    return not said


COMMAND = Command(
    name="doctor",
    summary="try the whole way, and say what to do: exit 0 healthy, 1 something to do, 2 no secret to judge with",
    examples=(
        "doctor",
        "doctor --for edge --lang zh",
        "doctor --json --units /etc/systemd/system",
        "doctor --capture listen.jsonl --seconds 120",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
