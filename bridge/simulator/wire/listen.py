"""Listeners: who is connected to ``openapi/listen``, and what each of them is told (protocol 3.2).

What a listener missed is never sent again. With long polls there is a time between two requests in which nobody
listens; ``Rules.hold_ms`` says how long the provider keeps what happens then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from bridge.simulator.bell import PATIENCE_S, Bell
from bridge.simulator.dialect import Dialect, Framing, Rules, SecondListener
from bridge.simulator.faults.defects import Defect, spoil
from bridge.simulator.faults.faults import Faults, Kind
from bridge.simulator.seeded import seeded
from bridge.simulator.wire.connection import Connection
from bridge.simulator.wire.documents import errcode_document, push_document, ret_document, ver_document
from bridge.simulator.wire.framings import ending, following, has_open_body, opening, response
from bridge.simulator.world.account import DirectoryEntry
from bridge.simulator.world.mail import Mail
from bridge.simulator.world.world import Change, World

ENDPOINT = "listen"
# A spoilt document has one thing wrong with it, not the dialect's habits too.
_PLAIN = Dialect()


@dataclass(frozen=True, slots=True)
class Parcel:
    """A document for the listeners, and the mail that counts as pushed once it was handed over whole."""

    document: bytes
    mail: Mail | None = None


class Listener:
    """One connection that listens.

    ``asked_ver`` is the Ver of its newest request, ``answered`` says if it got any, ``behind`` counts the requests that
    were written behind a long poll that is held: HTTP answers them one after the other.
    """

    __slots__ = ("_poll_end", "answered", "asked_ver", "behind", "connection", "framing")

    def __init__(self, connection: Connection, *, framing: Framing, asked_ver: int) -> None:
        self.connection = connection
        self.framing = framing
        self.asked_ver = asked_ver
        self.answered = False
        self.behind = 0
        self._poll_end: asyncio.TimerHandle | None = None

    @property
    def hears(self) -> bool:
        """Whether a document can be given to it now; between two long polls it cannot."""
        return self.connection.is_open and (self.framing is not Framing.LONG_POLL or self._poll_end is not None)

    @property
    def is_held(self) -> bool:
        """Whether a long poll waits for its answer."""
        return self._poll_end is not None

    @property
    def has_open_body(self) -> bool:
        """Whether the response to its request is still going on."""
        return self.answered and has_open_body(self.framing)

    def acknowledge(self, document: bytes, dialect: Dialect, *, byte_every_s: float | None) -> None:
        """Answer the listen request."""
        self.answered = True
        self._end_poll()
        self.connection.write(opening(document, self.framing, dialect), byte_every_s=byte_every_s)

    def hold(self, hold_s: float, give_up: Callable[[], None]) -> None:
        """Leave a long poll unanswered until a document comes or the time is over."""
        self._end_poll()
        self._poll_end = self.connection.later(hold_s, give_up)

    def tell(self, parcels: Sequence[Parcel], dialect: Dialect, random: Random, *, byte_every_s: float | None) -> int:
        """Hand over documents in order, in one write; returns how many (a long poll takes one)."""
        if self.framing is Framing.LONG_POLL:
            parcels = parcels[:1]
            self._end_poll()
        self.answered = True
        frames = [following(parcel.document, self.framing, dialect, random) for parcel in parcels]
        if byte_every_s is None:
            self.connection.write(b"".join(frames), done=partial(_hand_over, parcels, self.connection.peer_port))
        else:
            port = self.connection.peer_port
            for parcel, frame in zip(parcels, frames, strict=True):
                self.connection.write(frame, byte_every_s=byte_every_s, done=partial(_hand_over, (parcel,), port))
        return len(parcels)

    def tell_half(self, parcel: Parcel, dialect: Dialect, random: Random) -> None:
        """Send a document up to its middle, and end."""
        frame = following(parcel.document, self.framing, dialect, random)
        self.connection.write(frame[: len(frame) - len(parcel.document) // 2])
        self.connection.close()

    def finish(self) -> None:
        """End the session in order."""
        self.connection.write(ending(self.framing))
        self.connection.close()

    def _end_poll(self) -> None:
        if self._poll_end is not None:
            self._poll_end.cancel()
            self._poll_end = None


def _hand_over(parcels: Sequence[Parcel], port: int) -> None:
    for parcel in parcels:
        if parcel.mail is not None:
            parcel.mail.pushed = True
            parcel.mail.pushed_to.append(port)


class Listeners:
    """All listeners of the corporation; watches the world and tells them."""

    def __init__(self, world: World, *, dialect: Dialect, rules: Rules, faults: Faults) -> None:
        self._world = world
        self._dialect = dialect
        self._rules = rules
        self._faults = faults
        self._random = seeded(world.seed, "listeners")
        self._open: dict[Connection, Listener] = {}
        self._held: deque[tuple[float, Parcel]] = deque()
        self._place_taken_until_s = 0.0
        self._bell = Bell()

    @property
    def count(self) -> int:
        """How many connections listen; a long poll counts also between two requests of a connection."""
        return len(self._open)

    @property
    def asked_vers(self) -> tuple[int, ...]:
        """The Ver that each listener asked with last, oldest listener first."""
        return tuple(listener.asked_ver for listener in self._open.values())

    def __iter__(self) -> Iterator[Listener]:
        return iter(tuple(self._open.values()))

    async def wait(self, n: int = 1, *, timeout_s: float = PATIENCE_S) -> None:
        """Return when exactly ``n`` listeners are connected.

        Raises:
            TimeoutError: not within ``timeout_s``.
        """
        await self._bell.until(lambda: self.count == n, timeout_s=timeout_s)

    async def wait_hearing(self, n: int = 1, *, timeout_s: float = PATIENCE_S) -> None:
        """Return when at least ``n`` listeners can be told something at once (a long poll is waiting).

        Raises:
            TimeoutError: not within ``timeout_s``.
        """
        await self._bell.until(lambda: sum(each.hears for each in self) >= n, timeout_s=timeout_s)

    def listen(self, connection: Connection, ver: int) -> str:
        """A connection asks to listen; returns the outcome for the log of calls."""
        byte_every_s = self._byte_every_s()
        refusal = self._faults.strike(Kind.RET, ENDPOINT)
        ret = int(refusal.number) if refusal is not None else 0
        listener = self._open.get(connection)
        if listener is None and ret == 0 and not self._admit():
            ret = 1
        if ret != 0:
            self.forget(connection)
            connection.write(response(ret_document(ret, self._dialect), self._dialect), byte_every_s=byte_every_s)
            return f"ret {ret}"
        if listener is None:
            listener = self._open[connection] = Listener(connection, framing=self._dialect.framing, asked_ver=ver)
        listener.asked_ver = ver
        if listener.is_held:
            listener.behind += 1
        else:
            self._answer(listener, byte_every_s)
        self._bell.ring()
        return "ok"

    def has_open_body(self, connection: Connection) -> bool:
        """Whether a listen response is still going on there, so that no request can be answered."""
        listener = self._open.get(connection)
        return listener is not None and listener.has_open_body

    def publish(self, changes: Sequence[Change]) -> None:
        """The world changed: tell everybody who hears it.

        Mails come to a disabled account too and are counted, but nobody is told of them: nobody may read them.
        """
        if disabled := self._world.roster.disabled:
            changes = [
                change for change in changes if isinstance(change, DirectoryEntry) or change.mailbox not in disabled
            ]
        if self._faults.active:
            for change in changes:
                self._publish_faulty(change)
            return
        if changes:
            self._send([self._parcel(change) for change in changes])

    def push(self, document: bytes) -> None:
        """Send any bytes as one document of the listen session."""
        self._send([Parcel(document)])

    def push_errcode(self, code: int) -> None:
        """Send an errcode document in mid-listen."""
        self._send([Parcel(errcode_document(code, self._dialect))])

    def forget(self, connection: Connection) -> None:
        """The connection ended, or does not listen any more."""
        if self._open.pop(connection, None) is not None:
            self._place_taken_until_s = asyncio.get_running_loop().time() + self._rules.crashed_hold_s
            self._bell.ring()

    def _admit(self) -> bool:
        match self._rules.second_listener:
            case SecondListener.BOTH:
                return True
            case SecondListener.REFUSED:
                return not self._open and asyncio.get_running_loop().time() >= self._place_taken_until_s
            case SecondListener.DISPLACES:
                for listener in self:
                    self.forget(listener.connection)
                    listener.finish()
                return True

    def _answer(self, listener: Listener, byte_every_s: float | None) -> None:
        online = ret_document(0, self._dialect)
        behind = listener.asked_ver < self._world.ver
        newest = Parcel(ver_document(self._world.ver + self._ver_shift_ms(), self._dialect)) if behind else None
        ends = self._faults.strike(Kind.ANSWER_THEN_CLOSE, ENDPOINT) is not None
        if listener.framing is not Framing.LONG_POLL or ends:
            listener.acknowledge(online, self._dialect, byte_every_s=byte_every_s)
            if ends:
                self.forget(listener.connection)
                listener.finish()
            elif newest is not None:
                listener.tell([newest], self._dialect, self._random, byte_every_s=byte_every_s)
        elif self._rules.poll_acknowledges and not listener.answered:
            listener.acknowledge(online, self._dialect, byte_every_s=byte_every_s)
        elif newest is not None:
            listener.tell([newest], self._dialect, self._random, byte_every_s=byte_every_s)
        elif held := self._take_held():
            listener.tell([held], self._dialect, self._random, byte_every_s=byte_every_s)
        else:
            listener.hold(self._rules.poll_hold_s, lambda: self._give_up(listener, online))

    def _give_up(self, listener: Listener, online: bytes) -> None:
        listener.acknowledge(online, self._dialect, byte_every_s=None)
        self._answer_behind(listener)

    def _answer_behind(self, listener: Listener) -> None:
        """A long poll was answered: the next request of that connection has its turn."""
        while listener.behind and not listener.is_held:
            listener.behind -= 1
            self._answer(listener, None)

    def _publish_faulty(self, change: Change) -> None:
        if self._faults.strike(Kind.SILENT, ENDPOINT):
            return
        parcel = self._parcel(change, ver_shift_ms=self._ver_shift_ms() if isinstance(change, DirectoryEntry) else 0)
        if isinstance(change, Mail) and (fault := self._faults.strike(Kind.MALFORMED, ENDPOINT)):
            defect = Defect(str(fault.value)) if fault.value is not None else self._random.choice(list(Defect))
            parcel = Parcel(spoil(push_document(change, _PLAIN), defect), change if defect.repairable else None)
        hearing = [listener for listener in self if listener.hears]
        if hearing and self._faults.strike(Kind.CUT_MID_DOCUMENT, ENDPOINT):
            for listener in hearing:
                self.forget(listener.connection)
                listener.tell_half(parcel, self._dialect, self._random)
            return
        self._send([parcel])

    def _parcel(self, change: Change, *, ver_shift_ms: int = 0) -> Parcel:
        document = push_document(change, self._dialect, ver_shift_ms=ver_shift_ms)
        return Parcel(document, change if isinstance(change, Mail) else None)

    def _send(self, parcels: Sequence[Parcel]) -> None:
        byte_every_s = self._byte_every_s()
        taken = 0
        for listener in self:
            if listener.hears:
                taken = max(taken, listener.tell(parcels, self._dialect, self._random, byte_every_s=byte_every_s))
        if self._dialect.framing is Framing.LONG_POLL:
            self._drop_overdue()
            until_s = asyncio.get_running_loop().time() + self._rules.hold_ms / 1000
            self._held.extend((until_s, parcel) for parcel in parcels[taken:])
        for listener in self:
            self._answer_behind(listener)

    def _take_held(self) -> Parcel | None:
        self._drop_overdue()
        return self._held.popleft()[1] if self._held else None

    def _drop_overdue(self) -> None:
        now_s = asyncio.get_running_loop().time()
        while self._held and self._held[0][0] <= now_s:
            _, parcel = self._held.popleft()
            if parcel.mail is not None:
                parcel.mail.overdue = True

    def _ver_shift_ms(self) -> int:
        fault = self._faults.strike(Kind.VER_SHIFT, ENDPOINT)
        return int(fault.number) if fault is not None else 0

    def _byte_every_s(self) -> float | None:
        fault = self._faults.strike(Kind.DRIP, ENDPOINT)
        return fault.number if fault is not None else None
