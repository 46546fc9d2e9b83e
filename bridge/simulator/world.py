"""The truth: accounts, mails, unread counts and the directory's history of one simulated corporation.

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

from .account import Account, Action, DirectoryEntry
from .letters import Letters, invent_account
from .mail import Mail, UnreadCount
from .seeded import seeded
from .tokens import TokenDesk

Change = Mail | UnreadCount | DirectoryEntry
Watcher = Callable[[Sequence[Change]], None]

_ID_ALPHABET = ascii_letters + digits + "_-"


class World:
    """One corporation. The same seed and the same clock give the same world, letter by letter.

    ``users`` accounts exist from the start, the first is always ``bob@<domain>``. ``now`` gives epoch seconds.
    ``mails_kept`` bounds the memory of a long bench (None: every mail is remembered). MailIds, tokens and Ver come
    from the clock too, so that a restarted simulator does not repeat those of the run before.

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
        self._accounts: dict[str, Account] = {}
        self._aliases: list[str] = []
        self._unread: dict[str, int] = {}
        self._mails: deque[Mail] = deque(maxlen=mails_kept)
        self._directory: list[DirectoryEntry] = []
        self._ver = started_ms - users
        self._watchers: list[Watcher] = []
        for number in range(users):
            self._found(number)

    def _found(self, number: int) -> None:
        alias = f"bob@{self.domain}"
        bob = Account(alias=alias, name="Bob", gender=1, position="engineer", parties=("广州研发中心/企业邮箱",))
        account = bob if number == 0 else invent_account(self._random, domain=self.domain, taken=self._accounts)
        self._accounts[account.alias] = account
        self._aliases.append(account.alias)
        self._unread[account.alias] = self._random.randrange(30)
        self._ver += 1
        self._directory.append(DirectoryEntry(self._ver, Action.ADD, account.alias))

    # What is true now.

    @property
    def accounts(self) -> Mapping[str, Account]:
        """The accounts that exist, by alias."""
        return self._accounts

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
        return self._directory

    @property
    def ver(self) -> int:
        """The stamp of the newest directory change, milliseconds, strictly growing."""
        return self._ver

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
        return self._accounts.get(address.strip().lower())

    def mails_of(self, mailbox: str) -> list[Mail]:
        """The remembered mails of one mailbox, oldest first."""
        return [mail for mail in self._mails if mail.mailbox == mailbox]

    def directory_since(self, ver: int) -> list[DirectoryEntry]:
        """The changes after ``ver``, oldest first; an alias may occur several times."""
        return [entry for entry in self._directory if entry.ver > ver]

    def truth(self) -> dict[str, Any]:
        """All of it as JSON values, for a test in another process."""
        mails: dict[str, list[dict[str, Any]]] = {}
        for mail in self._mails:
            fact = {"mail_id": mail.mail_id, "subject": mail.subject, "unread": mail.unread, "pushed": mail.pushed}
            mails.setdefault(mail.mailbox, []).append({**fact, "sender": mail.sender, "time_s": mail.time_s})
        return {
            "ver": self._ver,
            "accounts": list(self._accounts.values()),
            "unread": dict(self._unread),
            "mails": mails,
            "directory": self._directory,
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
            ValueError: the alias exists.
        """
        account = invent_account(self._random, domain=self.domain, taken=self._accounts)
        if alias is not None:
            account = replace(account, alias=alias.strip().lower(), slaves=())
        account = replace(account, **fields)
        if account.alias in self._accounts:
            raise ValueError(f"{account.alias} exists")
        self._aliases.append(account.alias)
        self._unread[account.alias] = 0
        self._accounts[account.alias] = account
        self._log(Action.ADD, account.alias)
        return account

    def modify_user(self, alias: str, **fields: Any) -> Account:
        """Change fields of an account.

        Raises:
            KeyError: no account has this alias.
        """
        account = self._accounts[alias] = replace(self._accounts[alias], **fields)
        self._log(Action.MOD, alias)
        return account

    def delete_user(self, alias: str) -> None:
        """Remove an account with its mailbox; ``user/get`` answers 1301 from now on.

        Raises:
            KeyError: no account has this alias.
            ValueError: it is the last one.
        """
        if self._aliases == [alias]:
            raise ValueError("a world has at least one account")
        del self._accounts[alias], self._unread[alias]
        self._aliases.remove(alias)
        self._log(Action.DEL, alias)

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

    def _log(self, action: Action, alias: str) -> None:
        self._ver = max(int(self._now() * 1000), self._ver + 1)
        entry = DirectoryEntry(self._ver, action, alias)
        self._directory.append(entry)
        self._tell([entry])

    def _tell(self, changes: Sequence[Change]) -> None:
        for watcher in tuple(self._watchers):
            watcher(changes)
