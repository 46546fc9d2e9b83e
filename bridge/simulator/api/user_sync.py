"""Writing calls about accounts: ``user/sync``, ``user/swapalias``, ``user/openwxtoken`` and ``closewxtoken``.

Protocol 3.3.2, 3.3.14 and 3.3.15; ``swapalias`` is in no document. The shape of every parameter is judged before
anything is looked up: 1001, then the password (1303), the addresses (1304), the parties (1310).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bridge.simulator.api.question import (
    ADDRESS_EXISTS,
    BAD_PASSWORD,
    INVALID_REQUEST,
    PARTY_NOT_FOUND,
    USER_NOT_FOUND,
    Question,
    Refusal,
)
from bridge.simulator.world.account import Account, Action, digest
from bridge.simulator.world.addresses import AddressKind, normal
from bridge.simulator.world.parties import ROOT, BadPath, Path, parse, write

MOST_SLAVES = 5
PASSWORD_CHARACTERS = range(6, 33)

_TEXTS: Mapping[str, str] = {
    "name": "name",
    "position": "position",
    "tel": "tel",
    "mobile": "mobile",
    "extid": "ext_id",
}
_HEX_DIGITS = re.compile(r"[0-9a-fA-F]{32}")


def user_sync(question: Question) -> None:
    """``openapi/user/sync`` (protocol 3.3.2)."""
    match question.require_action():
        case Action.DEL:
            account = question.require_account()
            if len(question.world.accounts) == 1:
                raise Refusal(INVALID_REQUEST)
            question.world.delete_user(account.alias)
        case Action.ADD:
            _add(question)
        case Action.MOD:
            fields = _fields(question)
            account = question.require_account()
            _judge(question, fields, own=account.slaves)
            question.world.modify_user(account.alias, **fields)


def swap_alias(question: Question) -> None:
    """``openapi/user/swapalias``: a slave becomes the main address; ``user/list`` shows DEL and ADD."""
    slave = normal(question.require("slavealias"))
    account = question.require_account()
    if slave not in account.slaves:
        raise Refusal(USER_NOT_FOUND)
    question.world.swap_alias(account.alias, slave)


def open_wxtoken(question: Question) -> None:
    """``openapi/user/openwxtoken`` (protocol 3.3.14). It is no part of the profile, so no Ver moves."""
    question.world.roster.modify_unseen(replace(question.require_account(), wxtoken=True))


def close_wxtoken(question: Question) -> None:
    """``openapi/user/closewxtoken`` (protocol 3.3.15)."""
    question.world.roster.modify_unseen(replace(question.require_account(), wxtoken=False))


def _add(question: Question) -> None:
    alias = normal(question.require("alias"))
    question.require("name")
    if "password" not in question.request.params:
        raise Refusal(INVALID_REQUEST)
    fields = _fields(question)
    kind = question.world.roster.kind_of(alias)
    if kind is AddressKind.INVALID:
        raise Refusal(INVALID_REQUEST)
    if kind is not AddressKind.FREE or alias in fields.get("slaves", ()):
        raise Refusal(ADDRESS_EXISTS)
    _judge(question, fields, own=())
    question.world.enrol(Account(alias=alias, **fields))


def _fields(question: Question) -> dict[str, Any]:
    """What was sent of a profile, by our names. An empty text empties its field, a name cannot be empty."""
    sent = {ours: question.request.param(theirs) for theirs, ours in _TEXTS.items()}
    fields: dict[str, Any] = {ours: text for ours, text in sent.items() if text is not None}
    if fields.get("name") == "":
        raise Refusal(INVALID_REQUEST)
    if gender := question.choose("gender", ("1", "2")):
        fields["gender"] = int(gender)
    if (open_type := question.choose("opentype", ("0", "1", "2"))) not in (None, "0"):
        fields["open_type"] = int(open_type)
    if "slave" in question.request.params:
        fields["slaves"] = _slaves(question)
    if "partypath" in question.request.params:
        fields["parties"] = tuple(write(path) for path in _paths(question))
    md5 = question.choose("md5", ("0", "1")) == "1"
    # Read as it was sent: blanks at its ends belong to a password.
    if passwords := question.request.params.get("password"):
        fields["password_md5"] = _password(passwords[0], md5=md5)
    return fields


def _slaves(question: Question) -> tuple[str, ...]:
    slaves = tuple(dict.fromkeys(normal(slave) for slave in question.values("slave")))
    if len(slaves) > MOST_SLAVES:
        raise Refusal(INVALID_REQUEST)
    if any(question.world.roster.kind_of(slave) is AddressKind.INVALID for slave in slaves):
        raise Refusal(INVALID_REQUEST)
    return slaves


def _paths(question: Question) -> list[Path]:
    try:
        return [path for text in question.values("partypath") if (path := parse(text)) != ROOT]
    except BadPath as error:
        raise Refusal(INVALID_REQUEST) from error


def _password(text: str, *, md5: bool) -> str:
    if md5:
        if _HEX_DIGITS.fullmatch(text) is None:
            raise Refusal(BAD_PASSWORD)
        return text.lower()
    if len(text) not in PASSWORD_CHARACTERS:
        raise Refusal(BAD_PASSWORD)
    return digest(text)


def _judge(question: Question, fields: Mapping[str, Any], *, own: tuple[str, ...]) -> None:
    """Check what was sent against what there is; ``own`` are the slaves that the account has already."""
    roster = question.world.roster
    if any(slave not in own and roster.kind_of(slave) is not AddressKind.FREE for slave in fields.get("slaves", ())):
        raise Refusal(ADDRESS_EXISTS)
    if not all(roster.parties.takes_members(parse(party)) for party in fields.get("parties", ())):
        raise Refusal(PARTY_NOT_FOUND)
