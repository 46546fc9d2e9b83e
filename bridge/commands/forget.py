"""``forget``: delete all that is kept of a mailbox, at once."""

from __future__ import annotations

import argparse
import asyncio
import sys

from bridge.commands.command import OK, Command, add_settings_options, operator_settings
from bridge.commands.directory import address
from bridge.commands.leader import ordered, reaching
from bridge.settings import Settings


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser, dev=True)
    parser.add_argument("mailbox", metavar="MAILBOX", type=address, help="any address of the account")


def _run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_forget(operator_settings(arguments), arguments.mailbox))


async def _forget(settings: Settings, mailbox: str) -> int:
    async with reaching(settings) as (_, orders):
        answer = await ordered(orders, "forget", mailbox)
    sys.stdout.write(
        f"{answer['account']} is forgotten: history, counts, profile, and {answer['scrubbed']} entries of streams\n"
    )
    if answer["known"]:
        sys.stdout.write("the provider may still have the account: its next change, or a resync, brings it back\n")
    return OK


COMMAND = Command(
    name="forget",
    summary="delete all that is kept of a mailbox: history, counts, profile, and its entries in every stream",
    examples=("forget bob@gzdev.com", "forget bob@gzdev.com --config /etc/exmail-bridge/bridge.toml"),
    add_arguments=_add_arguments,
    run=_run,
)
