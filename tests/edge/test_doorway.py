"""The short way in: it answers as aiohttp's lane does, or leaves the socket to it as it was."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from bridge.edge.doorway import Doorway
from bridge.edge.head import LONGEST, read_head
from bridge.edge.places import Limits, Places
from bridge.journal.writer import Writer
from bridge.obs.acceptor import Acceptor
from tests.fuzz.mutate import Mutator
from tests.fuzz.test_hostile_clients import client_frame
from tests.support.bare_edge import bare_edge
from tests.support.browser_side import open_ws
from tests.support.doors import Doors
from tests.support.stage import ANN, BOB, bearer, leading_writer, mail, running_edge, token
from tests.support.waiting import PATIENCE_S, until

from .conftest import QUICK, connect, ids

OA = "https://oa.corp.com"
PREFIX = "/exmail"
FIRST = b"exmail.snapshot"
VOLATILE = re.compile(rb'("retry_ms":|retry: |"expires_in":|"as_of":)\d+')
UPGRADE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
STREAM = "Accept: text/event-stream\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ELSEWHERE = b"\r\n"
"""Before a request line: passed over by aiohttp's parser, and not plain."""


HOST = "Host: oa.corp.com\r\n"


def head(path: str, lines: str, *, host: str = HOST, method: str = "GET", version: str = "1.1") -> bytes:
    return f"{method} {path} HTTP/{version}\r\n{host}{lines}\r\n".encode("latin-1", "replace")


def credential() -> str:
    """A header with a token of this moment."""
    return f"Authorization: Bearer {token()}\r\n"


def plain() -> Iterator[tuple[str, bytes]]:
    """Heads with what browsers, proxies and others send, by what is special in them."""
    good = credential()
    for kind, path, lines in (("websocket", "/ws", UPGRADE), ("sse", "/events", STREAM)):
        for name, query, more in (
            ("bearer", "", good),
            ("below", "", good),
            ("nothing", "", ""),
            ("bad token", "", "Authorization: Bearer a.b.c\r\n"),
            ("another scheme", "", f"Authorization: Basic eA==\r\nCookie: exmail_bridge={token()}\r\n"),
            ("expired", "", f"Authorization: Bearer {token(life_s=-600)}\r\n"),
            ("cookie", "", f"Cookie: a=b; exmail_bridge={token()}; c\r\n"),
            ("two cookies", "", f"Cookie: exmail_bridge={token()}; exmail_bridge={token(ANN)}\r\n"),
            ("cross site", "", f"Cookie: exmail_bridge={token()}\r\nSec-Fetch-Site: cross-site\r\n"),
            ("ticket", "?ticket=none", ""),
            ("own origin", "", f"{good}Origin: http://oa.corp.com\r\n"),
            ("listed origin", "", f"{good}Origin: {OA}\r\n"),
            ("listed origin, refused", "", f"Origin: {OA}\r\n"),
            ("foreign origin", "", f"{good}Origin: https://evil.example\r\n"),
            ("null origin", "", f"{good}Origin: null\r\n"),
            ("two origins", "", f"{good}Origin: {OA}\r\nOrigin: {OA}\r\n"),
            ("position", "?after=zzzzzzzz-7", good),
            ("position in a header", "?after=x", f"{good}Last-Event-ID: zzzzzzzz-7\r\n"),
            ("odd position", "?after=%ff%00+%2B&after=2", good),
            ("mailbox", f"?mailbox={BOB}", good),
            ("not his", f"?mailbox={ANN}", good),
            ("all of his", "?mailbox=*", good),
            ("fragment", "?mailbox=*#x", good),
            ("path with a fragment", "#x", good),
            ("odd query", "?&=&&a=b=c;d&mailbox", good),
            ("forwarded", "", f"{good}X-Forwarded-Host: portal.example\r\nOrigin: https://portal.example\r\n"),
            ("no websocket", "", f"{good}Sec-WebSocket-Version: 8\r\n"),
            ("no keep-alive", "", f"{good}Connection: close\r\n"),
            ("expects", "", f"{good}Expect: 100-continue\r\n"),
            ("expects what nobody knows", "", f"{good}Expect: tea\r\n"),
            ("a body of nothing", "", f"{good}Content-Length: 0\r\n"),
            ("two hosts", "", f"{good}Host: x\r\n"),
            ("a long line", "", f"{good}X-Long: {'x' * 9000}\r\n"),
            ("many headers", "", good + "".join(f"X-{number}: y\r\n" for number in range(200))),
            ("very long", "", good + "".join(f"X-{number}: {'y' * 1000}\r\n" for number in range(20))),
            ("blank before a colon", "", f"{good}X : y\r\n"),
            ("folded", "", f"{good}X: y\r\n z\r\n"),
            ("no text", "", f"{good}X: \xff\xfe\r\n"),
            ("old websocket", "", f"{good}Sec-WebSocket-Key1: x\r\n"),
            ("html wanted", "", f"{good}Accept: text/html\r\n"),
        ):
            yield f"{kind}: {name}", head(f"{PREFIX if name == 'below' else ''}{path}{query}", lines + more)
        yield f"{kind}: no host", head(path, lines + good, host="")
        for version in ("1.0", "2.0", "0.9"):
            yield f"{kind}: HTTP/{version}", head(path, lines + good, version=version)
        for method in ("HEAD", "POST", "OPTIONS", "get", "GETT"):
            yield f"{kind}: {method}", head(path, lines + good, method=method)
        others = (f"http://oa.corp.com{path}", f"{path}/", f"/.{path}", "/%77s", "*", "", path.upper(), f"{path}%20")
        for other in others:
            yield f"{kind}: at {other}", head(other, lines + good)
    yield "websocket: no upgrade", head("/ws", good)
    yield "sse: anything wanted, refused", head("/events", "Accept: */*\r\n")
    yield "sse: upgrade", head("/events", UPGRADE + STREAM + good)
    yield "websocket: other upgrade", head("/ws", good + "Upgrade: h2c\r\nConnection: Upgrade\r\n")


@dataclass
class Answer:
    """What came: the first line and the headers of an answer, and what followed up to the first frame or the end."""

    status: str
    headers: list[str]
    rest: bytes
    ended: bool


async def ask(url: str, data: bytes) -> Answer:
    """Send this at once, and read what belongs to one answer."""
    at = urlsplit(url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port, limit=2**20)
    got, ended = b"", False
    try:
        writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            head_only = data.lstrip().startswith(b"HEAD ")
            while not ended and not _is_all(got, head_only):
                try:
                    piece = await reader.read(65_536)
                except ConnectionError:
                    piece = b""
                got, ended = (got + piece).removeprefix(CONTINUE), not piece
    finally:
        writer.transport.abort()
    first, _, rest = got.partition(b"\r\n\r\n")
    status, *lines = first.decode("latin-1").split("\r\n")
    kept = sorted(line for line in lines if not line.startswith(("Date:", "Server:")))
    return Answer(status, kept, VOLATILE.sub(rb"\1N", rest), ended)


def _is_all(got: bytes, head_only: bool) -> bool:
    first, end, rest = got.partition(b"\r\n\r\n")
    if head_only or first.startswith(b"HTTP/1.1 204"):
        return bool(end)
    if FIRST in rest:
        return rest.endswith(b"}}\n\n" if b"event-stream" in first else b"}}")
    length = re.search(rb"\r\ncontent-length: (\d+)", first, re.IGNORECASE)
    return bool(end and length and len(rest) >= int(length[1]) and b"event-stream" not in first)


@asynccontextmanager
async def an_edge(redis_url: str, **environ: str) -> AsyncIterator[tuple[str, Writer, Redis]]:
    public = {"BRIDGE_EDGE_PUBLIC_URL": f"https://portal.corp.com{PREFIX}/", "BRIDGE_EDGE_ALLOWED_ORIGINS": OA}
    async with (
        leading_writer(redis_url) as (writer, redis),
        running_edge(redis_url, QUICK, **public, **environ) as (url, _),
    ):
        await writer.commit([mail("Z1")])
        yield url, writer, redis


def under_way() -> int:
    """Handshakes that the short way has begun and not ended."""
    return sum(task.get_name() == "handshake" for task in asyncio.all_tasks())


async def test_both_lanes_answer_alike(redis_url: str) -> None:
    """Status, headers, first frame, close code, and whether the connection goes on, for whatever heads."""
    async with an_edge(redis_url) as (url, _, _):
        statuses = set()
        for name, data in plain():
            answers = await asyncio.gather(ask(url, data), ask(url, ELSEWHERE + data))
            assert answers[0] == answers[1], name
            statuses.add(answers[0].status[:12])
        assert statuses >= {f"HTTP/1.1 {status}" for status in (101, 200, 400, 401, 403, 404, 417)}


async def test_both_lanes_answer_alike_whatever_is_changed(redis_url: str) -> None:
    """Heads that were mutated, with a whole end: most are refused, and by both in the same words."""
    seeds = [data.removesuffix(b"\r\n\r\n") for _, data in plain()]
    words = [b"\r\n", b"\r\n\r\n", b"\n", b"\0", b" ", b"?", b"%", b"Host: y\r\n", b"Content-Length: 3\r\n"]
    mutator, random = Mutator(seeds, words, longest=12_000, seed=14), Random(15)
    async with an_edge(redis_url) as (url, _, _):
        for _ in range(40):
            heads = [mutator.next() + b"\r\n\r\n" for _ in range(5)]
            # Most changes break the first line: half of them leave it whole.
            heads += [_first_line(random.choice(seeds)) + each.partition(b"\r\n")[2] for each in heads]
            # A parser that waits for more would wait for ever: for a body, or for a first line.
            whole = [each for each in heads if each.strip() and b"\ncontent-length" not in each.lower()]
            pairs = [(each, ELSEWHERE + each) for each in whole]
            for pair in pairs:
                one, other = await asyncio.gather(*(ask(url, each) for each in pair))
                assert one == other, pair[0]


def _first_line(data: bytes) -> bytes:
    return data.partition(b"\r\n")[0] + b"\r\n"


@pytest.mark.parametrize("cuts", [1, 7, 100])
async def test_a_head_in_pieces_is_answered(redis_url: str, transport: str, cuts: int) -> None:
    """However it is cut: whoever reads it then, the client gets his connection and his mails."""
    name = {"websocket": "websocket: bearer", "sse": "sse: bearer"}[transport]
    data = dict(plain())[name]
    async with an_edge(redis_url) as (url, _, _):
        at = urlsplit(url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        for start in range(0, len(data), len(data) // cuts):
            writer.write(data[start : start + len(data) // cuts])
            await writer.drain()
            # Into a packet of its own.
            await asyncio.sleep(0)
        assert FIRST in await asyncio.wait_for(reader.readuntil(FIRST), PATIENCE_S)
        writer.transport.abort()


async def test_what_is_sent_behind_the_head_is_for_the_connection(redis_url: str) -> None:
    """A client may say something before it has an answer: a ping is answered, a close ends it."""
    data = dict(plain())["websocket: bearer"]
    async with an_edge(redis_url) as (url, _, _):
        for lane in (b"", ELSEWHERE):
            at = urlsplit(url)
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            writer.write(lane + data + client_frame(9, b"there?") + client_frame(8, (1000).to_bytes(2, "big")))
            got = await asyncio.wait_for(reader.read(-1), PATIENCE_S)
            assert got.index(FIRST) < got.index(b"\x8a\x06there?") < got.index(b"\x88\x02\x03\xe8")
            writer.close()


async def test_who_speaks_later_is_let_in_too(redis_url: str, transport: str) -> None:
    """Nobody has to have sent his head when his connection is accepted; one who says nothing is closed in time."""
    data = dict(plain())[f"{transport}: bearer"]
    async with an_edge(redis_url, BRIDGE_EDGE_REQUEST_TIMEOUT="1") as (url, _, _):
        at = urlsplit(url)
        silent, _ = await asyncio.open_connection(at.hostname, at.port)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        # Accepted one after the other: that one is answered, so the others have been looked at.
        async with await connect(url, transport) as third:
            await third.frame()
        writer.write(data)
        assert FIRST in await asyncio.wait_for(reader.readuntil(FIRST), PATIENCE_S)
        assert await asyncio.wait_for(silent.read(), PATIENCE_S) == b""
        writer.close()


async def test_the_short_way_is_taken(redis_url: str, transport: str) -> None:
    """While the journal does not answer, a plain request is a handshake of ours, and its place is counted; whoever
    hangs up meanwhile leaves nothing behind."""
    name = f"{transport}: bearer"
    async with an_edge(redis_url, BRIDGE_EDGE_MAX_CONNECTIONS="1") as (url, _, redis):
        await redis.execute_command("CLIENT", "PAUSE", "100000", "WRITE")
        at = urlsplit(url)
        _, writer = await asyncio.open_connection(at.hostname, at.port)
        writer.write(dict(plain())[name])
        await until(lambda: under_way() == 1)
        async with await connect(url, transport) as second:
            assert await second.end() == 3013
        writer.transport.abort()
        await redis.execute_command("CLIENT", "UNPAUSE")
        await until(lambda: not under_way())

        async def let_in() -> bool:
            async with await connect(url, transport) as third:
                return (await third.frame()).type == "exmail.snapshot"

        await until(let_in)


async def test_who_is_not_in_when_an_edge_ends_is_told(redis_url: str) -> None:
    """A handshake that is under way then is answered with 3001 and a time to come back, never with a cut."""
    async with leading_writer(redis_url) as (_, redis):
        async with running_edge(redis_url, QUICK) as (url, _):
            await redis.execute_command("CLIENT", "PAUSE", "100000", "WRITE")
            opening = asyncio.create_task(open_ws(url, **bearer()))
            await until(lambda: under_way() == 1)
            stopping = asyncio.create_task(_end_of(opening))
        await redis.execute_command("CLIENT", "UNPAUSE")
        assert await asyncio.wait_for(stopping, PATIENCE_S) == 3001


async def test_who_waits_for_too_long_is_told_to_come_later(redis_url: str, transport: str) -> None:
    """As in the other lane; his place is free again, and who came later goes on waiting."""
    async with leading_writer(redis_url) as (_, redis), bare_edge(redis_url) as edge:
        places = Places(lambda: Limits(connections=5), now=lambda: 0.0)
        doorway = Doorway(Doors(edge, places).entrance, patience_s=0.1)
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
            acceptor = Acceptor(sock, asyncio.Protocol, patience_s=60, door=doorway)
            acceptor.start()
            await redis.execute_command("CLIENT", "PAUSE", "100000", "WRITE")
            url = f"http://127.0.0.1:{sock.getsockname()[1]}"
            async with await connect(url, transport) as client:
                assert await client.end() == 3013
            assert places.taken == 0
            await redis.execute_command("CLIENT", "UNPAUSE")

            async def let_in() -> bool:
                async with await connect(url, transport) as other:
                    return (await other.frame()).type == "exmail.snapshot"

            await until(let_in)
            await acceptor.stop()
            await doorway.close(60)
            acceptor.close()


async def _end_of(opening: asyncio.Task[object]) -> int | None:
    client = await opening
    code: int | None = await client.end()  # type: ignore[attr-defined]
    return code


async def test_mails_come_to_whoever_came_in_by_either_lane(redis_url: str, transport: str) -> None:
    """Live ones, after the snapshot, in order."""
    async with an_edge(redis_url) as (url, writer, _), await connect(url, transport) as short:
        at = urlsplit(url)
        reader, other = await asyncio.open_connection(at.hostname, at.port)
        other.write(ELSEWHERE + dict(plain())[f"{transport}: bearer"])
        await asyncio.wait_for(reader.readuntil(FIRST), PATIENCE_S)
        await short.frame()
        await writer.commit([mail("Z2"), mail("Z3")])
        assert ids(await short.events(2)) == ["Z2", "Z3"]
        got = await asyncio.wait_for(reader.readuntil(b'"Z3"'), PATIENCE_S)
        assert got.index(b'"Z2"') < got.index(b'"Z3"')
        other.close()


async def test_nothing_is_read_that_is_not_plain() -> None:
    """A head that is not all there, of another path, with a body, or longer than is looked at."""
    loop, paths = asyncio.get_running_loop(), {b"/ws"}
    whole = head("/ws?after=1", UPGRADE + credential())
    found = read_head(whole + b"tail", paths, peer=("10.0.0.1", 5), loop=loop)
    assert found is not None
    path, read, size = found
    assert (path, size, read.remote, read.host) == (b"/ws", len(whole), "10.0.0.1", "oa.corp.com")
    assert read.query["after"] == "1"
    for data in (*(whole[:size] for size in range(len(whole))), whole.replace(b"/ws", b"/wt"), ELSEWHERE + whole):
        assert read_head(data, paths, peer=None, loop=loop) is None
    body = head("/ws", UPGRADE + credential() + "Content-Length: 1\r\n") + b"x"
    assert read_head(body, paths, peer=None, loop=loop) is None
    assert len(head("/ws", f"X: {'x' * LONGEST}\r\n")) > LONGEST
