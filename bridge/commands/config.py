"""``config``: what is set, whether it is valid, and what could be set."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from bridge.commands.command import FAILED, MISUSED, OK, Command, add_settings_options, processes, settings_of
from bridge.settings import SettingsError, SettingsFileError, reference, show


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, summary in (
        ("show", "every setting in force and where it came from; secrets hidden"),
        ("check", "list all that is wrong; exit code 2 if anything is, 1 where files or the network may mend it"),
        ("reference", "every setting with unit, default and meaning, as Markdown"),
    ):
        action = actions.add_parser(name, help=summary, description=summary)
        if name != "reference":
            add_settings_options(action, dev=True)
        if name == "check":
            action.add_argument(
                "--for",
                dest="programs",
                metavar="COMMAND",
                action="append",
                choices=("worker", "edge", "signon"),
                default=[],
                help="also check what this program cannot do without; may be repeated",
            )
            action.add_argument(
                "--workers", type=processes, default=1, metavar="N", help="with --for edge: as of edge --workers (1)"
            )
            action.add_argument(
                "--online",
                action="store_true",
                help="also try what needs the network: Redis and its database, names, and the ports of --for; exit "
                "code 1 if only that fails. The ports of a program that runs are in use",
            )


def _run(arguments: argparse.Namespace) -> int:
    if arguments.action == "reference":
        sys.stdout.write(reference())
        return OK
    if arguments.action == "show":
        sys.stdout.write(show(settings_of(arguments)))
        return OK
    try:
        problems, code = _check(arguments), FAILED
    except SettingsFileError as error:
        problems, code = error.problems, FAILED
    except SettingsError as error:
        problems, code = error.problems, MISUSED
    sys.stdout.write("".join(f"{problem}\n" for problem in problems) or "the settings are valid\n")
    return code if problems else OK


def _check(arguments: argparse.Namespace) -> Sequence[str]:
    """Return what does not work on the network.

    Raises:
        SettingsError: what is wrong whatever the network.
    """
    settings = settings_of(arguments)
    from bridge.app.fitness import check_fitness
    from bridge.app.online import online_problems

    check_fitness(settings, *arguments.programs, processes=arguments.workers)
    if not arguments.online:
        return ()
    return asyncio.run(online_problems(settings, *arguments.programs, processes=arguments.workers))


COMMAND = Command(
    name="config",
    summary="settings: show, check, reference",
    examples=(
        "config show",
        "config check --for worker --for edge",
        "config check --for edge --workers 4 --online",
        "config reference",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
