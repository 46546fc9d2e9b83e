"""``directory``: the mirror of the provider's accounts; the deletions held in it, and fetching it again."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from bridge.commands.command import FAILED, OK, Command, add_settings_options, operator_settings
from bridge.commands.leader import ordered, reaching, shown, shown_json
from bridge.events import normalise_address, timestamp, to_json
from bridge.journal.owed import ABSENT, DELETED, MISSING, UNREADABLE
from bridge.settings import Settings

if TYPE_CHECKING:
    from bridge.journal.held import Held
    from bridge.journal.mirror import Mirror
    from bridge.journal.orders import Orders

_PREVIEW: Final = 20
_WHY: Final = {
    DELETED: "said to be deleted, not confirmed",
    ABSENT: "left out of a listing of everything, not confirmed",
    MISSING: "listed, and user/get says that there is none",
    UNREADABLE: "listed, and its profile cannot be read",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all accounts", description="All accounts, one a line.")
    find = actions.add_parser(
        "find", help="accounts that hold a text", description="Accounts that hold a text in any field, in any case."
    )
    find.add_argument("text", metavar="TEXT")
    show = actions.add_parser("show", help="one account", description="One account, by any of its addresses.")
    show.add_argument("address", metavar="ADDRESS", type=address)
    held = actions.add_parser(
        "held",
        help="deletions that wait for you",
        description="Accounts that the provider deleted, too many at once to be believed.",
    )
    decision = held.add_mutually_exclusive_group()
    decision.add_argument(
        "--release",
        metavar="DIGEST",
        help="delete them, with their history and counts: exactly those that were shown with this digest",
    )
    decision.add_argument("--refuse", action="store_true", help="keep them until the next resync proposes them again")
    owed = actions.add_parser(
        "owed",
        help="accounts of which the provider owes an answer",
        description="Accounts that could not be read, or are said to be gone and not confirmed: since when, and why.",
    )
    resync = actions.add_parser(
        "resync", help="pull everything and compare", description="Pull everything; only real changes are published."
    )
    for action in (listing, find):
        action.add_argument("--json", action="store_true", help="one profile a line, as JSON")
    for action in (listing, find, show, held, owed, resync):
        add_settings_options(action, dev=True)


def address(text: str) -> str:
    """A mail address, as a ``type`` of argparse."""
    found = normalise_address(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!a} is no mail address")
    return found


def _run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_act(operator_settings(arguments), arguments))


async def _act(settings: Settings, arguments: argparse.Namespace) -> int:
    async with reaching(settings) as (mirror, orders):
        match arguments.action:
            case "list":
                return await _list(mirror, "", as_json=arguments.json)
            case "find":
                return await _list(mirror, arguments.text, as_json=arguments.json)
            case "show":
                return await _show(mirror, arguments.address)
            case "resync":
                return await _resync(orders)
            case "owed":
                return await _owed(mirror)
            case _:
                return await _held(mirror, orders, release=arguments.release, refuse=arguments.refuse)


async def _list(mirror: Mirror, text: str, *, as_json: bool) -> int:
    """Print the accounts that contain ``text``; if there is none, the exit code is 1, as with grep."""
    wanted = text.casefold()
    found = {
        alias: profile
        for alias, profile in (await mirror.everybody()).items()
        if any(wanted in str(value).casefold() for value in profile.values())
    }
    for alias in sorted(found):
        if as_json:
            sys.stdout.buffer.write(shown_json(to_json(found[alias])) + b"\n")
        else:
            sys.stdout.write(_line(found[alias]))
    sys.stdout.flush()
    if not found:
        sys.stderr.write("exmail-bridge: no account holds that\n" if text else "exmail-bridge: no accounts\n")
    return OK if found or not text else FAILED


def _line(profile: Mapping[str, Any]) -> str:
    columns = (profile["alias"], profile.get("name", ""), ", ".join(profile.get("parties", ())))
    return "\t".join(map(shown, columns)).rstrip() + "\n"


async def _show(mirror: Mirror, asked: str) -> int:
    alias = (await mirror.slaves()).get(asked, asked)
    barred = asked in await mirror.barred() or alias in await mirror.barred()
    [profile] = await mirror.profiles([alias])
    if profile is None:
        why = "it was deleted" if barred else "the directory does not know it"
        sys.stderr.write(f"exmail-bridge: no account {asked}: {why}\n")
        return FAILED
    [stored], _ = await mirror.counted([alias])
    facts: dict[str, object] = {**profile, "enabled": not barred, "unread": stored.unread, "events": stored.seq}
    if stored.as_of is not None:
        facts["as_of"] = timestamp(stored.as_of / 1000)
    for name, value in facts.items():
        sys.stdout.write(f"{name:<10} {shown(', '.join(value) if isinstance(value, list) else value)}\n")
    return OK


async def _held(mirror: Mirror, orders: Orders, *, release: str | None, refuse: bool) -> int:
    held = await mirror.held()
    if held is None:
        sys.stdout.write("nothing is held\n")
    elif release is not None:
        answer = await ordered(orders, "release", digest=release)
        sys.stdout.write(f"{answer['deleted']} accounts deleted\n")
    elif refuse:
        answer = await ordered(orders, "refuse", digest=held.digest)
        sys.stdout.write(f"{answer['kept']} accounts kept; the next resync proposes them again\n")
    else:
        await _preview(mirror, held)
    return OK


async def _preview(mirror: Mirror, held: Held) -> None:
    answer = "a listing of everything" if held.kind == "full" else "a listing of changes"
    sys.stdout.write(
        f"{len(held.aliases)} accounts are gone, says the provider; they are kept until you decide\n"
        f"since {timestamp(held.since / 1000)}: {answer}, Ver {held.from_ver} to {held.to_ver}: {held.why}\n"
    )
    first = held.aliases[:_PREVIEW]
    for alias, profile in zip(first, await mirror.profiles(first), strict=True):
        sys.stdout.write("  " + (_line(profile) if profile is not None else f"{shown(alias)}\n"))
    if more := len(held.aliases) - len(first):
        sys.stdout.write(f"  and {more} more\n")
    sys.stdout.write(f"--release {held.digest} deletes them; --refuse keeps them until the next resync\n")


async def _owed(mirror: Mirror) -> int:
    """Print the accounts whose answer is owed, oldest first."""
    owed = await mirror.owed()
    barred = await mirror.barred()
    for alias, each in sorted(owed.items(), key=lambda pair: pair[1].since):
        state = "barred" if alias in barred else "as it was"
        columns = (alias, f"since {timestamp(each.since / 1000)}", _WHY.get(each.why, each.why), state)
        sys.stdout.write("\t".join(map(shown, columns)) + "\n")
    if not owed:
        sys.stdout.write("nothing is owed\n")
    return OK


async def _resync(orders: Orders) -> int:
    answer = await ordered(orders, "resync")
    sys.stdout.write(f"{answer['added']} added, {answer['updated']} updated, {answer['gone']} gone\n")
    if answer["gone"]:
        sys.stdout.write("who is gone is barred, and deleted when a second look says so too; see `directory owed`\n")
    if answer["owed"]:
        sys.stdout.write(f"{answer['owed']} could not be read and are asked for again; see `directory owed`\n")
    if answer["held"]:
        sys.stdout.write(f"{answer['held']} deletions are held; see `directory held`\n")
    return OK


COMMAND = Command(
    name="directory",
    summary="accounts as the bridge knows them: list, find, show, held, owed, resync",
    examples=(
        "directory find 研发",
        "directory show bob@gzdev.com",
        "directory held",
        "directory owed",
        "directory resync --dev",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
