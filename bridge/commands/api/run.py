"""``api``: any endpoint of the provider, from the command line."""

from __future__ import annotations

import argparse
import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING

from bridge.commands.api.ending import Ending, alone, ending_of, facts_of, say
from bridge.commands.api.secret import password_of
from bridge.commands.api.words import add_arguments, asked_for, called, missing_options, only_with_a_file
from bridge.commands.command import OK, Command, settings_of
from bridge.provider.bizmail.endpoints import ENDPOINTS, LISTEN, LOGIN, TOKEN, Endpoint
from bridge.provider.faults import BadParameter, ProviderError
from bridge.settings import Settings, SettingsError, require_for
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
        return say(Ending.MISUSED, "which endpoint? `exmail-bridge api --list` has them", as_json=False)
    try:
        return _called(arguments)
    except ProviderError as error:
        from bridge.commands.api.answer import in_words

        endpoint = asked_for(arguments)
        return say(ending_of(error), in_words(error, endpoint), as_json=arguments.json, **facts_of(error))
    except (BadParameter, SettingsError, StartRefused) as error:
        return say(ending_of(error), str(error), as_json=arguments.json, **facts_of(error))


def _called(arguments: argparse.Namespace) -> int:
    """Make the call that was asked for, or those of a file.

    Raises:
        BadParameter, SettingsError, StartRefused, ProviderError: why there is no answer.
    """
    if getattr(arguments, "source", None) is not None:
        from bridge.commands.api.batch import run_batch

        return run_batch(arguments)
    if stray := only_with_a_file(arguments):
        arguments.refuse(f"{stray} goes with --from FILE")
    if lacking := missing_options(arguments):
        arguments.refuse(f"the following arguments are required: {', '.join(lacking)}")
    endpoint, values = called(arguments)
    if endpoint.warning and not arguments.yes:
        why = f"not done, it needs --yes: {endpoint.warning}"
        return say(Ending.MISUSED, why, as_json=arguments.json, endpoint=endpoint.name)
    values |= password_of(endpoint, arguments)
    settings = settings_of(arguments)
    require_for(settings, "api")
    asyncio.run(_act(settings, endpoint, values, as_json=arguments.json, anew=getattr(arguments, "anew", False)))
    return OK


def _list() -> int:
    from bridge.commands.api.answer import aligned

    rows = [
        (each.section, f"{each.name} {each.action.name}" if each.action is not None else each.name, each.what)
        for each in ENDPOINTS
    ]
    sys.stdout.write("".join(f"{line}\n" for line in aligned(rows)))
    return OK


async def _act(settings: Settings, endpoint: Endpoint, values: dict[str, object], *, as_json: bool, anew: bool) -> None:
    """Make the call and print what came of it; ``anew``: fetch a token though there is one.

    Raises:
        BadParameter: a value breaks a rule; nothing was sent.
        ProviderError: the provider is away or refuses.
        StartRefused: it cannot be asked from here.
    """
    from bridge.app.provider import visiting_client
    from bridge.commands.api.answer import ToldToken, show
    from bridge.provider.bizmail.form import fill

    if endpoint is LOGIN:
        values["ticket"] = "fetched for this call"
    # Before anything is opened: a wrong parameter is told without a Redis, a provider or a token.
    fill(endpoint, values)
    asked: list[str] = []
    warn = partial(alone, as_json=as_json)
    async with visiting_client(settings, alone=warn, on_call=lambda name, *_: asked.append(name)) as client:
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


COMMAND = Command(
    name="api",
    summary="call any endpoint of the provider; --list has them",
    examples=(
        "api --list",
        "api user/get --alias bob@gzdev.com",
        "api user/sync --action MOD --alias bob@gzdev.com --open-type 2",
        "api user/check --email a@gzdev.com --email b@gzdev.com --json",
        "api party/list --party-path 广州研发中心",
        "api user/sync --from people.csv --dry-run",
    ),
    add_arguments=add_arguments,
    run=_run,
)
