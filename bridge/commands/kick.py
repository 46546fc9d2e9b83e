"""``kick``: end connections on every edge; a session that is named is also kept out."""

from __future__ import annotations

import argparse
import asyncio
import sys

from bridge.commands.command import OK, Command, add_settings_options, operator_settings
from bridge.commands.directory import address
from bridge.commands.leader import connected
from bridge.settings import Settings, SettingsError


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser, dev=True)
    parser.add_argument("mailbox", metavar="MAILBOX", type=address, nargs="?", help="any address of the account")
    parser.add_argument("--sid", metavar="SID", default="", help="the OA's session, as its tokens name it")


def _run(arguments: argparse.Namespace) -> int:
    settings = operator_settings(arguments)
    if not arguments.mailbox and not arguments.sid:
        raise SettingsError(["kick needs a MAILBOX, a --sid, or both"])
    return asyncio.run(_kick(settings, arguments.mailbox or "", arguments.sid))


async def _kick(settings: Settings, mailbox: str, sid: str) -> int:
    from bridge.journal.standing import Standings

    async with connected(settings) as (redis, keys):
        await Standings(redis, keys).kick(mailbox=mailbox, session=sid, kept_s=settings.edge.kick_s)
    if not sid:
        sys.stdout.write("its connections end now; whoever has a good token may come back\n")
    else:
        where = " from this mailbox" if mailbox else ""
        sys.stdout.write(f"the session's connections end now, and it is kept out{where} for {settings.edge.kick_s} s\n")
    return OK


COMMAND = Command(
    name="kick",
    summary="end a mailbox's or a session's connections on every edge; a session stays out",
    examples=("kick bob@gzdev.com", "kick --sid 5f2c9a", "kick bob@gzdev.com --sid 5f2c9a"),
    add_arguments=_add_arguments,
    run=_run,
)
