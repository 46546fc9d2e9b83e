"""The short way in: a plain request for a connection is answered before aiohttp has the socket.

Of what a handshake cost, half was aiohttp's: a handler with its parser, two tasks, a route, a response, all for a
request whose socket is taken away from it in the end. In a storm of browsers that come back all at once, that is how
long they wait.

The request is looked at where it lies, in the kernel, and is taken from there only when the answer is written. So
whatever is not plain (:mod:`bridge.edge.head`), and whatever is to be answered with a status, is left to aiohttp with
its socket untouched, and aiohttp answers it as if nobody had looked. The steps themselves are the same in both lanes
(:mod:`bridge.edge.entrance`).
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from bridge.access import codes
from bridge.access.mounting import mount_points
from bridge.access.refused import Refused
from bridge.edge.connection import Connection
from bridge.edge.entrance import DEAD_S, Entrance
from bridge.edge.handshakes import Handshake, StreamHandshake, WebSocketHandshake
from bridge.edge.head import LONGEST, read_head
from bridge.edge.reception import PATIENCE_S
from bridge.edge.watch import IS_POSSIBLE
from bridge.obs.acceptor import Acceptor

log = logging.getLogger(__name__)

_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9/._~-]*")
_MORE: Final = getattr(socket, "MSG_MORE", 0)
"""More follows at once, so that the head of the answer and the first frame leave together; where :data:`IS_POSSIBLE`,
there is this, too."""
_UNREAD_MOST: Final = 65_536
_LOOK_S: Final = 1.0
_KINDS: Final[dict[str, Callable[[Entrance, Any], Handshake]]] = {
    "/ws": lambda entrance, head: entrance.greet(head, WebSocketHandshake),
    "/events": lambda entrance, head: entrance.greet(head, StreamHandshake),
}


class Doorway:
    """Answers on sockets that nobody else has.

    ``prefix``: the path of the public URL, as for aiohttp's router. ``patience_s``: how long a handshake may take.
    """

    dead_s: Final = DEAD_S

    def __init__(self, entrance: Entrance, *, prefix: str = "", patience_s: float = PATIENCE_S) -> None:
        self._entrance = entrance
        self._patience_s = patience_s
        self._loop = asyncio.get_running_loop()
        # A path that has to be quoted can be written in several ways; aiohttp knows all of them.
        plain = [each for each in mount_points(prefix) if _PLAIN_PATH.fullmatch(each)]
        self._greet = {f"{each}{path}".encode(): greet for each in plain for path, greet in _KINDS.items()}
        # In the order of their coming; each with its deadline, by the loop's clock.
        self._under_way: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._look: asyncio.TimerHandle | None = None

    def knock(self, sock: socket.socket, peer: Any, acceptor: Acceptor) -> bool | None:
        """Look at what a client has sent; return whether its socket is ours from now on.

        ``None``: nothing has come yet. ``peer``: the client's address, as :meth:`socket.socket.accept` has it.
        """
        if not IS_POSSIBLE:
            return False
        try:
            data = sock.recv(LONGEST, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            data = b""
        if not data:
            # It left, as those do who try whether the port is open.
            sock.close()
            return True
        try:
            read = read_head(data, self._greet, peer=peer, loop=self._loop)
            if read is None:
                return False
            path, head, size = read
            handshake = self._greet[path](self._entrance, head)
        except Refused:
            return False
        except Exception:  # aiohttp's lane meets the same, and says so
            log.debug("a head was left to the HTTP library", exc_info=True)
            return False
        if not handshake.sees_codes:
            return False
        task = self._loop.create_task(self._let_in(sock, size, handshake, acceptor), name="handshake")
        self._under_way[task] = self._loop.time() + self._patience_s
        if self._look is None:
            self._look = self._loop.call_later(_LOOK_S, self._look_round)
        return True

    async def close(self, within_s: float) -> None:
        """Wait for the handshakes that are under way; who is not in by then is told to come back."""
        if self._under_way:
            await asyncio.wait(list(self._under_way), timeout=within_s)
        if left := list(self._under_way):
            for task in left:
                task.cancel()
            await asyncio.wait(left)
        if self._look is not None:
            self._look.cancel()

    def _look_round(self) -> None:
        """End what takes too long. One timer for all: one for each would be a twentieth of what a handshake costs."""
        now = self._loop.time()
        self._look = self._loop.call_later(_LOOK_S, self._look_round) if self._under_way else None
        for task, until in self._under_way.items():
            if until > now:
                break
            self._late.add(task)
            task.cancel()

    async def _let_in(self, sock: socket.socket, size: int, handshake: Handshake, acceptor: Acceptor) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await self._entrance.let_in(handshake, partial(self._take_socket, sock, size))
        except Refused as refused:
            self._turn_away(sock, size, handshake, refused)
        except asyncio.CancelledError:
            if task in self._late:
                self._turn_away(sock, size, handshake, self._entrance.too_late)
                return
            gone = Refused(503, codes.SHUTTING_DOWN, "closing", "this process is shutting down", retry_after_s=2)
            self._turn_away(sock, size, handshake, gone)
            raise
        except Exception:
            log.exception("a handshake failed")
            acceptor.serve(sock)
        finally:
            # Cheaper than a callback, which is a turn of the loop for each.
            del self._under_way[task]
            self._late.discard(task)

    def _take_socket(
        self, sock: socket.socket, size: int, connection: Connection, welcome: bytes
    ) -> asyncio.Transport | None:
        try:
            _take(sock, size)
            sent = sock.send(welcome, _MORE)
            transport = self._entrance.transport_for(connection, sock)
        except OSError:
            sock.close()
            return None
        transport.write(welcome[sent:])
        return transport

    def _turn_away(self, sock: socket.socket, size: int, handshake: Handshake, refused: Refused) -> None:
        farewell = self._entrance.farewell(handshake, refused)
        try:
            _take(sock, size)
            sock.send(farewell)
            # What is unread when a socket is closed makes the kernel cut it, and the farewell with it.
            sock.shutdown(socket.SHUT_WR)
            sock.recv(_UNREAD_MOST)
        except OSError:
            pass
        finally:
            sock.close()


def _take(sock: socket.socket, size: int) -> None:
    """Take the head that was looked at; what the client sent behind it is for its connection.

    Raises:
        OSError: it has gone.
    """
    if len(sock.recv(size)) != size:
        raise ConnectionAbortedError
