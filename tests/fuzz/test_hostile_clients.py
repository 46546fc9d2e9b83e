"""What a browser may send to a real edge, hostile or broken: at worst it loses its own connection."""

from __future__ import annotations

import asyncio
from random import Random
from urllib.parse import quote

import pytest

from bridge.edge.pace import Pace
from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import TARGETS
from tests.support.browser_side import OPENERS, open_ws
from tests.support.stage import bearer, leading_writer, mail, running_edge

TEXT, BINARY = 1, 2


def client_frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """A frame as a browser sends it, masked with zeros."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes(((0x80 if final else 0) | opcode,)) + length + b"\0\0\0\0" + payload


async def test_what_a_client_says_is_ignored(redis_url: str) -> None:
    """Text and bytes up to 4 KiB, whole or in fragments; the connection goes on, and lives on pings."""
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url) as (url, _),
        await open_ws(url, **bearer()) as browser,
    ):
        for opcode in (TEXT, BINARY):
            for size in (0, 1, 125, 126, 4095, 4096):
                browser.writer.write(client_frame(opcode, b"a" * size))
                browser.writer.write(client_frame(opcode, b"a" * (size // 2), final=False))
                browser.writer.write(client_frame(9, b"between"))
                browser.writer.write(client_frame(0, b"a" * (size - size // 2)))
        await browser.until("pong")
        await writer.commit([mail("Z1")])
        assert [event["data"]["mail_id"] for event in await browser.events(1)] == ["Z1"]


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (client_frame(TEXT, b"a" * 4097), 3501),
        (client_frame(BINARY, b"a" * 4097), 3501),
        (client_frame(TEXT, b"a" * 4096, final=False) + client_frame(0, b"a"), 3501),
        (b"\x82\xff" + b"\xff" * 8, 3501),
        (client_frame(TEXT, b"\xff"), 1007),
        (client_frame(3, b""), 1002),
        (b"\x81\x01a", 1002),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
    ],
)
async def test_what_breaks_the_protocol_closes_with_its_code(redis_url: str, frames: bytes, code: int) -> None:
    """And nobody else's connection."""
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url) as (url, _),
        await open_ws(url, **bearer()) as hostile,
        await open_ws(url, **bearer()) as other,
    ):
        hostile.writer.write(frames)
        assert await hostile.end() == code
        await writer.commit([mail("Z1")])
        assert len(await other.events(1)) == 1


async def test_any_bytes_from_many_clients_hurt_nobody_else(redis_url: str) -> None:
    """A hundred connections that send mutated frames; one beside them is told of its mail."""
    target = TARGETS["message"]
    mutator = Mutator(target.seeds, target.words, longest=target.longest, seed=3)
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url) as (url, _),
        await open_ws(url, **bearer()) as other,
    ):

        async def attack() -> None:
            async with await open_ws(url, **bearer()) as hostile:
                for _ in range(5):
                    hostile.writer.write(mutator.next()[2:])
                # Whatever was begun ends within this, and then it is no frame.
                hostile.writer.write(b"\x81\x01a" * 3000)
                await hostile.end()

        for _ in range(10):
            await asyncio.gather(*(attack() for _ in range(10)))
        await writer.commit([mail("Z1")])
        assert len(await other.events(1)) == 1


IMPATIENT = Pace(ahead_s=0.2)
"""Nobody of these comes from a failover."""


@pytest.mark.parametrize("kind", OPENERS)
async def test_any_position_is_answered_with_a_snapshot(redis_url: str, kind: str) -> None:
    """Never a refusal, which would end an ``EventSource`` for good; what is none of ours resumes nothing."""
    target = TARGETS["position"]
    mutator = Mutator(target.seeds, target.words, longest=target.longest, seed=4)
    random = Random(5)
    async with leading_writer(redis_url) as (writer, _), running_edge(redis_url, IMPATIENT) as (url, _):
        [outcome] = await writer.commit([mail("Z1")])
        texts = [mutator.next() for _ in range(100)]
        for text in (*texts, b"%b-2" % outcome.epoch.encode(), b"%b-999999999999999999" % outcome.epoch.encode()):
            path, headers = {"websocket": "/ws", "sse": "/events"}[kind], bearer()
            in_header = text.decode("latin-1")
            if kind == "sse" and random.random() < 0.5 and in_header.isascii() and in_header.isprintable():
                headers["Last-Event-ID"] = in_header
            else:
                path = f"{path}?after={quote(text)}"
            async with await OPENERS[kind](url, path, **headers) as browser:
                snapshot = (await browser.frame()).data["data"]
                assert not snapshot["resumed"], text
                assert snapshot["reason"] in ("first", "epoch"), text
