"""The truth: the roster, mails, unread counts, tokens and auth keys of one simulated corporation.

Tests compare what the bridge says with what is here. Nothing in this file knows about sockets: the simulator
watches the world and tells its listeners, as the real provider's mail store does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from string import ascii_letters, digits
from typing import Any

from bridge.simulator.seeded import seeded
from bridge.simulator.world.account import Account, DirectoryEntry
from bridge.simulator.world.addresses import normal
from bridge.simulator.world.auth_keys import AuthKeys
from bridge.simulator.world.letters import Letters, invent_account
from bridge.simulator.world.mail import Mail, UnreadCount
from bridge.simulator.world.parties import parse, write
from bridge.simulator.world.roster import Roster
from bridge.simulator.world.tokens import TokenDesk

Change = Mail | UnreadCount | DirectoryEntry
Watcher = Callable[[Sequence[Change]], None]

_ID_ALPHABET = ascii_letters + digits + "_-"


class World:
    """One corporation. The same seed and the same clock give the same world, letter by letter.

    ``users`` accounts exist from the start, the first is always ``bob@<domain>``. ``now`` gives epoch seconds.
    ``mails_kept`` bounds the memory of a long bench (None: every mail is remembered). MailIds, tokens and Ver come
    from the clock too, so that a restarted simulator does not repeat those of the run before. ``roster`` knows the
    accounts, parties and groups; ``tokens`` and ``auth_keys`` who may come in.

    Raises:
        ValueError: no ``users``.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        users: int = 20,
        domain: str = "gzdev.com",
        client_id: str = "simulated",
        client_secret: str | None = None,
        now: Callable[[], float] = time.time,
        mails_kept: int | None = None,
    ) -> None:
        if users < 1:
            raise ValueError("a world has at least one account")
        started_ms = int(now() * 1000)
        self.seed = seed
        self.domain = domain
        self._now = now
        self._random = seeded(seed, "world")
        self._ids = seeded(seed, started_ms, "ids")
        self._letters = Letters(seeded(seed, "letters"))
        self.tokens = TokenDesk(
            client_id=client_id,
            client_secret=client_secret or f"{seeded(seed, 'secret').getrandbits(128):032x}",
            random=seeded(seed, started_ms, "tokens"),
            now=now,
        )
        self.auth_keys = AuthKeys(random=seeded(seed, started_ms, "auth keys"), now=now)
        self.roster = Roster(domain=domain, ver=started_ms - users, now=now, told=self._tell)
        self._aliases: list[str] = []
        self._unread: dict[str, int] = {}
        self._mails: deque[Mail] = deque(maxlen=mails_kept)
        self._watchers: list[Watcher] = []
        for number in range(users):
            self._found(number)

    def _found(self, number: int) -> None:
        alias = f"bob@{self.domain}"
        bob = Account(alias=alias, name="Bob", gender=1, position="engineer", parties=("广州研发中心/企业邮箱",))
        account = bob if number == 0 else invent_account(self._random, domain=self.domain, taken=self.accounts)
        self._aliases.append(account.alias)
        self._unread[account.alias] = self._random.randrange(30)
        self.roster.found(account)

    # What is true now.

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts that exist, by alias."""
        return self.roster.accounts

    @property
    def unread(self) -> Mapping[str, int]:
        """The unread count of every account."""
        return self._unread

    @property
    def mails(self) -> Sequence[Mail]:
        """The remembered mails, oldest first."""
        return self._mails

    @property
    def directory(self) -> Sequence[DirectoryEntry]:
        """Every change of the directory, oldest first."""
        return self.roster.history

    @property
    def ver(self) -> int:
        """The stamp of the newest directory change, milliseconds, strictly growing."""
        return self.roster.ver

    @property
    def client_id(self) -> str:
        """The client id that gets a token."""
        return self.tokens.client_id

    @property
    def client_secret(self) -> str:
        """The interface key that belongs to it."""
        return self.tokens.client_secret

    def account(self, address: str) -> Account | None:
        """The account whose main address this is, in any case of letters; slaves do not count (protocol 3.3.1)."""
        return self.accounts.get(normal(address))

    def age_s(self, alias: str) -> float:
        """For how many seconds an account has been there."""
        return self._now() - self.roster.added_at_s(alias)

    def mails_of(self, mailbox: str) -> list[Mail]:
        """The remembered mails of one mailbox, oldest first."""
        return [mail for mail in self._mails if mail.mailbox == mailbox]

    def directory_since(self, ver: int) -> list[DirectoryEntry]:
        """The changes after ``ver``, oldest first; an alias may occur several times."""
        return [entry for entry in self.directory if entry.ver > ver]

    def truth(self) -> dict[str, Any]:
        """All of it as JSON values, for a test in another process."""
        mails: dict[str, list[dict[str, Any]]] = {}
        for mail in self._mails:
            fact = {"mail_id": mail.mail_id, "subject": mail.subject, "unread": mail.unread, "pushed": mail.pushed}
            mails.setdefault(mail.mailbox, []).append({**fact, "sender": mail.sender, "time_s": mail.time_s})
        return {
            "ver": self.ver,
            "accounts": list(self.accounts.values()),
            "unread": dict(self._unread),
            "mails": mails,
            "directory": self.directory,
            "parties": self.roster.parties.paths,
            "pending_parties": [
                {"action": waiting.action, "dst": write(waiting.dst), "src": write(waiting.src)}
                for waiting in self.roster.parties.pending
            ],
            "groups": list(self.roster.groups.all.values()),
            "auth_keys": self.auth_keys.all,
        }

    # What happens.

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call ``watcher`` with every batch of changes from now on; the answer ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def deliver_mail(
        self,
        mailbox: str | None = None,
        *,
        sender: str | None = None,
        receiver: str | None = None,
        subject: str | None = None,
        summary: str | None = None,
        mail_id: str | None = None,
        user_name: str | None = None,
    ) -> Mail:
        """A mail comes; what is not given is invented.

        Give the ``mail_id`` of another mail for a second recipient of it, or for a push that repeats itself.

        Raises:
            KeyError: no account has this alias.
        """
        mail = self._compose(mailbox or self._any_alias())
        mail.sender = mail.sender if sender is None else sender
        mail.receiver = mail.receiver if receiver is None else receiver
        mail.subject = mail.subject if subject is None else subject
        mail.summary = mail.summary if summary is None else summary
        mail.mail_id = mail.mail_id if mail_id is None else mail_id
        mail.user_name = mail.user_name if user_name is None else user_name
        self._tell([mail])
        return mail

    def deliver_many(self, n: int, mailbox: str | None = None) -> list[Mail]:
        """``n`` mails come at once, to one mailbox or to any; listeners are told in one write."""
        mails = [self._compose(mailbox or self._any_alias()) for _ in range(n)]
        self._tell(mails)
        return mails

    def read(self, mailbox: str, n: int = 1) -> int:
        """Somebody reads up to ``n`` mails; returns what is left unread. Nothing unread: nothing happens."""
        before = self._unread[mailbox]
        left = max(0, before - n)
        if left != before:
            self._unread[mailbox] = left
            self._tell([UnreadCount(mailbox, left)])
        return left

    def read_all(self, mailbox: str) -> None:
        """Somebody reads the whole mailbox."""
        self.read(mailbox, self._unread[mailbox])

    def add_user(self, alias: str | None = None, **fields: Any) -> Account:
        """A new account, invented where nothing is given.

        Raises:
            ValueError: the alias exists, or a party cannot.
        """
        account = invent_account(self._random, domain=self.domain, taken=self.accounts)
        if alias is not None:
            account = replace(account, alias=normal(alias), slaves=())
        return self.enrol(replace(account, **fields))

    def enrol(self, account: Account) -> Account:
        """Exactly this account is new, with an empty mailbox; parties that it names and that do not exist are made.

        Raises:
            ValueError: the alias exists, or a party cannot.
        """
        if account.alias in self.accounts:
            raise ValueError(f"{account.alias} exists")
        _check_parties(account)
        self._aliases.append(account.alias)
        self._unread[account.alias] = 0
        self.roster.add(account)
        return self.accounts[account.alias]

    def modify_user(self, alias: str, **fields: Any) -> Account:
        """Change fields of an account; parties that do not exist are made.

        Raises:
            KeyError: no account has this alias.
            ValueError: a party cannot exist.
        """
        account = replace(self.accounts[alias], **fields)
        _check_parties(account)
        self.roster.modify(account)
        return self.accounts[alias]

    def delete_user(self, alias: str) -> None:
        """Remove an account with its mailbox; ``user/get`` answers 1301 from now on.

        Raises:
            KeyError: no account has this alias.
            ValueError: it is the last one.
        """
        if self._aliases == [alias]:
            raise ValueError("a world has at least one account")
        del self._unread[alias]
        self._aliases.remove(alias)
        self.roster.remove(alias)

    def swap_alias(self, alias: str, slave: str) -> None:
        """A slave becomes the main address; mails that have come keep the name that their mailbox had then.

        Raises:
            KeyError: no account has this alias, or it has no such slave.
        """
        if slave not in self.accounts[alias].slaves:
            raise KeyError(slave)
        self._unread[slave] = self._unread.pop(alias)
        self._aliases[self._aliases.index(alias)] = slave
        self.roster.swap(alias, slave)

    def expire_tokens(self) -> None:
        """Every token ends now; the next call answers 1200."""
        self.tokens.expire()

    def _any_alias(self) -> str:
        return self._aliases[int(self._random.random() * len(self._aliases))]

    def _compose(self, mailbox: str) -> Mail:
        unread = self._unread[mailbox] = self._unread[mailbox] + 1
        letter = self._letters.write()
        mail_id = f"ZC{self.seed % 10_000:04d}-{''.join(self._ids.choices(_ID_ALPHABET, k=24))}"
        mail = Mail(
            mailbox, mail_id, letter.sender, mailbox, letter.subject, letter.summary, unread, self._now(), mailbox
        )
        self._mails.append(mail)
        return mail

    def _tell(self, changes: Sequence[Change]) -> None:
        for watcher in tuple(self._watchers):
            watcher(changes)


def _check_parties(account: Account) -> None:
    # Before anything is changed: half an account would be worse than none.
    for party in account.parties:
        parse(party)
