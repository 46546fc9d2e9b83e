"""What this edge can tell about who looks at a mailbox, and who did: for ``why``, not for browsers.

No address of a client and no token: an operator who asks why somebody was not told needs neither.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from bridge.edge.audience import Audience
from bridge.journal.errors import JournalError
from bridge.journal.inquiry import Inquiries, read_question

log = logging.getLogger(__name__)


class Witness:
    """Answers inquiries from memory. ``name`` is this process's, for people."""

    def __init__(self, name: str, audience: Audience, inquiries: Inquiries) -> None:
        self._name = name
        self._audience = audience
        self._inquiries = inquiries
        self._answering: set[asyncio.Task[None]] = set()

    def asked(self, payload: bytes) -> None:
        """A question came; answer it in a task of its own."""
        question = read_question(payload)
        if question is not None:
            task = asyncio.create_task(self._answer(*question), name="testimony")
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def _answer(self, id: str, mailbox: str) -> None:
        try:
            await self._inquiries.answer(id, self.knows(mailbox))
        except JournalError as error:
            log.warning("inquiry not answered", extra={"error": str(error)})

    def knows(self, mailbox: str) -> dict[str, Any]:
        """Open connections, and the last ones that ended. Times in epoch ms."""
        audience = self._audience
        return {
            "edge": self._name,
            "open": [
                {
                    "transport": subscriber.transport_name,
                    "since": int(subscriber.since * 1000),
                    "position": str(subscriber.position),
                    "unsent": 0 if subscriber.transport is None else subscriber.transport.get_write_buffer_size(),
                }
                for subscriber in audience.of(mailbox)
            ],
            "ended": [
                {
                    "transport": left.transport,
                    "since": int(left.since * 1000),
                    "until": int(left.until * 1000),
                    "position": str(left.position),
                    "code": left.code,
                }
                for left in audience.left_of(mailbox)
            ],
        }
