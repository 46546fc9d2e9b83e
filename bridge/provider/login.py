"""The port by which the bridge opens a mailbox for its owner."""

from __future__ import annotations

from typing import Protocol


class Login(Protocol):
    """Where a click gets in."""

    async def link(self, account: str, mail_id: str) -> str:
        """The address that opens ``account`` once, at a mail or (``""``) at the inbox; made for this click alone.

        Whoever sees it can use it: never log, store or publish it.

        Raises:
            ProviderError: the provider gave no key.
        """
