"""``python -m tests.bench.visitors``: people of an edge who come, leave and come back, and see that nothing is missing.

A process of its own, on one epoll loop. Each visitor has a mailbox, every second one by SSE. Whoever comes back resumes
from where he was; the positions of what he is told must follow one another, over all his visits. Orders come as JSON
lines on standard input: ``report`` answers with what came since the last report, ``tops`` with everybody's position.
"""

from __future__ import annotations

import heapq
import json
import random
import select
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tests.bench.load import bearer

AWAY_S: Final = 2.0
STAMP: Final = b'"mail_subject":"T'
_DIGITS: Final = 16
_AT_ONCE: Final = 128
_EVENT: Final = b'{"specversion":"1.0","id":"'
_MAIL: Final = b'"type":"exmail.mail.new"'
_TURN_S: Final = 0.01
_RESET: Final = struct.pack("ii", 1, 0)


def stamp() -> str:
    """The subject of a mail that says when it was sent: microseconds of the clock that all processes share."""
    return f"T{int(time.monotonic() * 1e6):0{_DIGITS}d}"


@dataclass(slots=True, eq=False)
class Visitor:
    """One person; ``epoch`` and ``seq`` are the position that was told last."""

    number: int
    mailbox: str
    websocket: bool
    sock: socket.socket | None = None
    got: bytes = b""
    is_open: bool = False
    since_us: float = 0.0
    epoch: str = ""
    seq: int = 0


@dataclass(slots=True)
class Seen:
    """What came, and what should not have come like this. ``lost``: events that were skipped; ``twice``: that came
    again; ``anew``: visits that were not resumed; ``closed``: ends that the edge made, by their code."""

    mails: int = 0
    lost: int = 0
    twice: int = 0
    anew: int = 0
    closed: Counter[str] = field(default_factory=Counter)
    latencies_us: list[int] = field(default_factory=list)


class Visitors:
    """All of them. ``churn``: how many leave each second, to come back :data:`AWAY_S` later."""

    def __init__(self, port: int, mailboxes: list[str], secret: str, churn: float) -> None:
        self._port = port
        self._secret = secret
        self.churn = churn
        self._all = [Visitor(number, mailbox, bool(number % 2)) for number, mailbox in enumerate(mailboxes)]
        self._by_fd: dict[int, Visitor] = {}
        self._poll = select.epoll()
        self._due: list[tuple[float, int]] = [(0.0, number) for number in range(len(self._all))]
        self._dice = random.Random(len(self._all))
        self._coming = 0
        self.seen = Seen()

    def turn(self) -> None:
        """Come, read what there is."""
        now = time.monotonic()
        while self._due and self._due[0][0] <= now and self._coming < _AT_ONCE:
            self._come(self._all[heapq.heappop(self._due)[1]])
        for fd, _ in self._poll.poll(_TURN_S):
            if (visitor := self._by_fd.get(fd)) is not None:
                self._read(visitor)

    @property
    def open(self) -> int:
        return len(self._by_fd) - self._coming

    def tops(self) -> dict[str, str]:
        return {visitor.mailbox: f"{visitor.epoch}-{visitor.seq}" for visitor in self._all}

    def send_some_away(self, until: float, left_at: float) -> float:
        """Let so many leave as have become due; return when the last of them was."""
        while self.churn and left_at + 1 / self.churn <= until:
            left_at += 1 / self.churn
            visitor = self._dice.choice(self._all)
            if visitor.is_open and visitor.sock is not None:
                if self._dice.random() < 0.5:
                    visitor.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self._gone(visitor, back_in_s=AWAY_S)
        return left_at

    def _come(self, visitor: Visitor) -> None:
        sock = visitor.sock = socket.socket()
        # Many source addresses: one has only some 28,000 ports.
        sock.bind((f"127.0.0.{2 + self._dice.randrange(200)}", 0))
        after = f"?after={visitor.epoch}-{visitor.seq}" if visitor.epoch else ""
        upgrade = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            if visitor.websocket
            else "Accept: text/event-stream\r\n"
        )
        path = "/ws" if visitor.websocket else "/events"
        try:
            sock.connect(("127.0.0.1", self._port))
            sock.setblocking(False)
            sock.send(
                f"GET {path}{after} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{upgrade}"
                f"Authorization: Bearer {bearer(visitor.mailbox, self._secret)}\r\n\r\n".encode()
            )
        except OSError:
            self.seen.closed["refused"] += 1
            sock.close()
            heapq.heappush(self._due, (time.monotonic() + AWAY_S, visitor.number))
            return
        self._coming += 1
        self._by_fd[sock.fileno()] = visitor
        self._poll.register(sock, select.EPOLLIN)

    def _gone(self, visitor: Visitor, *, back_in_s: float) -> None:
        assert visitor.sock is not None
        del self._by_fd[visitor.sock.fileno()]
        self._poll.unregister(visitor.sock)
        visitor.sock.close()
        if not visitor.is_open:
            self._coming -= 1
        visitor.sock, visitor.got, visitor.is_open = None, b"", False
        heapq.heappush(self._due, (time.monotonic() + back_in_s, visitor.number))

    def _read(self, visitor: Visitor) -> None:
        assert visitor.sock is not None
        try:
            data = visitor.sock.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.seen.closed["cut"] += 1
            self._gone(visitor, back_in_s=AWAY_S)
            return
        visitor.got += data
        if not visitor.is_open:
            # The head of the answer, once it is whole.
            head, end, rest = visitor.got.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")):
                self.seen.closed[head[9:12].decode(errors="replace")] += 1
                self._gone(visitor, back_in_s=AWAY_S)
                return
            visitor.got = rest
            visitor.is_open, self._coming = True, self._coming - 1
        for payload in self._frames(visitor):
            self._told(visitor, payload)
            if visitor.sock is None:
                return

    def _frames(self, visitor: Visitor) -> list[bytes]:
        """The texts that are whole, taken out of what has come."""
        texts: list[bytes] = []
        got = visitor.got
        if not visitor.websocket:
            *lines, visitor.got = got.split(b"\n")
            return [line[6:] for line in lines if line.startswith(b"data: ")]
        at = 0
        while len(got) >= at + 2:
            size, begins = got[at + 1] & 0x7F, at + 2
            if size == 126:
                size, begins = int.from_bytes(got[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, begins = int.from_bytes(got[at + 2 : at + 10], "big"), at + 10
            if len(got) < begins + size:
                break
            payload, kind = got[begins : begins + size], got[at] & 0x0F
            at = begins + size
            if kind == 1:
                texts.append(payload)
            elif kind == 9 and visitor.sock is not None:
                # Masked by zeros, which change nothing.
                visitor.sock.send(bytes((0x8A, 0x80 | size, 0, 0, 0, 0)) + payload)
        visitor.got = got[at:]
        return texts

    def _told(self, visitor: Visitor, payload: bytes) -> None:
        seen = self.seen
        if payload.startswith(_EVENT):
            position = payload[len(_EVENT) : payload.index(b'"', len(_EVENT))].decode()
            epoch, _, number = position.partition("-")
            seq = int(number)
            if epoch != visitor.epoch or seq > visitor.seq + 1:
                seen.lost += 1
            elif seq <= visitor.seq:
                seen.twice += 1
            visitor.epoch, visitor.seq = epoch, seq
            if _MAIL in payload:
                seen.mails += 1
                at = payload.find(STAMP)
                sent_us = int(payload[at + len(STAMP) : at + len(STAMP) + _DIGITS]) if at >= 0 else 0
                # What he is told because he was away is as old as it is.
                if sent_us > visitor.since_us:
                    seen.latencies_us.append(int(time.monotonic() * 1e6) - sent_us)
        elif b'"type":"exmail.snapshot"' in payload:
            data = json.loads(payload)["data"]
            if visitor.epoch and not data["resumed"]:
                seen.anew += 1
            visitor.epoch, _, number = data["position"].partition("-")
            visitor.seq, visitor.since_us = int(number), time.monotonic() * 1e6
        elif b'"type":"exmail.closing"' in payload:
            self.seen.closed[str(json.loads(payload)["data"]["code"])] += 1
            self._gone(visitor, back_in_s=AWAY_S)


def main() -> None:
    order = json.loads(sys.stdin.readline())
    visitors = Visitors(order["port"], order["mailboxes"], order["secret"], order["churn"])
    while visitors.open < len(order["mailboxes"]):
        visitors.turn()
    _answer(open=visitors.open)
    # Who comes faster than an edge takes people on is told to come later; that belongs to the beginning.
    visitors.seen = Seen()
    orders = select.poll()
    orders.register(sys.stdin, select.POLLIN)
    left_at = time.monotonic()
    while True:
        visitors.turn()
        left_at = visitors.send_some_away(time.monotonic(), left_at)
        if not orders.poll(0):
            continue
        if not (line := sys.stdin.readline()):
            return
        order = json.loads(line)
        if "churn" in order:
            visitors.churn = order["churn"]
        if order.get("tops"):
            _answer(tops=visitors.tops(), open=visitors.open)
            continue
        seen, visitors.seen = visitors.seen, Seen()
        timed = sorted(seen.latencies_us) or [0]
        _answer(
            open=visitors.open,
            mails=seen.mails,
            lost=seen.lost,
            twice=seen.twice,
            anew=seen.anew,
            closed=dict(seen.closed),
            p50_ms=timed[len(timed) // 2] / 1000,
            p99_ms=timed[int(len(timed) * 0.99)] / 1000,
        )


def _answer(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
