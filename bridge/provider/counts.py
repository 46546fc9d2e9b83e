"""The port by which the bridge asks how many mails are unread."""

from __future__ import annotations

from typing import Protocol


class Counts(Protocol):
    """A source of unread counts."""

    async def unread(self, mailbox: str) -> int:
        """How many mails of a mailbox are unread.

        Raises:
            NotFound: there is no such account.
            ProviderError
        """
