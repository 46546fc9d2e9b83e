"""``api``: any endpoint of the provider, from the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.commands.api.words import add_arguments, called
from bridge.commands.command import MISUSED, OK, Command, settings_of
from bridge.provider.bizmail.endpoints import ENDPOINTS, LISTEN, LOGIN, TOKEN, Endpoint
from bridge.provider.faults import BadParameter
from bridge.settings import Settings, require_for
from bridge.supervision import StartRefused

if TYPE_CHECKING:
    from bridge.provider.bizmail.client import ProviderClient


def _run(arguments: argparse.Namespace) -> int:
    if arguments.list:
        return _list()
    if arguments.reference:
        from bridge.commands.api.reference import reference

        sys.stdout.write(reference())
        return OK
    if arguments.completion:
        from bridge.commands.api.completion import script

        sys.stdout.write(script(arguments.completion))
        return OK
    if arguments.endpoint is None:
        return _misused("which endpoint? `exmail-bridge api --list` has them")
    try:
        endpoint, values = called(arguments)
        if endpoint.warning and not arguments.yes:
            return _misused(f"not done, it needs --yes: {endpoint.warning}")
        values |= _password(endpoint, arguments)
        settings = settings_of(arguments)
        require_for(settings, "api")
        asyncio.run(_act(settings, endpoint, values, as_json=arguments.json, anew=getattr(arguments, "anew", False)))
    except BadParameter as error:
        return _misused(str(error))
    return OK


def _misused(why: str) -> int:
    sys.stderr.write(f"exmail-bridge: {why}\n")
    return MISUSED


def _list() -> int:
    from bridge.commands.api.answer import aligned

    rows = [
        (each.section, f"{each.name} {each.action.name}" if each.action is not None else each.name, each.what)
        for each in ENDPOINTS
    ]
    sys.stdout.write("".join(f"{line}\n" for line in aligned(rows)))
    return OK


def _password(endpoint: Endpoint, arguments: argparse.Namespace) -> dict[str, object]:
    """The password that goes with the call, from a file, from standard input, or asked for.

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
        if not sys.stdin.isatty():
            raise BadParameter("Password", "is missing: --password-file FILE, - is standard input", endpoint.section)
    try:
        return {"password": _read_password(file)}
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise BadParameter("Password", f"cannot be read from {file}: {why}", endpoint.section) from None


def _read_password(file: Path | None) -> str:
    """The first line; a line end and a byte order mark are no part of a password, blanks are."""
    if file is None:
        from getpass import getpass

        return getpass("password: ")
    text = sys.stdin.readline() if file == Path("-") else file.read_text("utf-8").partition("\n")[0]
    return text.removeprefix("\ufeff").rstrip("\r\n")


async def _act(settings: Settings, endpoint: Endpoint, values: dict[str, object], *, as_json: bool, anew: bool) -> None:
    """Make the call and print what came of it; ``anew``: fetch a token though there is one.

    Raises:
        BadParameter: a value breaks a rule; nothing was sent.
        StartRefused: the provider is away or refuses; in words.
    """
    from bridge.app.provider import visiting_client
    from bridge.commands.api.answer import ToldToken, in_words, show
    from bridge.provider.bizmail.form import fill
    from bridge.provider.faults import ProviderError

    if endpoint is LOGIN:
        values["ticket"] = "fetched for this call"
    # Before anything is opened: a wrong parameter is told without a Redis, a provider or a token.
    fill(endpoint, values)
    asked: list[str] = []
    async with visiting_client(settings, alone=_warn, on_call=lambda name, *_: asked.append(name)) as client:
        try:
            if endpoint is TOKEN:
                token = await client.token(anew=anew)
                show(ToldToken(token.expires_at, fetched=bool(asked)), as_json=as_json)
                return
            if endpoint is LISTEN:
                await _listen(client, settings, int(str(values["ver"])))
                return
            if endpoint is LOGIN:
                values["ticket"] = (await client.authkey(str(values["user"]))).value
            answer = getattr(client, endpoint.method)(**values)
            show(answer if isinstance(answer, str) else await answer, as_json=as_json)
        except ProviderError as error:
            raise StartRefused(in_words(error, endpoint)) from error


async def _listen(client: ProviderClient, settings: Settings, ver: int) -> None:
    """Print pushes until Ctrl-C, or until the provider ends the session."""
    from bridge.app.parts import ended, until_stopped
    from bridge.commands.api.answer import show_push
    from bridge.supervision import Shutdown

    async def follow() -> None:
        async with client.listen(ver=lambda: ver, silence_s=settings.provider.listen_silence_s) as session:
            async for batch in session:
                for push in batch:
                    show_push(push)

    with Shutdown() as shutdown:
        await ended(await until_stopped(follow, shutdown.event, name="listen"))


def _warn(why: str) -> None:
    sys.stderr.write(
        f"exmail-bridge: Redis cannot be used ({why}); "
        "fetching a token of our own, which may end that of the worker until it fetches another\n"
    )


COMMAND = Command(
    name="api",
    summary="call any endpoint of the provider; --list has them",
    examples=(
        "api --list",
        "api user/get --alias bob@gzdev.com",
        "api user/sync --action MOD --alias bob@gzdev.com --open-type 2",
        "api user/check --email a@gzdev.com --email b@gzdev.com --json",
        "api party/list --party-path 广州研发中心",
    ),
    add_arguments=add_arguments,
    run=_run,
)
