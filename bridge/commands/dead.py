"""``dead``: documents of the provider that could not be read; look at them, have them read again, delete them."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from bridge.commands.command import FAILED, MISUSED, OK, Command, add_settings_options, operator_settings
from bridge.commands.leader import connected, ordered
from bridge.events import timestamp
from bridge.settings import Settings

if TYPE_CHECKING:
    from bridge.journal.dead import DeadDocument, DeadDocuments
    from bridge.journal.orders import Orders

_NEWEST: Final = 20
_PIECE: Final = 50
_STAY: Final = ("unreadable", "masked")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser, dev=True)
    parser.add_argument(
        "action",
        metavar="ACTION",
        nargs="?",
        choices=("list", "show", "replay", "drop"),
        default="list",
        help="list (the newest first), show, replay (read again, and announce what can be read now), drop (delete)",
    )
    parser.add_argument("ids", metavar="ID", nargs="*", type=_entry_id, help="entries, as listed")
    parser.add_argument("--all", action="store_true", help="replay or drop every entry; list them all")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _entry_id(text: str) -> str:
    """The id of an entry, as a ``type`` of argparse."""
    from bridge.journal.dead import is_entry_id

    if not is_entry_id(text):
        raise argparse.ArgumentTypeError(f"{text!a} is no id of an entry (1795497613538-0)")
    return text


def _run(arguments: argparse.Namespace) -> int:
    action = arguments.action
    if wrong := _misuse(action, ids=bool(arguments.ids), everything=arguments.all):
        sys.stderr.write(f"exmail-bridge: {wrong}\n")
        return MISUSED
    return asyncio.run(
        _act(operator_settings(arguments), action, arguments.ids, everything=arguments.all, as_json=arguments.json)
    )


def _misuse(action: str, *, ids: bool, everything: bool) -> str | None:
    """What is wrong with the command line; ``None``: nothing is."""
    if action == "list":
        return "`dead list` takes no ids; see `dead show`" if ids else None
    if action == "show":
        return "`dead show` takes the ids of entries, as `dead` lists them" if everything or not ids else None
    return None if ids != everything else f"`dead {action}` takes the ids of entries, or --all"


async def _act(settings: Settings, action: str, ids: Sequence[str], *, everything: bool, as_json: bool) -> int:
    from bridge.journal.dead import DeadDocuments
    from bridge.journal.orders import Orders

    async with connected(settings) as (redis, keys):
        dead, orders = DeadDocuments(redis, keys), Orders(redis, keys)
        if action == "list":
            return await _list(dead, everything=everything, as_json=as_json)
        if action == "show":
            return await _show(dead, ids, as_json=as_json)
        if everything:
            ids = [document.id async for document in dead.newest()][::-1]
        act = _replay if action == "replay" else _drop
        return await act(orders, ids, as_json=as_json)


async def _list(dead: DeadDocuments, *, everything: bool, as_json: bool) -> int:
    count = await dead.count()
    async for document in dead.newest(None if everything else _NEWEST):
        if as_json:
            _print_json(_facts(document))
        else:
            kept = "" if document.kept == "whole" else f"  {document.kept}"
            _print(f"{document.id}  {timestamp(document.time_s)}  {document.reason:<13} {document.size:>9} bytes{kept}")
    if not as_json:
        more = f", the newest {_NEWEST} are shown; --all shows them" if count > _NEWEST and not everything else ""
        _print(f"{count} documents could not be read{more}" if count else "no documents are kept")
    return OK


async def _show(dead: DeadDocuments, ids: Sequence[str], *, as_json: bool) -> int:
    code = OK
    for id, document in zip(ids, await dead.find(ids), strict=True):
        if document is None:
            sys.stderr.write(f"exmail-bridge: there is no entry {id} (any more)\n")
            code = FAILED
        elif as_json:
            _print_json({**_facts(document), "document": document.document.decode("utf-8", "backslashreplace")})
        else:
            for name, value in _facts(document).items():
                _print(f"{name:<8} {value}")
            _print(f"{'document':<8} {escaped(document.document)}")
    return code


async def _replay(orders: Orders, ids: Sequence[str], *, as_json: bool) -> int:
    """Have documents read again; exit code 1 if one still cannot be read."""
    stay = False
    for at in range(0, len(ids), _PIECE):
        for each in (await ordered(orders, "replay", ids=ids[at : at + _PIECE]))["replayed"]:
            stay = stay or each["result"] in _STAY
            if as_json:
                _print_json(each)
            else:
                _print(f"{each['id']}  {_TOLD[each['result']].format(reason=each['reason'])}")
    return FAILED if stay else OK


async def _drop(orders: Orders, ids: Sequence[str], *, as_json: bool) -> int:
    dropped = 0
    for at in range(0, len(ids), _PIECE):
        dropped += (await ordered(orders, "drop", ids=ids[at : at + _PIECE]))["dropped"]
    if as_json:
        _print_json({"dropped": dropped})
    else:
        _print(f"{dropped} documents deleted")
    return OK


_TOLD: Final = {
    "mail": "a mail; it is announced now",
    "duplicate": "a mail that had been announced",
    "count": "an unread count; the present one is asked for",
    "version": "a change of the directory; it is asked for",
    "nothing": "can be read, and nothing follows from it",
    "unreadable": "still cannot be read ({reason}); it stays",
    "masked": "was stored without its text (BRIDGE_PRIVACY), so it cannot be read again; it stays",
    "gone": "there is no such entry (any more)",
}


def _facts(document: DeadDocument) -> dict[str, Any]:
    return {
        "id": document.id,
        "time": timestamp(document.time_s),
        "reason": document.reason,
        "size": document.size,
        "kept": document.kept,
    }


def escaped(document: bytes) -> str:
    """Foreign bytes for a terminal, on one line, with control and bidi characters escaped."""
    text = document.decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _print_json(value: object) -> None:
    # In ASCII, because control and bidi characters would act on the terminal.
    _print(json.dumps(value, ensure_ascii=True))


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


COMMAND = Command(
    name="dead",
    summary="documents of the provider that could not be read: list, show, replay, drop",
    examples=(
        "dead",
        "dead show 1795497613538-0",
        "dead replay --all",
        "dead drop 1795497613538-0 --dev",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
