"""``config``: what is set, whether it is valid, and what could be set."""

from __future__ import annotations

import argparse
import sys

from bridge.commands.command import MISUSED, OK, Command, add_settings_options, settings_of
from bridge.settings import SettingsError, reference, show


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, summary in (
        ("show", "every setting in force and where it came from; secrets hidden"),
        ("check", "list all that is wrong; exit code 2 if anything is"),
        ("reference", "every setting with unit, default and meaning, as Markdown"),
    ):
        action = actions.add_parser(name, help=summary, description=summary)
        if name != "reference":
            add_settings_options(action, dev=True)
        if name == "check":
            action.add_argument(
                "--for",
                dest="commands",
                metavar="COMMAND",
                action="append",
                choices=("worker", "edge", "signon"),
                default=[],
                help="also check what worker or edge cannot do without",
            )


def _run(arguments: argparse.Namespace) -> int:
    if arguments.action == "reference":
        sys.stdout.write(reference())
        return OK
    if arguments.action == "show":
        sys.stdout.write(show(settings_of(arguments)))
        return OK
    problems: list[str] = []
    try:
        settings = settings_of(arguments)
    except SettingsError as error:
        problems.extend(error.problems)
    else:
        for command in arguments.commands:
            try:
                settings.require_for(command)
            except SettingsError as error:
                problems.extend(error.problems)
    sys.stdout.write("".join(f"{problem}\n" for problem in problems) or "the settings are valid\n")
    return MISUSED if problems else OK


COMMAND = Command(
    name="config",
    summary="settings: show, check, reference",
    examples=("config show", "config check --for worker --for edge", "config reference"),
    add_arguments=_add_arguments,
    run=_run,
)
