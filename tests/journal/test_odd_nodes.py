"""A sentinel or a node may answer in a form that we do not know: then it has not answered, and is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import hiredis
import pytest

from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalAway

from .test_sentinel import patient_questions, refused

__all__ = ["patient_questions"]

SLOTS = b"*1\r\n*3\r\n:0\r\n:16383\r\n"
NODES = b"$0\r\n\r\n"


@asynccontextmanager
async def answering(answers: Mapping[bytes, bytes]) -> AsyncIterator[int]:
    """Something that speaks Redis's protocol; ``answers`` by the second word of a command, ``+OK`` to all others."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        while data := await reader.read(65_536):
            commands.feed(data)
            while (words := commands.gets()) is not False:
                writer.write(answers.get(words[1] if len(words) > 1 else b"", b"+OK\r\n"))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    "slots",
    [
        b"+OK\r\n",
        b":7\r\n",
        b"*1\r\n*1\r\n:0\r\n",
        SLOTS + b"*2\r\n$9\r\n127.0.0.1\r\n:1\r\n",
        SLOTS + b"*3\r\n$9\r\n127.0.0.1\r\n$3\r\nodd\r\n$1\r\nx\r\n",
        SLOTS + b"*3\r\n:5\r\n:1\r\n$1\r\nx\r\n",
        SLOTS + b"$3\r\nodd\r\n",
    ],
)
async def test_a_node_whose_slots_cannot_be_read(slots: bytes) -> None:
    """As one that does not answer, by name."""
    async with answering({b"SLOTS": slots, b"NODES": NODES}) as port:
        address = RedisAddress(f"redis+cluster://127.0.0.1:{port}", namespace="exmail")
        assert f"127.0.0.1:{port}: its answer cannot be read" in await refused(address, JournalAway)


async def test_a_node_whose_nodes_cannot_be_read() -> None:
    """What stands in the place of the epoch is none."""
    nodes = b"$18\r\nx a f m 0 0 odd up\r\n"
    slots = SLOTS + b"*3\r\n$9\r\n127.0.0.1\r\n:1\r\n$1\r\nx\r\n"
    async with answering({b"SLOTS": slots, b"NODES": nodes}) as port:
        address = RedisAddress(f"redis+cluster://127.0.0.1:{port}", namespace="exmail")
        assert "its answer cannot be read" in await refused(address, JournalAway)


@pytest.mark.parametrize(
    "master",
    [
        b"+OK\r\n",
        b":7\r\n",
        b"*0\r\n",
        b"*6\r\n$2\r\nip\r\n$1\r\nx\r\n$4\r\nport\r\n$3\r\nodd\r\n$12\r\nconfig-epoch\r\n$1\r\n1\r\n",
    ],
)
async def test_a_sentinel_that_cannot_be_read(master: bytes) -> None:
    """The same."""
    async with answering({b"MASTER": master}) as port:
        address = RedisAddress(f"redis+sentinel://127.0.0.1:{port}/mymaster")
        assert f"127.0.0.1:{port}: its answer cannot be read" in await refused(address, JournalAway)
