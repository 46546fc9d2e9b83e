"""RFC 6455 as the cases 1 to 7 of the Autobahn suite ask for it, against the edge over a socket.

A case is what a client sends, and every frame that must come back until the connection ends. Each is sent at once and
octet by octet. ``python -m tests.autobahn`` runs the suite itself, where it is installed.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from tests.edge.test_wire import client_frame
from tests.support.browser_side import open_ws
from tests.support.echo_edge import PATH, add_echo
from tests.support.stage import bearer, leading_writer, running_edge
from tests.support.waiting import PATIENCE_S

MORE, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

Frames = list[tuple[int, bytes]]
Case = tuple[bytes, Frames]


def closing(code: int, reason: bytes = b"") -> bytes:
    return client_frame(code.to_bytes(2, "big") + reason, CLOSE)


def closed(code: int) -> tuple[int, bytes]:
    return CLOSE, code.to_bytes(2, "big")


def well(*frames: bytes, gives: Frames) -> Case:
    """All in order: the client closes behind it, and is answered."""
    return b"".join(frames) + closing(1000), [*gives, closed(1000)]


def ill(*frames: bytes, code: int = 1002, gives: Frames | None = None) -> Case:
    """Against the protocol: closed with ``code``, and what stands behind it is not looked at."""
    return b"".join(frames) + client_frame(b"too late", PING), [*(gives or []), closed(code)]


HELLO = client_frame(b"hello")
HELLO_BACK = (TEXT, b"hello")
LENGTHS = (0, 125, 126, 127, 128, 65535, 65536)
CODE_POINTS = "Hello-µ@ßöäüàá-UTF-8!! κόσμε \U0001f600 \uffff \U0010ffff \ufeff".encode()
NOT_UTF8 = {
    "lone continuation": b"\x80",
    "overlong slash": b"\xc0\xaf",
    "overlong four": b"\xf0\x82\x82\xac",
    "surrogate": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "five octets": b"\xf8\x88\x80\x80\x80",
    "never in UTF-8": b"\xfe\xff",
    "cut off at the end": "κόσμε".encode()[:-1],
}
MAY_BE_SENT = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
MAY_NOT_BE_SENT = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)

FAMILIES: dict[str, dict[str, Case]] = {
    "1 lengths": {
        f"{kind} of {length}": well(client_frame(b"*" * length, opcode), gives=[(opcode, b"*" * length)])
        for kind, opcode in (("text", TEXT), ("binary", BINARY))
        for length in LENGTHS
    },
    "2 pings": {
        "without payload": well(client_frame(b"", PING), gives=[(PONG, b"")]),
        "text": well(client_frame(b"hello", PING), gives=[(PONG, b"hello")]),
        "any octets": well(client_frame(b"\x00\xff\xfe", PING), gives=[(PONG, b"\x00\xff\xfe")]),
        "125 octets": well(client_frame(b"\xfe" * 125, PING), gives=[(PONG, b"\xfe" * 125)]),
        "126 octets": ill(client_frame(b"\xfe" * 126, PING)),
        "a pong that nobody asked for": well(client_frame(b"x", PONG), HELLO, gives=[HELLO_BACK]),
        "a pong, then a ping": well(client_frame(b"", PONG), client_frame(b"p", PING), gives=[(PONG, b"p")]),
        "ten in order": well(
            *(client_frame(b"%d" % number, PING) for number in range(10)),
            gives=[(PONG, b"%d" % number) for number in range(10)],
        ),
    },
    "3 reserved bits": {
        f"{bits} on {kind}": ill(HELLO, bytes((first | bits << 4,)) + frame[1:], gives=[HELLO_BACK])
        for bits in range(1, 8)
        for kind, first, frame in (
            ("text", 0x81, client_frame(b"x")),
            ("ping", 0x89, client_frame(b"x", PING)),
            ("close", 0x88, closing(1000)),
        )
    },
    "4 opcodes": {
        f"{opcode}, {length} octets": ill(HELLO, client_frame(b"x" * length, opcode), gives=[HELLO_BACK])
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        for length in (0, 5)
    },
    "5 fragments": {
        "a ping in two": ill(client_frame(b"a", PING, final=False), client_frame(b"b", MORE)),
        "a pong in two": ill(client_frame(b"a", PONG, final=False), client_frame(b"b", MORE)),
        "a text in two": well(client_frame(b"a", final=False), client_frame(b"b", MORE), gives=[(TEXT, b"ab")]),
        "binary in three, the last empty": well(
            client_frame(b"\xff", BINARY, final=False),
            client_frame(b"\xfe", MORE, final=False),
            client_frame(b"", MORE),
            gives=[(BINARY, b"\xff\xfe")],
        ),
        "pings between": well(
            client_frame(b"a", final=False),
            client_frame(b"1", PING),
            client_frame(b"b", MORE, final=False),
            client_frame(b"2", PING),
            client_frame(b"c", MORE),
            gives=[(PONG, b"1"), (PONG, b"2"), (TEXT, b"abc")],
        ),
        "all empty": well(
            client_frame(b"", final=False),
            client_frame(b"", MORE, final=False),
            client_frame(b"", MORE),
            gives=[(TEXT, b"")],
        ),
        "a last one of nothing": ill(client_frame(b"a", MORE), HELLO),
        "a first one of nothing": ill(client_frame(b"a", MORE, final=False), HELLO),
        "a last one behind the last": ill(
            client_frame(b"a", final=False), client_frame(b"b", MORE), client_frame(b"c", MORE), gives=[(TEXT, b"ab")]
        ),
        "a text within a text": ill(client_frame(b"a", final=False), HELLO),
        "binary within a text": ill(client_frame(b"a", final=False), client_frame(b"b", BINARY, final=False)),
    },
    "6 UTF-8": {
        "valid": well(client_frame(CODE_POINTS), gives=[(TEXT, CODE_POINTS)]),
        "a fragment an octet": well(
            client_frame(CODE_POINTS[:1], final=False),
            *(client_frame(CODE_POINTS[at : at + 1], MORE, final=False) for at in range(1, len(CODE_POINTS))),
            client_frame(b"", MORE),
            gives=[(TEXT, CODE_POINTS)],
        ),
        "binary need not be": well(client_frame(b"\xff", BINARY), gives=[(BINARY, b"\xff")]),
        # More of the message could follow; it is refused all the same.
        "known at the first fragment": ill(client_frame(b"ok \xff", final=False), code=1007),
        "known at the second": ill(
            client_frame(b"\xe4", final=False), client_frame(b"\xc0", MORE, final=False), code=1007
        ),
        **{name: ill(client_frame(octets), code=1007) for name, octets in NOT_UTF8.items()},
        **{
            f"{name}, in two": ill(
                client_frame(octets[:1], final=False), client_frame(octets[1:], MORE, final=True), code=1007
            )
            for name, octets in NOT_UTF8.items()
        },
    },
    "7 closing": {
        "answered": (HELLO + closing(1000), [HELLO_BACK, closed(1000)]),
        "twice": (closing(1000) * 2, [closed(1000)]),
        "then a ping": (closing(1000) + client_frame(b"", PING), [closed(1000)]),
        "then a text": (closing(1000) + HELLO, [closed(1000)]),
        "then what breaks the protocol": (closing(1000) + b"\xff" * 20, [closed(1000)]),
        "within a message": (client_frame(b"a", final=False) + closing(1000), [closed(1000)]),
        "without a code": (client_frame(b"", CLOSE), [(CLOSE, b"")]),
        "half a code": ill(client_frame(b"\x03", CLOSE)),
        "a reason of 123 octets": (closing(1000, b"*" * 123), [closed(1000)]),
        "a reason of 124 octets": ill(closing(1000, b"*" * 124)),
        "a reason that is not UTF-8": ill(closing(1000, b"\xce\xba\xe1\xbd"), code=1007),
        "in two": ill(client_frame(b"\x03\xe8", CLOSE, final=False)),
        **{f"with {code}": (closing(code), [closed(code)]) for code in MAY_BE_SENT},
        **{f"with {code}, which may not be": ill(closing(code)) for code in MAY_NOT_BE_SENT},
    },
    "8 masks": {
        "none": ill(HELLO, b"\x81\x01a", gives=[HELLO_BACK]),
        "none on a ping": ill(b"\x89\x00"),
        "none on a close": ill(b"\x88\x02\x03\xe8"),
        "of zeros": well(client_frame(b"abc", mask=b"\0\0\0\0"), gives=[(TEXT, b"abc")]),
    },
}


async def talk(url: str, data: bytes, *, octets: bool, path: str = PATH, **headers: str) -> Frames:
    """Send, and read every frame until the other side ends the connection; of a close the code alone."""
    client = await open_ws(url, path, **headers)
    async with client:
        client.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sending = asyncio.create_task(_send(client.writer, data, octets=octets))
        frames: Frames = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                while head := await client.reader.read(1):
                    frames.append(await _frame(client.reader, head[0]))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return frames


async def _send(writer: asyncio.StreamWriter, data: bytes, *, octets: bool) -> None:
    for at in range(0, len(data), 1 if octets else len(data)):
        writer.write(data[at : at + 1] if octets else data)
        # The edge lives in this loop: it reads between two octets.
        await asyncio.sleep(0)
    await writer.drain()


async def _frame(reader: asyncio.StreamReader, first: int) -> tuple[int, bytes]:
    assert first & 0xF0 == 0x80, "a server's frames are whole here, and have no reserved bits"
    length = (await reader.readexactly(1))[0]
    assert length < 128, "a server masks nothing"
    if length >= 126:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    payload = await reader.readexactly(length)
    opcode = first & 0x0F
    if opcode == CLOSE:
        payload[2:].decode()
        payload = payload[:2]
    return opcode, payload


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_family_of_cases(redis_url: str, family: str) -> None:
    """What comes back is what the RFC says, whole and octet by octet; no frame comes behind a close."""
    wrong: list[Any] = []
    async with leading_writer(redis_url), running_edge(redis_url, add_routes=add_echo) as (url, _):
        for name, (data, expected) in FAMILIES[family].items():
            for octets in (False, True)[: 1 if len(data) > 1000 else 2]:
                found = await talk(url, data, octets=octets)
                if found != expected:
                    wrong.append((name, "octets" if octets else "whole", found, expected))
    assert not wrong


async def test_a_ping_within_a_long_message_is_no_part_of_it(redis_url: str) -> None:
    """On ``/ws`` itself: 4 KiB are a message's own; a ping between its fragments is answered."""
    data = client_frame(b"a" * 4090, final=False) + client_frame(b"*" * 100, PING) + client_frame(b"b" * 6, MORE)
    async with leading_writer(redis_url), running_edge(redis_url) as (url, _):
        frames = await talk(url, data + closing(1000), octets=False, path="/ws", **bearer())
    assert [frame for frame in frames if frame[0] != TEXT] == [(PONG, b"*" * 100), closed(1000)]


async def test_who_goes_on_sending_still_reads_why_it_ends(redis_url: str) -> None:
    """The code arrives while megabytes of what is refused are under way: no reset overtakes it."""
    data = client_frame(b"a" * 2_000_000)
    async with leading_writer(redis_url), running_edge(redis_url) as (url, _):
        for _ in range(5):
            frames = await talk(url, data, octets=False, path="/ws", **bearer())
            assert frames[-1] == closed(3501)
