"""One request and its answer: when its clock runs, how much is read, and whether anything was sent without one."""

from __future__ import annotations

import asyncio
import socket
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from html import escape
from urllib.parse import quote, quote_plus

import aiohttp
import orjson
import pytest

from bridge.provider.bizmail import endpoints
from bridge.provider.bizmail.calls import AWAY_TRIES
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.faults import (
    PERHAPS_DONE,
    NotUsable,
    OutcomeUnknown,
    ProviderAway,
    ProviderError,
    ProviderRefused,
    UnreadableAnswer,
)
from tests.provider.bare_provider import BareProvider, Request
from tests.support.waiting import PATIENCE_S, until

COUNT, SYNC, TOKEN, LIST = "/openapi/mail/newcount", "/openapi/user/sync", "/cgi-bin/token", "/openapi/user/list"
GET, AUTHKEY = "/openapi/user/get", "/openapi/mail/authkey"
ONE = b'{"NewCount":1}'


@pytest.fixture
async def client_with(provider: BareProvider) -> AsyncIterator[Callable[..., ProviderClient]]:
    """A client of the bare provider over a session of its own, with a pool of ``limit`` connections."""
    async with AsyncExitStack() as stack:

        def build(*, limit: int = 100, url: str = "", **options: float) -> ProviderClient:
            session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=limit))
            stack.push_async_callback(session.close)
            return ProviderClient(
                api_url=url or provider.url,
                auth_url=url or provider.url,
                client_id="admin",
                client_secret=lambda: "key-of-admin",
                session=session,
                busy_wait_s=0,
                **{"timeout_s": PATIENCE_S, **options},
            )

        yield build


class ShortLived:
    """A provider in a thread that closes after each answer and does not announce it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.asked: list[str] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def wait_closed(self) -> None:
        """Return when the last connection has been closed; nothing else of this process runs meanwhile."""
        assert self._closed.wait(PATIENCE_S)
        self._closed.clear()

    def stop(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(PATIENCE_S)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                path = lines.readline().decode().split(" ")[1:2]
                length = 0
                while line := lines.readline().strip():
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                lines.read(length)
                self.asked += path
                body = {TOKEN: b'{"access_token":"t","expires_in":99}', COUNT: ONE}.get("".join(path), b"")
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            self._closed.set()


@pytest.fixture
def short_lived() -> Iterator[ShortLived]:
    running = ShortLived()
    yield running
    running.stop()


async def test_who_waits_for_a_connection_has_not_been_sent(
    provider: BareProvider, client_with: Callable[..., ProviderClient], leap: Callable[[float], None]
) -> None:
    """Two at once over one connection: the one that was not sent is told so while the other is under way."""
    client = client_with(limit=1, wait_s=60, timeout_s=3600)
    await client.token()
    provider.silent.add(SYNC)
    adding = [asyncio.create_task(client.user_add(f"{name}@x", name=name, password="123456")) for name in "ab"]
    await until(lambda: len(provider.calls(SYNC)) == 1)
    leap(61)
    [ended], [under_way] = await asyncio.wait(adding, return_when=asyncio.FIRST_COMPLETED)
    under_way.cancel()
    away = ended.exception()
    assert isinstance(away, ProviderAway)
    assert (away.sent, away.why) == (False, "no connection in time")
    assert len(provider.calls(SYNC)) == 1


async def test_what_was_sent_and_not_answered_may_be_done(
    provider: BareProvider, client_with: Callable[..., ProviderClient], leap: Callable[[float], None]
) -> None:
    """And is not repeated, a read neither: it has taken its time."""
    client = client_with(timeout_s=60)
    await client.token()
    provider.silent |= {SYNC, COUNT}
    for path, call in ((SYNC, client.user_delete("a@x")), (COUNT, client.newcount("a@x"))):
        calling: asyncio.Future[object] = asyncio.ensure_future(call)
        await until(lambda path=path: len(provider.calls(path)) == 1)  # type: ignore[misc]
        leap(61)
        with pytest.raises(ProviderAway, match="no answer in time") as away:
            await calling
        assert (away.value.sent, away.value.timed_out) == (True, True)
        assert (PERHAPS_DONE in str(away.value)) == (away.value.endpoint == "user/sync")
    assert len(provider.calls(SYNC)) == len(provider.calls(COUNT)) == 1


async def test_the_clock_of_a_call_starts_when_it_is_sent(
    provider: BareProvider,
    client_with: Callable[..., ProviderClient],
    monkeypatch: pytest.MonkeyPatch,
    leap: Callable[[float], None],
) -> None:
    """Thirty at once over one connection, each answered within its time: all of them are, however long that takes."""
    client = client_with(limit=1, timeout_s=60, wait_s=3600)
    await client.token()
    answer = provider._answer

    async def slow(request: Request) -> None:
        leap(20)
        await answer(request)

    monkeypatch.setattr(provider, "_answer", slow)
    provider.will_answer(COUNT, *[ONE] * 30)
    assert await asyncio.gather(*(client.newcount("a@x") for _ in range(30))) == [1] * 30


async def test_nobody_there_means_nothing_sent(http: aiohttp.ClientSession, provider: BareProvider) -> None:
    """A refused connection, for the call itself and for the token that it needs; and it is not tried again."""
    for api_url, auth_url in (("http://127.0.0.1:1", provider.url), (provider.url, "http://127.0.0.1:1")):
        client = ProviderClient(
            api_url=api_url, auth_url=auth_url, client_id="a", client_secret=lambda: "k", session=http, busy_wait_s=0
        )
        with pytest.raises(ProviderAway) as away:
            await client.user_delete("a@x")
        assert not away.value.sent
    assert not provider.calls(SYNC)


async def test_a_token_that_broke_off_sent_no_call(provider: BareProvider, client: ProviderClient) -> None:
    """The error is the token's; of the write it says that it did not leave."""
    provider.status = "502 Bad Gateway"
    provider.will_answer(TOKEN, *[b""] * AWAY_TRIES)
    with pytest.raises(ProviderAway) as away:
        await client.user_delete("a@x")
    assert (away.value.endpoint, away.value.sent, away.value.status) == ("token", False, 502)
    assert len(provider.calls(TOKEN)) == AWAY_TRIES


async def test_reads_are_repeated_and_writes_are_not(provider: BareProvider, client: ProviderClient) -> None:
    """A provider that closes without an answer has perhaps done what it was asked."""
    await client.token()
    provider.breaks_off = {COUNT: 2, SYNC: 2}
    provider.will_answer(COUNT, ONE)
    assert await client.newcount("a@x") == 1
    assert len(provider.calls(COUNT)) == 3
    with pytest.raises(ProviderAway) as away:
        await client.user_modify("a@x", tel="1")
    assert (away.value.sent, away.value.timed_out) == (True, False)
    assert len(provider.calls(SYNC)) == 1


async def test_a_provider_that_closes_after_each_answer(
    short_lived: ShortLived, client_with: Callable[..., ProviderClient]
) -> None:
    """短连接: a connection that it has closed is not used, for a write neither; nothing is lost or sent twice."""
    client = client_with(url=short_lived.url)
    await client.token()
    for _ in range(10):
        # The loop must not see the end before it sends: that is the race that a real one loses now and then.
        short_lived.wait_closed()
        await client.user_modify("a@x", tel="1")
        short_lived.wait_closed()
        assert await client.newcount("a@x") == 1
    assert [short_lived.asked.count(path) for path in (SYNC, COUNT)] == [10, 10]


@pytest.mark.parametrize("path", [COUNT, SYNC, TOKEN])
async def test_an_answer_is_bounded(provider: BareProvider, client: ProviderClient, path: str) -> None:
    """It is not read to its end, which there may not be; and a write that is answered so may have been done."""
    if path != TOKEN:
        await client.token()
    provider.endless.add(path)
    call = client.user_modify("a@x", tel="1") if path == SYNC else client.newcount("a@x")
    with pytest.raises(OutcomeUnknown if path == SYNC else UnreadableAnswer, match="an answer of more than 4194304 by"):
        await call
    assert len(provider.calls(path)) == 1


@pytest.mark.parametrize("path", [TOKEN, COUNT, LIST, GET, AUTHKEY])
async def test_an_answer_that_comes_drop_by_drop_is_given_up(
    provider: BareProvider, client_with: Callable[..., ProviderClient], path: str
) -> None:
    """Its time is that of the whole answer: neither the directory nor who opens a mail waits for ever."""
    client = client_with(timeout_s=0.1)
    if path != TOKEN:
        await client.token()
    provider.dripping.add(path)
    calls = {
        LIST: lambda: client.user_list(0),
        GET: lambda: client.user_get("a@x"),
        AUTHKEY: lambda: client.authkey("a@x"),
    }
    with pytest.raises(ProviderAway, match="no answer in time"):
        await asyncio.wait_for(calls.get(path, lambda: client.newcount("a@x"))(), PATIENCE_S)
    assert len(provider.calls(path)) == 1


async def test_a_listing_may_be_large(provider: BareProvider, client: ProviderClient) -> None:
    """As large as the corporation: more than any other answer."""
    assert endpoints.USER_LIST.answer_most == 16 * endpoints.ANSWER_MOST
    line = b'{"Action":2,"Alias":"%b"},' % (b"a" * 1000 + b"@x")
    lines = line * (endpoints.ANSWER_MOST // len(line) + 1)
    provider.will_answer(LIST, b'{"Ver":7,"Count":0,"List":[' + lines[:-1] + b"]}")
    assert len((await client.user_list(0)).changes) == len(lines) // len(line)


async def test_a_closed_session_is_told(provider: BareProvider, client: ProviderClient, http) -> None:
    """As one of our errors; the program's own fault, nothing sent."""
    await client.token()
    await http.close()
    with pytest.raises(NotUsable, match="the client's session is closed"):
        await client.newcount("a@x")
    with pytest.raises(NotUsable, match="the client's session is closed"):
        async with client.listen(ver=lambda: 0, silence_s=60):
            pass
    assert not provider.calls(COUNT)


async def test_another_event_loop_is_told(provider: BareProvider, client: ProviderClient) -> None:
    """Not a hang, nor an error of asyncio's; each loop needs a client of its own."""
    await client.token()

    def elsewhere() -> str:
        with pytest.raises(NotUsable) as misused:
            asyncio.run(client.newcount("a@x"))
        return str(misused.value)

    assert await asyncio.to_thread(elsewhere) == "mail/newcount: the client belongs to another event loop"
    assert not provider.calls(COUNT)


MALFORMED = [
    *(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"HTTP/9.9 200\r\n\r\n", b"SSH-2.0-OpenSSH\r\n\r\n", b"\0" * 99),
    *(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 200 OK\r\n: \r\n\r\n", b"x" * 100_000),
    *(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}", b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\n\r\n"),
    *(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope", b""),
]


@pytest.mark.parametrize("answer", MALFORMED, ids=lambda each: str(each[:40]))
async def test_no_error_holds_what_was_sent(provider: BareProvider, client: ProviderClient, answer: bytes) -> None:
    """Not in its text, nor in its cause and context: aiohttp's own hold the request's headers."""
    await client.token()
    provider.raw = answer
    for call in (client.newcount("a@x"), client.user_modify("a@x", password="hush hush")):
        with pytest.raises(ProviderError) as failed:
            await call
        assert not told_of(failed.value, "token-1", "hush hush", "hush+hush")


@pytest.mark.parametrize("quoted", ["{}", "password={} is too simple", "<{}>", "pw%3D{}"])
@pytest.mark.parametrize("password", ["hush 7", "p&ss=w0rd/", "密码密码密码"])
async def test_an_echoed_password_is_not_in_the_error(
    provider: BareProvider, client: ProviderClient, quoted: str, password: str
) -> None:
    """However short, as it is or as forms and pages write it; in the code as in the words."""
    for written in (password, quote(password), quote(password, ""), quote_plus(password), escape(password)):
        said = quoted.format(written)
        for body in ({"errcode": "1303", "error": said}, {"errcode": said}, {"error": said}):
            provider.will_answer(SYNC, orjson.dumps(body))
            with pytest.raises(ProviderRefused) as refused:
                await client.user_modify("a@x", password=password)
            assert not told_of(refused.value, written, password)


@pytest.mark.parametrize(
    "answer",
    [
        *(b"Password=hush7\r\n", b"HTTP/1.1 200 OK\r\nX\0: hush7\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: hush7\r\n"),
        *(
            b"HTTP/1.1 200 OK\r\nX: hush7" + b" x" * 5000,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhush7\r\n",
        ),
    ],
    ids=["no HTTP", "header", "cut", "long", "chunk"],
)
async def test_what_cannot_be_read_is_not_quoted(provider: BareProvider, client: ProviderClient, answer: bytes) -> None:
    """Something that sends back what it was sent, and not in HTTP: the error has no password of it."""
    await client.token()
    provider.raw, password = answer, "hush7!"
    with pytest.raises(ProviderAway, match=r"no answer that can be read: [A-Z]") as away:
        await client.user_modify("a@x", password=password)
    assert not told_of(away.value, "hush7")


async def test_an_echoed_key_is_not_in_the_error(provider: BareProvider, client: ProviderClient) -> None:
    """The client's secret is shorter than what is taken for one by its look."""
    provider.will_answer(TOKEN, *[b'{"error":"key-of-admin YWRtaW46a2V5LW9mLWFkbWlu is wrong"}'] * 2)
    with pytest.raises(ProviderRefused) as refused:
        await client.token()
    assert not told_of(refused.value, "key-of-admin", "YWRtaW46a2V5LW9mLWFkbWlu")


def told_of(error: BaseException, *secrets: str) -> list[str]:
    """Which of these stand anywhere in an error, its causes, or what a traceback prints."""
    texts, seen = ["".join(traceback.format_exception(error))], error
    waiting: list[BaseException | None] = [error]
    while waiting:
        if (seen := waiting.pop()) is None:
            continue
        texts.append(f"{seen!r} {seen} {vars(seen)}")
        waiting += [seen.__cause__, seen.__context__]
    return [secret for secret in secrets if any(secret in text for text in texts)]


@pytest.mark.parametrize("unasked", [b"", ONE])
async def test_an_answer_that_nothing_asked_for_answers_nothing(
    provider: BareProvider, client_with: Callable[..., ProviderClient], unasked: bytes
) -> None:
    """It came on a connection of the pool. Nothing was deleted by it, and no answer is that of the call before."""
    client, other = client_with(), client_with()
    provider.will_answer(COUNT, ONE, ONE, b'{"NewCount":2}')
    assert await client.newcount("a@x") == 1
    await provider.calls(COUNT)[-1].answer(unasked)
    # Meanwhile the loop has read what came.
    assert await other.newcount("b@x") == 1
    with pytest.raises(ProviderRefused, match="1301"):
        provider.will_answer(SYNC, b'{"errcode":"1301","error":"user_not_found"}')
        await client.user_delete("a@x")
    assert await client.newcount("a@x") == 2
    assert len(provider.calls(SYNC)) == 1
