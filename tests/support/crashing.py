"""``python -m tests.support.crashing POINT ACTION worker|edge …``: the ordinary program, which ends itself at a point.

A point is named after an effect at the program's border: ``before redis mail``, ``after provider user/list``,
``before browser event``. At its first pass the process sends itself ACTION (``KILL``, ``STOP`` or ``TERM``). With the
action ``RECORD`` it only names each point that it passes the first time. The border's functions are wrapped in this
process; the product knows nothing of it. What is passed or done stands on standard error, one line each.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio import selector_events
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from bridge.cli import run_command_line
from bridge.edge.connection import Connection
from bridge.edge.lean import LeanTransport
from bridge.journal.raw import RawConnection
from bridge.journal.script import Script
from bridge.journal.subscription import Subscription
from bridge.provider.bizmail.transport import Transport

ACTIONS: Final = ("KILL", "STOP", "TERM")
RECORD: Final = "RECORD"
PASSED: Final = "point passed: "
ACTING: Final = "acting at: "

_TO_BROWSER: Final = (
    (b"exmail.snapshot", "snapshot"),
    (b"exmail.closing", "closing"),
    (b"exmail.mail.", "event"),
    (b"101 Switching", "handshake"),
    (b"text/event-stream", "head"),
)
"""What is written to a browser, by what it has in it. The first one counts: a snapshot may hold events."""


class Points:
    """Counts what is passed, and acts once."""

    def __init__(self, point: str, action: str) -> None:
        self._point = point
        self._action = action
        self._passed: set[str] = set()

    def passed(self, name: str) -> None:
        if name in self._passed:
            return
        self._passed.add(name)
        if self._action == RECORD:
            self._say(PASSED + name)
        elif name == self._point:
            self._say(ACTING + name)
            os.kill(os.getpid(), signal.Signals[f"SIG{self._action}"])

    @staticmethod
    def _say(line: str) -> None:
        # Not through the log or a buffer: the next thing may be the end.
        os.write(2, f"{line}\n".encode())

    def around(self, owner: Any, method: str, name_of: Callable[..., str]) -> None:
        """Make an asynchronous method two points."""
        inner = getattr(owner, method)

        async def wrapped(*arguments: Any, **options: Any) -> Any:
            name = name_of(*arguments, **options)
            self.passed(f"before {name}")
            answer = await inner(*arguments, **options)
            self.passed(f"after {name}")
            return answer

        setattr(owner, method, wrapped)

    def around_sync(self, owner: Any, method: str, name_of: Callable[..., str | None]) -> None:
        """The same for an ordinary one; without a name it is none of ours."""
        inner = getattr(owner, method)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            name = name_of(*arguments, **options)
            if name is not None:
                self.passed(f"before {name}")
            answer = inner(*arguments, **options)
            if name is not None:
                self.passed(f"after {name}")
            return answer

        setattr(owner, method, wrapped)


def wrap(points: Points) -> None:
    """Every effect of a worker or an edge: Redis, provider, browsers."""
    points.around(Script, "run", lambda script, calls: f"redis {calls[0][1][0]}")
    points.around(Redis, "execute_command", lambda redis, name, *_, **__: f"redis {name}")
    points.around(Pipeline, "execute", lambda *_, **__: "redis pipeline")
    points.around(RawConnection, "dial", lambda *_: "redis dial")
    points.around(Subscription, "subscribe", lambda *_, **__: "redis subscribe")
    points.around_sync(Subscription, "took", lambda *_: "redis messages")
    points.around(Transport, "call", lambda transport, endpoint, *_, **__: f"provider {endpoint.name}")
    points.around(Transport, "ask_token", lambda *_, **__: "provider token")
    points.around(Transport, "open_stream", lambda *_: "provider connect")
    points.around_sync(asyncio.StreamWriter, "write", lambda *_: "provider listen")
    points.around(asyncio.StreamReader, "read", lambda *_: "provider push")
    points.around_sync(selector_events._SelectorSocketTransport, "write", _written)  # type: ignore[attr-defined]
    points.around_sync(LeanTransport, "write", _written)
    points.around_sync(Connection, "write_live", _written)
    points.around_sync(socket.socket, "send", _sent)


def _written(_transport: Any, data: bytes) -> str | None:
    head = bytes(data[:400])
    return next((f"browser {name}" for mark, name in _TO_BROWSER if mark in head), None)


def _sent(sock: Any, data: bytes, *_: Any) -> str | None:
    """What an edge writes itself is the head of an answer; all else is a transport's."""
    return _written(sock, data) if data[:5] == b"HTTP/" else None


if __name__ == "__main__":
    point, action, *words = sys.argv[1:]
    wrap(Points(point, action))
    sys.exit(run_command_line(words))
