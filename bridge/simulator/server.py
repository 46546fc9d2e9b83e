"""The simulated provider: one port, plain HTTP, every endpoint, and the faults."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from email.utils import formatdate
from enum import StrEnum
from typing import Self

from bridge.simulator.api.calls import CallLog
from bridge.simulator.api.endpoints import ENDPOINTS, Endpoint
from bridge.simulator.api.login import refused
from bridge.simulator.api.question import TOO_OFTEN, Page, Question, Refusal
from bridge.simulator.faults.faults import Faults, Kind
from bridge.simulator.wire.connection import Connection
from bridge.simulator.wire.documents import encode, errcode_document
from bridge.simulator.wire.door import Door
from bridge.simulator.wire.framings import response
from bridge.simulator.wire.listen import Listeners
from bridge.simulator.wire.replay import Replay
from bridge.simulator.wire.request import Request
from bridge.simulator.world.traffic import Traffic
from bridge.simulator.world.world import World

from .admin import PREFIX, Admin
from .bell import PATIENCE_S, Bell
from .commands import Commands
from .dialect import Dialect, Rules

log = logging.getLogger(__name__)

_PAGE = Dialect(content_type="text/html; charset=UTF-8")
# The page of an error comes from a proxy before the provider.
_PROXY_PAGE = Dialect(content_type="text/html")
_SETTLE_AT_LEAST_S = 0.01
_METHODS = ("GET", "POST")
"""Each section of the document has these and no other."""


class Cut(StrEnum):
    """How a connection is cut."""

    FIN = "fin"
    RST = "rst"


class Simulator:
    """A running provider; start it with `start`.

    ``world`` is what the provider knows, ``faults`` what is broken, ``listeners`` who is connected, ``calls`` what was
    asked, ``traffic`` what happens by itself (nothing at first). ``dialect`` and ``rules`` may be changed at any time.
    ``replay``: what listeners are told instead of the world's changes.
    ``clock_off_s``: by how much the provider's clock is ahead, where an answer says what time it is.
    """

    def __init__(self, world: World, *, host: str, port: int, dialect: Dialect, rules: Rules) -> None:
        self.world = world
        self.dialect = dialect
        self.rules = rules
        self.faults = Faults(seed=world.seed)
        self.calls = CallLog()
        self.listeners = Listeners(world, dialect=dialect, rules=rules, faults=self.faults)
        self._door = Door(self._connect, host=host, port=port)
        self._connections: set[Connection] = set()
        self._connection_count = 0
        self.traffic = Traffic(world)
        self.commands = Commands(
            world=world,
            faults=self.faults,
            listeners=self.listeners,
            dialect=dialect,
            rules=rules,
            traffic=self.traffic,
            cut=self.cut,
        )
        self._admin = Admin(
            self.commands, views={"truth": world.truth, "calls": lambda: list(self.calls), "state": self._state}
        )
        self.clock_off_s = 0.0
        self.replay: Replay | None = None
        self._ended_bell = Bell()
        self._happening: asyncio.Task[None] | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._lately: deque[float] = deque()
        self._unwatch = world.watch(self.listeners.publish)
        self.faults.watch(self._move_door)

    @classmethod
    async def start(
        cls,
        world: World,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        dialect: Dialect | None = None,
        rules: Rules | None = None,
    ) -> Self:
        """Listen on ``host`` and ``port`` (0: any free one) and serve until `stop`.

        Raises:
            OSError: the port is taken.
        """
        simulator = cls(world, host=host, port=port, dialect=dialect or Dialect(), rules=rules or Rules())
        simulator._door.open()
        await simulator._door.opened()
        simulator._happening = asyncio.create_task(simulator.traffic.run(), name="simulator traffic")
        simulator._happening.add_done_callback(_report_broken_traffic)
        return simulator

    @property
    def url(self) -> str:
        """The base URL, for tokens and for the API."""
        host = f"[{self._door.host}]" if ":" in self._door.host else self._door.host
        return f"http://{host}:{self._door.port}"

    @property
    def port(self) -> int:
        """The port that is served."""
        return self._door.port

    @property
    def connection_count(self) -> int:
        """How many TCP connections were accepted since the start."""
        return self._connection_count

    async def stop(self) -> None:
        """End every connection and close the port; a second call does nothing."""
        happening, self._happening = self._happening, None
        if happening is None:
            return
        self._unwatch()
        if self._settling is not None:
            self._settling.cancel()
        happening.cancel()
        await asyncio.wait([happening])
        await self._door.remove()
        for connection in tuple(self._connections):
            if connection.unsent_bytes:
                connection.reset()
            else:
                connection.close()
        await self._ended_bell.until(lambda: not self._connections, timeout_s=PATIENCE_S)
        if not happening.cancelled():
            happening.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # Commands.

    def cut(self, how: Cut | str = Cut.RST, *, everything: bool = False) -> int:
        """Cut the listeners' connections, or every connection; returns how many there were."""
        how = Cut(how)
        doomed = list(self._connections) if everything else [each.connection for each in self.listeners]
        for connection in doomed:
            self.listeners.forget(connection)
            if how is Cut.FIN:
                connection.close()
            else:
                connection.reset()
        return len(doomed)

    def push(self, document: bytes) -> None:
        """Send any bytes to all listeners, as one document."""
        self.listeners.push(document)

    def push_errcode(self, code: int) -> None:
        """Send an errcode document to all listeners, in mid-listen."""
        self.listeners.push_errcode(code)

    # Connections and requests.

    def _connect(self) -> Connection:
        self._connection_count += 1
        return Connection(
            number=self._connection_count,
            opened=self._connections.add,
            asked=self._asked,
            ended=self._ended,
            unsent_limit_bytes=lambda: self.rules.unsent_limit_bytes,
        )

    def _ended(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.listeners.forget(connection)
        self._ended_bell.ring()

    def _asked(self, connection: Connection, request: Request) -> None:
        endpoint = ENDPOINTS.get(request.path)
        if request.path.startswith(PREFIX):
            self.world.roster.settle()
            status, body = self._admin.answer(request, peer=connection.peer)
            connection.write(response(body, Dialect(), status=status))
        elif self.listeners.has_open_body(connection):
            self.calls.record(request.path, request, "ignored", connection=connection.number)
        elif endpoint is None or request.method not in _METHODS:
            status = 404 if endpoint is None else 405
            now = formatdate(time.time() + self.clock_off_s, usegmt=True)
            connection.write(response(b"", self.dialect, status=status, date=now))
            self.calls.record(request.path, request, f"http {status}", connection=connection.number)
        elif connection.is_mute or self.faults.strike(Kind.SILENT, endpoint.name):
            connection.is_mute = True
            self.listeners.forget(connection)
            self.calls.record(endpoint.name, request, "silent", connection=connection.number)
        elif delay := self.faults.strike(Kind.DELAY, endpoint.name):
            connection.later(delay.number, lambda: self._answer(connection, endpoint, request))
        else:
            self._answer(connection, endpoint, request)

    def _answer(self, connection: Connection, endpoint: Endpoint, request: Request) -> None:
        self.world.roster.settle()
        try:
            outcome = self._answer_or_refuse(connection, endpoint, request)
        except Refusal as refusal:
            outcome = str(refusal.code)
            if endpoint.answer is None:
                self.listeners.forget(connection)
            if endpoint.is_page:
                self._respond(connection, endpoint, request, refused(outcome).html, dialect=_PAGE)
            else:
                document = errcode_document(refusal.code, self.dialect, refusal.text)
                self._respond(connection, endpoint, request, document)
        self._settle_when_due()
        self.calls.record(endpoint.name, request, outcome, connection=connection.number)

    def _answer_or_refuse(self, connection: Connection, endpoint: Endpoint, request: Request) -> str:
        if fault := self.faults.strike(Kind.HTTP_STATUS, endpoint.name):
            status = int(fault.number)
            page = b"<html><head><title>%d</title></head><body><center>nginx</center></body></html>" % status
            self._respond(connection, endpoint, request, page, status=status, dialect=_PROXY_PAGE)
            return f"http {status}"
        if fault := self.faults.strike(Kind.ANSWER, endpoint.name):
            self._respond(connection, endpoint, request, str(fault.value).encode())
            return "odd"
        if fault := self.faults.strike(Kind.ERRCODE, endpoint.name):
            raise Refusal(int(fault.number))
        if self._is_too_often(Kind.RATE, endpoint):
            raise Refusal(TOO_OFTEN)
        if self._is_too_often(Kind.RATE_PAGE, endpoint):
            self._respond(connection, endpoint, request, b"<html><body>busy</body></html>", dialect=_PROXY_PAGE)
            return "page"
        question = Question(self.world, request, self.dialect, self.rules, self.faults)
        if endpoint.needs_token:
            question.require_token()
        if endpoint.answer is None:
            ver = question.require_ver()
            if self.replay is None:
                return self.listeners.listen(connection, ver)
            self.replay.play(connection, self.dialect)
            return "ok"
        answer = endpoint.answer(question)
        if isinstance(answer, Page):
            self._respond(connection, endpoint, request, answer.html, dialect=_PAGE)
            return answer.outcome
        if self.faults.strike(Kind.LOST, endpoint.name):
            connection.reset()
            return "lost"
        # A write that succeeded has an empty body.
        body = b"" if answer is None else encode(answer, self.dialect)
        self._respond(connection, endpoint, request, body)
        return "ok"

    def _is_too_often(self, kind: Kind, endpoint: Endpoint) -> bool:
        fault = self.faults.strike(kind, endpoint.name)
        if fault is None:
            return False
        now = asyncio.get_running_loop().time()
        while self._lately and self._lately[0] <= now - 1:
            self._lately.popleft()
        if len(self._lately) >= fault.number:
            return True
        self._lately.append(now)
        return False

    def _respond(
        self,
        connection: Connection,
        endpoint: Endpoint,
        request: Request,
        body: bytes,
        *,
        status: int = 200,
        dialect: Dialect | None = None,
    ) -> None:
        drip = self.faults.strike(Kind.DRIP, endpoint.name)
        data = response(body, dialect or self.dialect, status=status, close=not request.keep_alive)
        ended = None if request.keep_alive else connection.close
        connection.write(data, byte_every_s=None if drip is None else drip.number, done=ended)

    def _settle_when_due(self) -> None:
        due_in_s = self.world.roster.parties.due_in_s
        if due_in_s is not None and self._settling is None and self._happening is not None:
            delay_s = max(due_in_s, _SETTLE_AT_LEAST_S)
            self._settling = asyncio.get_running_loop().call_later(delay_s, self._settle)

    def _settle(self) -> None:
        # The world's clock is not the loop's: what it has not made due yet is waited for again.
        self._settling = None
        self.world.roster.settle()
        self._settle_when_due()

    def _move_door(self) -> None:
        if self.faults.has(Kind.REFUSE):
            self._door.shut()
        elif self._happening is not None:
            self._door.open()

    def _state(self) -> dict[str, object]:
        return {
            "listeners": self.listeners.count,
            "asked_vers": self.listeners.asked_vers,
            "connections": len(self._connections),
            "connections_since_start": self._connection_count,
            "faults": self.faults.active,
            "dialect": self.dialect,
            "rules": self.rules,
            "traffic": {"rate_per_s": self.traffic.rate_per_s, "paused": self.traffic.paused},
        }


def _report_broken_traffic(happening: asyncio.Task[None]) -> None:
    # `stop` raises it too, but a program that runs for ever would fall quiet without a word.
    if not happening.cancelled() and (error := happening.exception()) is not None:
        log.error("simulator traffic broke", exc_info=error)
