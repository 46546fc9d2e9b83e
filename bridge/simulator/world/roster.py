"""The roster: accounts, parties and groups, and the history of the accounts under growing Vers.

One address means one thing, and every account is in parties that exist: both are kept here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace

from bridge.simulator.world.account import Account, Action, DirectoryEntry
from bridge.simulator.world.addresses import AddressKind, is_possible, normal
from bridge.simulator.world.groups import Groups
from bridge.simulator.world.parties import ROOT, Parties, PartyWrite, Path, parse, write


class Roster:
    """Who there is. ``ver`` is the stamp before the first entry, ``now`` gives epoch seconds.

    ``told`` is called with the new entries of every change, after it.
    """

    def __init__(
        self, *, domain: str, ver: int, now: Callable[[], float], told: Callable[[Sequence[DirectoryEntry]], None]
    ) -> None:
        self._domain = domain
        self._ver = ver
        self._now = now
        self._told = told
        self._accounts: dict[str, Account] = {}
        self._disabled: set[str] = set()
        self._added_at_s: dict[str, float] = {}
        self._history: list[DirectoryEntry] = []
        self.parties = Parties(now=now)
        self.groups = Groups()

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts that exist, by alias."""
        return self._accounts

    @property
    def disabled(self) -> Set[str]:
        """The aliases of the accounts that are switched off."""
        return self._disabled

    @property
    def history(self) -> Sequence[DirectoryEntry]:
        """Every change of an account, oldest first."""
        return self._history

    @property
    def ver(self) -> int:
        """The stamp of the newest change, milliseconds, strictly growing."""
        return self._ver

    def added_at_s(self, alias: str) -> float:
        """When an account was added, epoch seconds; 0 if it was there before anybody looked."""
        return self._added_at_s.get(alias, 0.0)

    def kind_of(self, address: str) -> AddressKind:
        """What an address is (protocol 3.3.8)."""
        address = normal(address)
        if address in self._accounts:
            return AddressKind.ACCOUNT
        if address in self.groups.all:
            return AddressKind.GROUP
        if any(address in account.slaves for account in self._accounts.values()):
            return AddressKind.SLAVE
        return AddressKind.FREE if is_possible(address, self._domain) else AddressKind.INVALID

    def members_of(self, party: Path) -> list[str]:
        """The aliases in a party itself, not below it; the root has those who are in no other.

        Raises:
            NoSuchParty: it cannot be seen.
        """
        self.parties.require(party)
        name = write(party)
        return [
            account.alias
            for account in self._accounts.values()
            if (name in account.parties if party != ROOT else not account.parties)
        ]

    # Accounts.

    def found(self, account: Account) -> None:
        """An account that was there before anybody looked: with an entry, and nobody is told."""
        self._put(account)
        self._enter(self._ver + 1, Action.ADD, account.alias)

    def add(self, account: Account) -> None:
        """A new account; parties that it names and that do not exist are made."""
        self._put(account)
        self._added_at_s[account.alias] = self._now()
        self._log([(Action.ADD, account.alias)])

    def modify(self, account: Account) -> None:
        """Another profile for an account; parties that it names and that do not exist are made."""
        self._put(account)
        self._log([(Action.MOD, account.alias)])

    def modify_unseen(self, account: Account) -> None:
        """Change what is no part of the profile, so that no Ver moves."""
        self._put(account)

    def remove(self, alias: str) -> None:
        """An account ends; its addresses are free, and groups do not know them any more."""
        account = self._accounts.pop(alias)
        self._disabled.discard(alias)
        for address in (alias, *account.slaves):
            self.groups.forget(address)
        self._log([(Action.DEL, alias)])

    def swap(self, alias: str, slave: str) -> None:
        """A slave becomes the main address and the old one a slave; groups keep the address that they know.

        Raises:
            KeyError: no such account, or it has no such slave.
        """
        account = self._accounts[alias]
        if slave not in account.slaves:
            raise KeyError(slave)
        slaves = tuple(alias if other == slave else other for other in account.slaves)
        del self._accounts[alias]
        self._disabled.discard(alias)
        self._put(replace(account, alias=slave, slaves=slaves))
        self._log([(Action.DEL, alias), (Action.ADD, slave)])

    # Parties.

    def change_party(self, asked: PartyWrite, *, delay_s: float = 0.0) -> None:
        """Accept a write to the tree of parties, which shows ``delay_s`` later; 0 shows it and all before it now.

        Raises:
            BadPath, NoSuchParty, PartyExists, PartyInUse: see `Parties.accept`; nothing was changed.
        """
        occupied = (parse(party) for account in self._accounts.values() for party in account.parties)
        self.parties.accept(asked, occupied=occupied, delay_s=delay_s)
        if delay_s <= 0:
            self.settle(everything=True)

    def settle(self, *, everything: bool = False) -> None:
        """Let those writes show that the clock has made due, or all; members follow a party that moved."""
        for shown in self.parties.show(everything=everything):
            if shown.action is Action.MOD:
                self._follow(shown)

    def _follow(self, shown: PartyWrite) -> None:
        moved = []
        for account in tuple(self._accounts.values()):
            parties = tuple(write(shown.moved(parse(party))) for party in account.parties)
            if parties != account.parties:
                self._accounts[account.alias] = replace(account, parties=parties)
                moved.append((Action.MOD, account.alias))
        self._log(moved)

    def _put(self, account: Account) -> None:
        paths = [path for party in account.parties if (path := parse(party)) != ROOT]
        if not all(self.parties.takes_members(path) for path in paths):
            self.settle(everything=True)
            for path in paths:
                if not self.parties.takes_members(path):
                    self.change_party(PartyWrite(Action.ADD, path))
        parties = tuple(dict.fromkeys(map(write, paths)))
        self._accounts[account.alias] = replace(account, parties=parties)
        if account.disabled:
            self._disabled.add(account.alias)
        else:
            self._disabled.discard(account.alias)

    # History.

    def _log(self, changes: Iterable[tuple[Action, str]]) -> None:
        now_ms = int(self._now() * 1000)
        entries = [self._enter(max(now_ms, self._ver + 1), action, alias) for action, alias in changes]
        if entries:
            self._told(entries)

    def _enter(self, ver: int, action: Action, alias: str) -> DirectoryEntry:
        self._ver = ver
        entry = DirectoryEntry(ver, action, alias)
        self._history.append(entry)
        return entry
