"""The words of an ``api`` call: one sub-command an endpoint, one option a parameter, made from the provider's table.

What one endpoint does in several actions (``user/sync``, ``party/sync``) is one sub-command with ``--action``.
A password or key is never a word of the command line, where the list of processes would show it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bridge.commands.api.ending import EXIT_CODES
from bridge.commands.command import add_settings_options
from bridge.provider.bizmail.endpoints import (
    ENDPOINTS,
    GROUP_ADDALLOWLIST,
    GROUP_ADDMEMBER,
    GROUP_DELALLOWLIST,
    GROUP_DELETEMEMBER,
    NEWCOUNT,
    PARTY_ADD,
    PARTYUSER_LIST,
    TOKEN,
    USER_ADD,
    USER_CHECK,
    USER_CLOSEWXTOKEN,
    USER_GET,
    USER_OPENWXTOKEN,
    Endpoint,
)
from bridge.provider.bizmail.parameters import Parameter
from bridge.provider.faults import BadParameter
from bridge.provider.members import Action

SHELLS: Final = ("bash", "zsh", "fish")
ANEW: Final = "fetch one though there is one: it proves client id and secret, and all programs will use it"

RATE: Final = 20.0
WAIT_S: Final = 120.0
LEAVERS: Final = ("disable", "delete")
FROM_A_FILE: Final = (
    *(USER_ADD, PARTY_ADD, USER_GET, NEWCOUNT, USER_CHECK, PARTYUSER_LIST, USER_OPENWXTOKEN, USER_CLOSEWXTOKEN),
    *(GROUP_ADDMEMBER, GROUP_DELETEMEMBER, GROUP_ADDALLOWLIST, GROUP_DELALLOWLIST),
)
"""What is done for many at once; user/sync and party/sync stand here with their first action."""


def endpoints_by_word() -> dict[str, list[Endpoint]]:
    """What each sub-command may do, in the order of the document."""
    found: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        found.setdefault(endpoint.name, []).append(endpoint)
    return found


def parameters_of(endpoints: list[Endpoint]) -> list[Parameter]:
    """The parameters that are options; of several actions each once."""
    named = {parameter.name: parameter for endpoint in endpoints for parameter in endpoint.parameters}
    return [parameter for parameter in named.values() if not parameter.secret]


def takes_password(endpoints: list[Endpoint]) -> bool:
    """Whether one of them sends a password."""
    return any(parameter.key == "password" for endpoint in endpoints for parameter in endpoint.parameters)


def option(parameter: Parameter) -> str:
    """``PartyPath`` → ``--party-path``, ``group_alias`` → ``--group-alias``."""
    return "--" + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", parameter.name).replace("_", "-").lower()


def is_flag(parameter: Parameter) -> bool:
    """Whether there is nothing to say but yes."""
    return parameter.choices == ("0", "1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands, and what is asked of all of them."""
    about = parser.add_mutually_exclusive_group()
    about.add_argument("--list", action="store_true", help="every endpoint, one a line")
    about.add_argument("--reference", action="store_true", help="docs/protocol.md, as Markdown")
    about.add_argument("--completion", choices=SHELLS, help="a script that completes this command in your shell")
    parser.epilog = f"{parser.epilog or ''}\n{EXIT_CODES}"
    words = parser.add_subparsers(dest="endpoint", metavar="ENDPOINT", title="endpoints")
    for name, endpoints in endpoints_by_word().items():
        word = words.add_parser(
            name,
            description=_describe(endpoints),
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        _add_word(word, endpoints)


def _describe(endpoints: list[Endpoint]) -> str:
    said = "; ".join(endpoint.what for endpoint in endpoints)
    return f"{said[0].upper()}{said[1:]} ({endpoints[0].section})."


def _add_word(word: argparse.ArgumentParser, endpoints: list[Endpoint]) -> None:
    batch = may_come_from_a_file(endpoints)
    if len(endpoints) > 1:
        names = "|".join(endpoint.action.name for endpoint in endpoints if endpoint.action is not None)
        what = "what to do; with --from: with each row" if batch else "what to do"
        word.add_argument("--action", type=_action, required=not batch, metavar=names, help=what)
    for parameter in parameters_of(endpoints):
        if is_flag(parameter):
            word.add_argument(
                option(parameter), dest=parameter.name, action="store_const", const="1", help=parameter.what
            )
        else:
            word.add_argument(
                option(parameter),
                dest=parameter.name,
                action="store" if parameter.most == 1 else "append",
                required=not batch and _is_needed(parameter, endpoints),
                metavar="|".join(parameter.choices) or parameter.name.upper(),
                help=parameter.what + (", may be repeated" if parameter.most != 1 else ""),
            )
    if TOKEN in endpoints:
        word.add_argument("--anew", action="store_true", help=ANEW)
    if takes_password(endpoints):
        source = word.add_mutually_exclusive_group()
        source.add_argument("--password-file", type=Path, metavar="FILE", help="its first line, - of stdin")
        source.add_argument("--ask-password", action="store_true", help="ask for the password")
    if any(endpoint.warning for endpoint in endpoints):
        _add_yes(word, batch=batch)
    if batch:
        _add_file(word, endpoints)
    word.add_argument("--json", action="store_true", help="the answer as JSON, an error too")
    add_settings_options(word, dev=True)
    word.set_defaults(refuse=word.error)


def _add_yes(word: argparse.ArgumentParser, *, batch: bool) -> None:
    what = "do what cannot be undone"
    if not batch:
        word.add_argument("--yes", action="store_true", help=what)
        return
    word.add_argument(
        "--yes",
        nargs="?",
        const=True,
        default=False,
        type=_number,
        metavar="NUMBER",
        help=f"{what}; with --from and the number of accounts or departments that it takes away: though they are many",
    )


def _add_file(word: argparse.ArgumentParser, endpoints: list[Endpoint]) -> None:
    """The options of a call that may take its values from a file."""
    rows = word.add_argument_group("many at once", "What the other options say then holds for each row.")
    rows.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="CSV or JSON lines, a call a row; - is standard input"
    )
    rows.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    rows.add_argument(
        "--rate", type=_rate, default=RATE, metavar="CALLS", help=f"at most so many a second, {RATE:g} if not given"
    )
    rows.add_argument(
        "--wait",
        type=_seconds,
        default=WAIT_S,
        metavar="SECONDS",
        help=f"how long to go on asking a provider that is busy or away, {WAIT_S:g} if not given",
    )
    if endpoints[0] is USER_ADD:
        rows.add_argument(
            "--leavers",
            choices=LEAVERS,
            help="what becomes of accounts that the file, a list of everybody, leaves out; else nothing",
        )
        rows.add_argument(
            "--add-parties", action="store_true", help="add departments that rows name and that are not there"
        )
        rows.add_argument(
            "--keep", action="append", default=[], metavar="ADDRESS", help="no leaver though left out, may be repeated"
        )


def may_come_from_a_file(endpoints: list[Endpoint]) -> bool:
    """Whether a sub-command takes ``--from``."""
    return endpoints[0] in FROM_A_FILE


def _is_needed(parameter: Parameter, endpoints: list[Endpoint]) -> bool:
    return all(parameter.name in {each.name for each in _needed(endpoint)} for endpoint in endpoints)


def missing_options(arguments: argparse.Namespace) -> list[str]:
    """Options that one call cannot do without and that were not given; a file may have had them."""
    endpoints = endpoints_by_word()[arguments.endpoint]
    missing = [
        option(each) for each in parameters_of(endpoints) if _is_needed(each, endpoints) and not _given(each, arguments)
    ]
    return ["--action", *missing] if len(endpoints) > 1 and arguments.action is None else missing


def only_with_a_file(arguments: argparse.Namespace) -> str:
    """An option that was given and means nothing without rows; ``""`` if there is none."""
    given = vars(arguments)
    return next(
        (f"--{name.replace('_', '-')}" for name in ("dry_run", "leavers", "add_parties", "keep") if given.get(name)), ""
    )


def _given(parameter: Parameter, arguments: argparse.Namespace) -> bool:
    return getattr(arguments, parameter.name) is not None


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("a number of accounts or departments")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", text, re.ASCII):
        raise argparse.ArgumentTypeError("a number of seconds")
    return float(text)


def _rate(text: str) -> float:
    if not 0.01 <= (rate := _seconds(text)) <= 1000:
        raise argparse.ArgumentTypeError("calls a second, from 0.01 to 1000")
    return rate


def _needed(endpoint: Endpoint) -> list[Parameter]:
    return [parameter for parameter in endpoint.parameters if parameter.required]


def _action(text: str) -> Action:
    """An action by name or number, as a ``type`` of argparse."""
    names = {each.name: each for each in Action} | {str(int(each)): each for each in Action}
    if (action := names.get(text.upper())) is None:
        raise argparse.ArgumentTypeError("ADD, MOD or DEL")
    return action


def asked_for(arguments: argparse.Namespace) -> Endpoint:
    """The endpoint of a sub-command; of several the one of ``--action``, or the first."""
    endpoints = endpoints_by_word()[arguments.endpoint]
    action = getattr(arguments, "action", None)
    return next((each for each in endpoints if each.action is action), endpoints[0])


def given_values(arguments: argparse.Namespace) -> dict[str, object]:
    """What the options say, by the client's names."""
    parameters = parameters_of(endpoints_by_word()[arguments.endpoint])
    return {each.key: getattr(arguments, each.name) for each in parameters if _given(each, arguments)}


def called(arguments: argparse.Namespace) -> tuple[Endpoint, dict[str, object]]:
    """The endpoint that was asked for, and the values by the client's names.

    Raises:
        BadParameter: an option belongs to another action of the endpoint.
    """
    endpoints = endpoints_by_word()[arguments.endpoint]
    endpoint = asked_for(arguments)
    given: Mapping[str, object] = {
        parameter.name: value
        for parameter in parameters_of(endpoints)
        if (value := getattr(arguments, parameter.name)) is not None
    }
    known = {parameter.name: parameter.key for parameter in endpoint.parameters}
    for name in given:
        if name not in known:
            raise BadParameter(name, f"does not belong to the action {arguments.action.name}", endpoint.section)
    return endpoint, {known[name]: value for name, value in given.items()}
