"""A browser that stays: it reconnects with its last position until told to stop, and keeps what it saw."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from tests.support.browser_side import OPENERS, HandshakeRefused
from tests.support.stage import bearer

PATHS = {"websocket": "/ws", "sse": "/events"}
SILENCE_S = 60.0
"""How long a browser waits for an answer or a frame before it tries another connection, as ``/client.js`` does."""
_PAUSE_S = 0.05


class Follower:
    """Follows one mailbox over one transport. ``events`` are in the order in which they came. ``url``: where it comes
    to, the next time too, without a slash at its end."""

    def __init__(self, url: str, transport: str, mailbox: str) -> None:
        self.url = url
        self.transport = transport
        self.mailbox = mailbox
        self.position: str | None = None
        self.events: list[dict[str, Any]] = []
        self.snapshots: list[dict[str, Any]] = []
        self.unread: int | None = None
        self.news = asyncio.Event()

    @property
    def mail_ids(self) -> list[str]:
        return [event["data"]["mail_id"] for event in self.events if event["type"] == "exmail.mail.new"]

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            with suppress(OSError, EOFError, HandshakeRefused, asyncio.IncompleteReadError, TimeoutError):
                await self._once()
            await asyncio.sleep(_PAUSE_S)

    async def _once(self) -> None:
        query = f"?after={self.position}" if self.position else ""
        path = urlsplit(self.url).path + PATHS[self.transport]
        async with asyncio.timeout(SILENCE_S):
            opened = await OPENERS[self.transport](self.url, path + query, **bearer(self.mailbox))
        async with opened as client:
            while True:
                frame = await client.frame(within_s=SILENCE_S)
                if frame.type == "exmail.snapshot":
                    self.snapshots.append(frame.data["data"])
                    self.position = frame.data["data"]["position"]
                    self.unread = frame.data["data"]["unread"]
                elif "id" in frame.data:
                    self.events.append(frame.data)
                    self.position = frame.data["id"]
                    # A mail may come without a count, and what was missed has none.
                    if frame.data["data"].get("unread") is not None:
                        self.unread = frame.data["data"]["unread"]
                self.news.set()
