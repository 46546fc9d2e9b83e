"""What the bridge asks of its provider, asked of BizMail: pushes, counts, logins. Members are in :mod:`.members`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..pushes import Push
from .client import ProviderClient
from .listen import ListenSession
from .pushes import NAMES, parse_push


class BizMailSource:
    """Pushes come from ``openapi/listen`` (protocol 3.2)."""

    names = NAMES

    def __init__(self, client: ProviderClient) -> None:
        self._client = client

    def listen(self, *, cursor: Callable[[], int], silence_s: float) -> ListenSession:
        """One listen session."""
        return self._client.listen(ver=cursor, silence_s=silence_s)

    def record(self, seconds: float) -> None:
        """Keep what comes from now on."""
        self._client.recorder.start(seconds)

    def recorded(self) -> Sequence[Mapping[str, Any]] | None:
        """What was kept, safe to hand on."""
        return self._client.recorder.lines()

    def read(self, document: bytes) -> Sequence[Push]:
        """Read one document of the stream; never raises."""
        return parse_push(document)


class BizMailCounts:
    """Counts come from ``mail/newcount`` (protocol 3.3.4)."""

    def __init__(self, client: ProviderClient) -> None:
        self._client = client

    async def unread(self, mailbox: str) -> int:
        """How many mails of a mailbox are unread.

        Raises:
            NotFound: there is no such account.
            ProviderError
        """
        return await self._client.newcount(mailbox)


class BizMailLogin:
    """A key asked for one click, and the address that it opens (protocol 3.1.1, 3.1.2)."""

    def __init__(self, client: ProviderClient) -> None:
        self._client = client

    async def link(self, account: str, mail_id: str) -> str:
        """The address that opens ``account`` once, at a mail or (``""``) at the inbox.

        Raises:
            ProviderError: the provider gave no key.
        """
        key = await self._client.authkey(account)
        return self._client.login_url(account, ticket=key, mail_id=mail_id or None)
