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

from bridge.commands.command import add_settings_options
from bridge.provider.bizmail.endpoints import ENDPOINTS, TOKEN, Endpoint
from bridge.provider.bizmail.parameters import Parameter
from bridge.provider.faults import BadParameter
from bridge.provider.members import Action

SHELLS: Final = ("bash", "zsh", "fish")
ANEW: Final = "fetch one though there is one: it proves client id and secret, and all programs will use it"


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
    words = parser.add_subparsers(dest="endpoint", metavar="ENDPOINT", title="endpoints")
    for name, endpoints in endpoints_by_word().items():
        _add_word(words.add_parser(name, description=_describe(endpoints), allow_abbrev=False), endpoints)


def _describe(endpoints: list[Endpoint]) -> str:
    said = "; ".join(endpoint.what for endpoint in endpoints)
    return f"{said[0].upper()}{said[1:]} ({endpoints[0].section})."


def _add_word(word: argparse.ArgumentParser, endpoints: list[Endpoint]) -> None:
    if len(endpoints) > 1:
        names = "|".join(endpoint.action.name for endpoint in endpoints if endpoint.action is not None)
        word.add_argument("--action", type=_action, required=True, metavar=names, help="what to do")
    for parameter in parameters_of(endpoints):
        needed = all(parameter.name in {each.name for each in _needed(endpoint)} for endpoint in endpoints)
        if is_flag(parameter):
            word.add_argument(
                option(parameter), dest=parameter.name, action="store_const", const="1", help=parameter.what
            )
        else:
            word.add_argument(
                option(parameter),
                dest=parameter.name,
                action="store" if parameter.most == 1 else "append",
                required=needed,
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
        word.add_argument("--yes", action="store_true", help="do what cannot be undone")
    word.add_argument("--json", action="store_true", help="the answer as JSON")
    add_settings_options(word, dev=True)


def _needed(endpoint: Endpoint) -> list[Parameter]:
    return [parameter for parameter in endpoint.parameters if parameter.required]


def _action(text: str) -> Action:
    """An action by name or number, as a ``type`` of argparse."""
    names = {each.name: each for each in Action} | {str(int(each)): each for each in Action}
    if (action := names.get(text.upper())) is None:
        raise argparse.ArgumentTypeError("ADD, MOD or DEL")
    return action


def called(arguments: argparse.Namespace) -> tuple[Endpoint, dict[str, object]]:
    """The endpoint that was asked for, and the values by the client's names.

    Raises:
        BadParameter: an option belongs to another action of the endpoint.
    """
    endpoints = endpoints_by_word()[arguments.endpoint]
    action = getattr(arguments, "action", None)
    endpoint = next(each for each in endpoints if each.action is None or each.action is action)
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
