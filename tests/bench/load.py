"""A load client: thousands of subscribers on one epoll loop, and what came, counted and timed.

A process of its own, so that it takes nothing from the server's core. It counts frames by a marker that stands once
in each event, and times them by the clock reading in it, which all processes of a machine share. Events of a worker say
when their push arrived, and the kernel when their bytes came to the socket: how long this process took to read them,
on a core that it shares with the worker and Redis, is no part of that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime

MARK = b'"mail_id":"T'
TIME = b'"time":"'
PING = b"\x89\x00"
PONG = b"\x8a\x80\x00\x00\x00\x00"
_DIGITS = 16
_ISO = 24  # characters of an event's time: 2026-11-24T05:20:13.538Z
_CUT_US = 500  # the mean of what it lacks, because its milliseconds are cut off
_TIMESTAMPNS = 35  # SO_TIMESTAMPNS of Linux, which Python does not have
_TIMESPEC = struct.Struct("@qq")
_AT_ONCE = 256


def stamp() -> str:
    """A MailId that says when its event was published: microseconds of the monotonic clock."""
    return f"T{int(time.monotonic() * 1e6):0{_DIGITS}d}"


@dataclass(slots=True)
class Load:
    """``n`` subscribers of one server; ``path`` may have a ``%d`` for the subscriber's number.

    One is open when ``opened_by`` has come. ``say`` is the text that a WebSocket has to send first, if any. ``mark``:
    what stands once in each event; those of our own say when they were published, and with ``TIME`` a worker's say when
    their pushes arrived.
    """

    host: str
    port: int
    path: str
    n: int
    websocket: bool
    bearers: list[str] = field(default_factory=list)
    opened_by: bytes = b"exmail.snapshot"
    say: bytes = b""
    mark: bytes = MARK
    socks: dict[int, socket.socket] = field(default_factory=dict)
    latencies_us: list[int] = field(default_factory=list)
    frames: int = 0
    closed: int = 0
    handshake_s: float = 0.0
    _poll: select.epoll = field(default_factory=select.epoll)
    _came_ns: int = 0

    def connect(self) -> None:
        """Open all of them, some hundred at a time, and read until each has its snapshot."""
        started = time.monotonic()
        waiting: dict[int, bytes] = {}
        opened = 0
        while opened < self.n or waiting:
            while opened < self.n and len(waiting) < _AT_ONCE:
                sock = socket.socket()
                # Many source addresses: one has only some 28,000 ports.
                sock.bind((f"127.0.0.{2 + opened % 50}", 0))
                sock.connect((self.host, self.port))
                sock.setblocking(False)
                if self.mark == TIME:
                    sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
                sock.send(self._request(opened))
                self.socks[sock.fileno()] = sock
                waiting[sock.fileno()] = b""
                self._poll.register(sock, select.EPOLLIN)
                opened += 1
            for fd, _ in self._poll.poll(10):
                got = self._read(fd)
                if fd in waiting:
                    if self.say and b"\r\n\r\n" not in waiting[fd] and b"\r\n\r\n" in waiting[fd] + got:
                        self.socks[fd].send(self._said())
                    waiting[fd] += got
                    if self.opened_by in waiting[fd]:
                        del waiting[fd]
                    elif not got:
                        raise SystemExit(f"refused: {waiting[fd][:200]!r}")
        self.handshake_s = time.monotonic() - started

    def cut(self) -> None:
        """All of them leave at once."""
        for sock in self.socks.values():
            self._poll.unregister(sock)
            sock.close()
        self.socks.clear()

    def count(self, frames: int, *, patience_s: float = 8.0) -> float:
        """Read until so many frames came, or none for a while; return the seconds from the first to the last."""
        self.frames, self.latencies_us = 0, []
        first = last = time.monotonic()
        while self.frames < frames and time.monotonic() - last < patience_s:
            before = self.frames
            for fd, _ in self._poll.poll(min(1.0, last + patience_s - time.monotonic() + 0.001)):
                self._take(self._read(fd))
            if self.frames > before:
                last = time.monotonic()
                first = first if before else last
        return last - first

    def _take(self, data: bytes) -> None:
        at = data.find(self.mark)
        if at < 0:
            return
        self.frames += data.count(self.mark)
        if self.mark == TIME:
            arrived = datetime.fromisoformat(data[at + len(TIME) : at + len(TIME) + _ISO].decode())
            self.latencies_us.append(self._came_ns // 1000 - round(arrived.timestamp() * 1e6) - _CUT_US)
        if self.mark is not MARK:
            return
        text = data[at + len(MARK) : at + len(MARK) + _DIGITS]
        if len(text) == _DIGITS:
            self.latencies_us.append(int(time.monotonic() * 1e6) - int(text))

    def _read(self, fd: int) -> bytes:
        try:
            data = self._received(self.socks[fd])
        except BlockingIOError:
            return b""
        except ConnectionError:
            data = b""
        if not data:
            self._poll.unregister(fd)
            self.socks.pop(fd).close()
            self.closed += 1
        elif self.websocket and PING in data:
            self.socks[fd].send(PONG)
        return data

    def _received(self, sock: socket.socket) -> bytes:
        if self.mark != TIME:
            return sock.recv(262_144)
        data, notes, _, _ = sock.recvmsg(262_144, socket.CMSG_SPACE(_TIMESPEC.size))
        for _, kind, value in notes:
            if kind == _TIMESTAMPNS:
                seconds, ns = _TIMESPEC.unpack(value)
                self._came_ns = seconds * 1_000_000_000 + ns
        return data

    def _said(self) -> bytes:
        # Masked by zeros, which change nothing.
        return bytes((0x81, 0x80 | len(self.say), 0, 0, 0, 0)) + self.say

    def _request(self, number: int) -> bytes:
        upgrade = (
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            if self.websocket
            else "Accept: text/event-stream\r\n"
        )
        if self.bearers:
            upgrade += f"Authorization: Bearer {self.bearers[number % len(self.bearers)]}\r\n"
        path = self.path.replace("%d", str(number))
        return f"GET {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{upgrade}\r\n".encode()


def bearer(mailbox: str, secret: str, number: int = 0) -> str:
    """A token as an OA's back end signs it, good for a day; another one for each number."""
    claims: dict[str, str | int] = {"sub": mailbox, "exp": int(time.time()) + 86_400, "jti": str(number)}
    signed = f"{_base64({'alg': 'HS256', 'typ': 'JWT'})}.{_base64(claims)}"
    digest = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _base64(value: dict[str, str | int]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def main() -> None:
    """Take orders as JSON lines on standard input, answer each with one."""
    order = json.loads(sys.stdin.readline())
    mailboxes, n = order.get("mailboxes", ()), order["n"]
    # Whoever has a mailbox with others has a token of his own, as browsers do.
    bearers = [bearer(mailboxes[each % len(mailboxes)], order["secret"], each) for each in range(n) if mailboxes]
    load = Load(order["host"], order["port"], order["path"], n, order["websocket"], bearers)
    load.opened_by = order.get("opened_by", "exmail.snapshot").encode()
    load.say = order.get("say", "").encode()
    if "mark" in order:
        load.mark = order["mark"].encode()
    load.connect()
    _answer(handshakes_s=round(load.n / load.handshake_s))
    for line in sys.stdin:
        order = json.loads(line)
        if order.get("leave"):
            load.cut()
            _answer()
            continue
        if "again" in order:
            load.path, load.opened_by = order["again"], order["opened_by"].encode()
            load.cut()
            load.connect()
            _answer(seconds=load.handshake_s)
            continue
        seconds = load.count(order["frames"], patience_s=order.get("patience_s", 8.0))
        timed = sorted(load.latencies_us) or [0]
        _answer(
            frames=load.frames,
            seconds=seconds,
            closed=load.closed,
            p50_ms=timed[len(timed) // 2] / 1000,
            p99_ms=timed[int(len(timed) * 0.99)] / 1000,
            **({"timed_us": timed} if order.get("timed") else {}),
        )


def _answer(**fields: float | list[int]) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main()
