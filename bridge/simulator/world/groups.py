"""Mail groups (邮件群组): their state, their members, and who may write to them (protocol 3.3.9–3.3.13).

The API writes groups and never reads them back, so what is here can be seen only in the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class GroupStatus(StrEnum):
    """Who may write to a group (protocol 3.3.9)."""

    ALL = "all"
    INNER = "inner"
    GROUP = "group"
    LIST = "list"


class NoAllowList(ValueError):
    """Only a group with the status ``list`` has an allow list, and it cannot be emptied (protocol 3.3.12, 3.3.13)."""


@dataclass(frozen=True, slots=True)
class Group:
    """One group. ``address`` is its ``group_admin`` when it is made and its ``group_alias`` later."""

    address: str
    name: str
    status: GroupStatus
    members: tuple[str, ...] = ()
    allow_list: tuple[str, ...] = ()


class Groups:
    """All groups of the corporation. Members and allow lists hold addresses, whatever these are."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    @property
    def all(self) -> Mapping[str, Group]:
        """The groups by address, oldest first."""
        return self._groups

    def put(self, group: Group) -> None:
        """Make a group, or change it as the administrator's web page would, by no rule."""
        self._groups[group.address] = group

    def delete(self, address: str) -> None:
        """Remove a group.

        Raises:
            KeyError: there is none.
        """
        del self._groups[address]

    def add_members(self, address: str, members: Iterable[str]) -> None:
        """Add members; who is one already stays one.

        Raises:
            KeyError: there is no such group.
        """
        group = self._groups[address]
        self.put(replace(group, members=_joined(group.members, members)))

    def remove_members(self, address: str, members: Iterable[str]) -> None:
        """Remove members, all of those or none.

        Raises:
            KeyError: there is no such group, or somebody is not in it.
        """
        group = self._groups[address]
        self.put(replace(group, members=_without(group.members, members)))

    def allow(self, address: str, senders: Iterable[str]) -> None:
        """Add to the allow list.

        Raises:
            KeyError: there is no such group.
            NoAllowList: its status is not ``list``.
        """
        group = self._listed(address)
        self.put(replace(group, allow_list=_joined(group.allow_list, senders)))

    def disallow(self, address: str, senders: Iterable[str]) -> None:
        """Take from the allow list, all of those or none.

        Raises:
            KeyError: there is no such group, or somebody is not on its list.
            NoAllowList: its status is not ``list``, or nobody would be left.
        """
        group = self._listed(address)
        left = _without(group.allow_list, senders)
        if not left:
            raise NoAllowList(f"the allow list of {address} cannot be emptied")
        self.put(replace(group, allow_list=left))

    def forget(self, address: str) -> None:
        """An account is gone: it is in no group any more, and an allow list may end empty by that."""
        for group in tuple(self._groups.values()):
            members = tuple(member for member in group.members if member != address)
            allow_list = tuple(sender for sender in group.allow_list if sender != address)
            self.put(replace(group, members=members, allow_list=allow_list))

    def _listed(self, address: str) -> Group:
        group = self._groups[address]
        if group.status is not GroupStatus.LIST:
            raise NoAllowList(f"the status of {address} is {group.status}")
        return group


def _joined(old: Iterable[str], new: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*old, *new]))


def _without(old: tuple[str, ...], gone: Iterable[str]) -> tuple[str, ...]:
    gone = frozenset(gone)
    if strangers := gone - frozenset(old):
        raise KeyError(min(strangers))
    return tuple(address for address in old if address not in gone)
