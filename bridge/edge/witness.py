"""Answer inquiries to this edge: which connections a mailbox has and had, for ``why``; what this process knows of the
journal, for a worker that begins to lead; how this process is, for ``status``; whom it admits to the reserved stream.

Answers contain no client address and no token, because nobody who asks needs them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from heapq import nsmallest
from typing import Any, Final

from bridge.edge.canary import Passes
from bridge.edge.cursor import Cursor
from bridge.edge.hub import Hub
from bridge.edge.recollection import Recollection
from bridge.journal.errors import JournalError
from bridge.journal.inquiry import Answer, Inquiries, Question, memory_as_answer, read_question

log = logging.getLogger(__name__)

_TOLD_MOST: Final = 100
"""So many connections of a mailbox are told of by their place, and as many by their age: thousands may have it open."""


class Witness:
    """Answers inquiries from memory. ``name`` and ``version`` identify this process to people."""

    def __init__(
        self, name: str, version: str, hub: Hub, recollection: Recollection, inquiries: Inquiries, passes: Passes
    ) -> None:
        self._name = name
        self._version = version
        self._hub = hub
        self._recollection = recollection
        self._inquiries = inquiries
        self._passes = passes
        self._since = hub.wall()
        self._answering: set[asyncio.Task[None]] = set()

    def asked(self, payload: bytes) -> None:
        """Answer a question, in a task of its own, with what is known now."""
        question = read_question(payload)
        if question is None:
            return
        task = asyncio.create_task(self._answer(question.id, self._answer_to(question)), name="testimony")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def _answer_to(self, question: Question) -> Answer:
        match question.about:
            case "memory":
                return memory_as_answer(self._recollection.tell())
            case "edge":
                return self.describes_itself()
            case "canary":
                self._passes.admit(question.digest)
                return {"edge": self._name, "version": self._version}
            case "mailbox":
                return self.knows(question.mailbox)

    async def _answer(self, id: str, answer: Answer) -> None:
        try:
            await self._inquiries.answer(id, answer)
        except JournalError as error:
            log.warning("inquiry not answered", extra={"error": str(error)})

    def describes_itself(self) -> dict[str, Any]:
        """How this process is. ``since`` and ``clock``, what this machine's clock shows now, in epoch ms, ``unsent`` in
        bytes."""
        everybody = self._hub.everybody()
        return {
            "edge": self._name,
            "version": self._version,
            "since": int(self._since * 1000),
            "clock": int(self._hub.wall() * 1000),
            "connections": {
                transport: sum(each.transport_name == transport for each in everybody)
                for transport in ("websocket", "sse")
            },
            "mailboxes": len({cursor.ring.mailbox for cursor in self._hub.cursors()}),
            "behind": len(self._hub.behind),
            "unsent": sum(_unsent(each.transport) for each in self._hub.behind),
        }

    def knows(self, mailbox: str) -> dict[str, Any]:
        """A mailbox's open connections, and the latest that ended. Times in epoch ms.

        ``opened``: by Redis's clock, as events are stamped; the others by this machine's. ``after``: the position that
        the client came with. ``open_in_all``: where many have it open, only those are described from which it follows
        what the others were sent.
        """
        hub = self._hub
        everybody = hub.of(mailbox)
        return {
            "edge": self._name,
            "open_in_all": len(everybody),
            "open": [
                {
                    "transport": cursor.connection.transport_name,
                    "opened": cursor.opened_at,
                    "after": cursor.told.decode(),
                    "since": int(cursor.connection.since * 1000),
                    "position": str(cursor.position),
                    "unsent": _unsent(cursor.connection.transport),
                }
                for cursor in _telling(everybody)
            ],
            "ended": [
                {
                    "transport": left.transport,
                    "opened": left.opened_at,
                    "after": left.told.decode(),
                    "since": int(left.since * 1000),
                    "until": int(left.until * 1000),
                    "position": str(left.position),
                    "code": left.code,
                }
                for left in hub.left_of(mailbox)
            ],
        }


def _telling(cursors: Sequence[Cursor]) -> Sequence[Cursor]:
    """Those who were sent least, and those who are there longest: what these have, all others have."""
    if len(cursors) <= 2 * _TOLD_MOST:
        return cursors
    least = nsmallest(_TOLD_MOST, cursors, key=lambda each: (each.epoch == each.ring.epoch, each.position.seq))
    longest = nsmallest(_TOLD_MOST, cursors, key=lambda each: each.opened_at)
    return list(dict.fromkeys([*least, *longest]))


def _unsent(transport: asyncio.WriteTransport | None) -> int:
    return 0 if transport is None else transport.get_write_buffer_size()
