"""The way to the one server that holds our keys, if that server may change.

Each dial asks where the server is. :meth:`Route.watch` cuts connections to a former one: a deposed server may keep
answering, and an edge that only reads and listens there would never notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

from bridge.journal.errors import JournalAway, JournalError, translated

log = logging.getLogger(__name__)


class Node(NamedTuple):
    """One server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Finder(Protocol):
    """Knows where the server is: sentinels, or the nodes of a cluster."""

    async def find(self) -> Node:
        """Ask where the server is now.

        Raises:
            JournalAway, JournalRefused
        """
        ...


class Leaving(Protocol):
    """A connection that can be cut."""

    @property
    def node(self) -> Node: ...
    def leave(self) -> None: ...


class Route:
    """Finds the server, once for all who ask at the same time. ``every_s``: the interval of :meth:`watch`."""

    def __init__(self, finder: Finder, *, every_s: float = 5.0) -> None:
        self._finder = finder
        self._every_s = every_s
        self._asking: asyncio.Task[Node] | None = None
        self._connections: WeakSet[Leaving] = WeakSet()

    async def find(self) -> Node:
        """Return where the server is now.

        Raises:
            JournalAway, JournalRefused
        """
        if self._asking is None or self._asking.done():
            # A task of its own, so that cancelling one caller does not cancel it for the others. It ends by itself.
            self._asking = asyncio.create_task(self._finder.find(), name="find redis")
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._asking)

    def dialled(self, connection: Leaving) -> None:
        """Register a connection to where :meth:`find` said; it is cut when the server is elsewhere."""
        self._connections.add(connection)

    async def watch(self) -> None:
        """Cut connections to a server that is no longer the right one. Runs until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                node = await self.find()
            except JournalError:
                # Dialling reports the reason; existing connections stay as long as nothing better is known.
                continue
            left = [connection for connection in list(self._connections) if connection.node != node]
            for connection in left:
                self._connections.discard(connection)
                connection.leave()
            if left:
                log.warning("redis is elsewhere", extra={"node": str(node), "connections": len(left)})


async def ask(connection: Any, *commands: Sequence[str]) -> list[Any]:
    """Ask one server over a connection made for this purpose; return its answers.

    Raises:
        JournalAway, JournalRefused
    """
    try:
        with translated():
            await connection.connect()
            answers = []
            for command in commands:
                await connection.send_command(*command)
                answers.append(await connection.read_response())
            return answers
    finally:
        await connection.disconnect(nowait=True)


@contextmanager
def being_read() -> Iterator[None]:
    """Raise what is wrong with an answer that has another form than its reader knows as a fault of who gave it."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise JournalAway("its answer cannot be read") from error


async def ask_most(
    nodes: Sequence[Node], question: Callable[[Node], Awaitable[list[Any]]], *, within_s: float = 1.0
) -> tuple[dict[Node, list[Any]], dict[Node, JournalError]]:
    """Ask all at once, until more than half have answered or ``within_s`` has passed; return answers and faults.

    A majority, because one that is cut off from the others may have old news; not all, because one may be dead.
    """
    tasks = {asyncio.ensure_future(question(node)): node for node in nodes}
    answers: dict[Node, list[Any]] = {}
    refusals: dict[Node, JournalError] = {}
    waiting = set(tasks)
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    try:
        while waiting and len(answers) * 2 <= len(nodes):
            done, waiting = await asyncio.wait(
                waiting, timeout=max(0.0, until - loop.time()), return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                try:
                    answers[tasks[task]] = task.result()
                except JournalError as error:
                    refusals[tasks[task]] = error
    finally:
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)
    return answers, refusals
