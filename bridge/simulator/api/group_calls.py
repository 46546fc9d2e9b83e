"""The six calls that write mail groups (protocol 3.3.9–3.3.13); none of them can be read back.

Which errcode an unknown group or a member who does not exist is refused with is not known: 1301 here, as for any
other address that nobody has.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.simulator.api.question import ADDRESS_EXISTS, INVALID_REQUEST, USER_NOT_FOUND, Question, Refusal
from bridge.simulator.world.addresses import AddressKind, normal
from bridge.simulator.world.groups import Group, GroupStatus, NoAllowList


def add(question: Question) -> None:
    """``openapi/group/add`` (protocol 3.3.9): ``group_admin`` is the new address of the group itself."""
    name = question.require("group_name")
    address = normal(question.require("group_admin"))
    status = GroupStatus(question.choose("status", frozenset(GroupStatus)) or question.require("status"))
    kind = question.world.roster.kind_of(address)
    if kind is AddressKind.INVALID:
        raise Refusal(INVALID_REQUEST)
    if kind is not AddressKind.FREE:
        raise Refusal(ADDRESS_EXISTS)
    members = _known(question, question.values("members"))
    question.world.roster.groups.put(Group(address, name, status, members))


def delete(question: Question) -> None:
    """``openapi/group/delete`` (protocol 3.3.10)."""
    question.world.roster.groups.delete(_group(question))


def add_member(question: Question) -> None:
    """``openapi/group/addmember`` (protocol 3.3.10, second of that number)."""
    members = question.require_values("members")
    question.world.roster.groups.add_members(_group(question), _known(question, members))


def delete_member(question: Question) -> None:
    """``openapi/group/deletemember`` (protocol 3.3.11)."""
    members = question.require_values("members")
    address = _group(question)
    try:
        question.world.roster.groups.remove_members(address, map(normal, members))
    except KeyError as error:
        raise Refusal(USER_NOT_FOUND) from error


def add_allow_list(question: Question) -> None:
    """``openapi/group/addallowlist`` (protocol 3.3.12): commas, and only for a group whose status is ``list``."""
    senders = _senders(question)
    address = _group(question)
    try:
        question.world.roster.groups.allow(address, _known(question, senders))
    except NoAllowList as error:
        raise Refusal(INVALID_REQUEST) from error


def delete_allow_list(question: Question) -> None:
    """``openapi/group/delallowlist`` (protocol 3.3.13): somebody stays on it."""
    senders = _senders(question)
    address = _group(question)
    try:
        question.world.roster.groups.disallow(address, map(normal, senders))
    except KeyError as error:
        raise Refusal(USER_NOT_FOUND) from error
    except NoAllowList as error:
        raise Refusal(INVALID_REQUEST) from error


def _group(question: Question) -> str:
    address = normal(question.require("group_alias"))
    if address not in question.world.roster.groups.all:
        raise Refusal(USER_NOT_FOUND)
    return address


def _senders(question: Question) -> list[str]:
    lists = question.require_values("allow_list")
    if not (senders := [sender for text in lists for part in text.split(",") if (sender := part.strip())]):
        raise Refusal(INVALID_REQUEST)
    return senders


def _known(question: Question, addresses: Iterable[str]) -> tuple[str, ...]:
    known = tuple(dict.fromkeys(normal(address) for address in addresses))
    if any(question.world.roster.kind_of(address) <= AddressKind.FREE for address in known):
        raise Refusal(USER_NOT_FOUND)
    return known
