"""Whatever comes back from whichever endpoint: a value or one of the client's own errors, in bounded time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.endpoints import Endpoint
from bridge.provider.faults import ProviderError
from tests.fuzz.answers import CALLED, READERS, SEEDS
from tests.provider.bare_provider import BareProvider
from tests.provider.test_every_endpoint import minimal
from tests.support.waiting import PATIENCE_S

TOKEN = b'{"access_token":"token-1","expires_in":86400}'
BODIES = st.sampled_from([seed[2:] for seed in SEEDS]) | st.binary(max_size=60)
HEADS = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 \r\n", b"HTTP/1.1 302 F\r\nLocation: /x\r\n"),
        *(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", b"HTTP/1.1 502 Bad\r\n", b"HTTP/1.1 999 \r\n", b"\r\n"),
        *(b"HTTP/2 200\r\n", b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: x\r\n", b"ICY 200 OK\r\n", b""),
    ]
)  # fmt: skip
LINES = st.lists(
    st.sampled_from(
        [
            *(b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n", b": \r\n"),
            *(b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Set-Cookie: a=\x01; Max-Age=x\r\n", b"x" * 9000),
            *(b"Content-Type: text/html; charset=\xff\r\n", b"Connection: close\r\n", b"X: \0\r\n", b"no colon\r\n"),
        ]
    ),
    max_size=3,
)  # fmt: skip


@st.composite
def http(draw: st.DrawFn) -> bytes:
    """Something like an answer: mostly whole, sometimes in any way not."""
    body = draw(BODIES)
    if draw(st.booleans()):
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    return draw(HEADS) + b"".join(draw(LINES)) + draw(st.sampled_from([b"\r\n", b"\r\n5\r\n", b""])) + body


@pytest.fixture
def ask() -> Iterator[Callable[[Endpoint, bytes], Any]]:
    """Ask an endpoint that answers with these bytes; the value, or the error."""
    with asyncio.Runner() as runner:
        provider = BareProvider()
        server = runner.run(_serve(provider))
        session = runner.run(_session())
        client = ProviderClient(
            api_url=provider.url,
            auth_url=provider.url,
            client_id="admin",
            client_secret=lambda: "key-of-admin",
            session=session,
            timeout_s=PATIENCE_S,
            busy_wait_s=0,
        )

        async def one(endpoint: Endpoint, raw: bytes) -> Any:
            if endpoint.method == "token":
                provider.raw_token = raw
                return await client.token(anew=True)
            provider.raw_token = None
            provider.raw = raw
            return await getattr(client, endpoint.method)(**minimal(endpoint))

        yield lambda endpoint, raw: runner.run(one(endpoint, raw))
        runner.run(session.close())
        server.close()
        provider.close()


async def _serve(provider: BareProvider) -> asyncio.Server:
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    return server


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


def test_the_fuzzer_reads_as_the_client_does() -> None:
    """Each reading endpoint has a reader there, or what it finds says nothing of the client."""
    assert set(READERS) == {each.method for each in CALLED if not each.writes}


def test_any_answer_is_a_value_or_an_error_of_ours(ask: Callable[[Endpoint, bytes], Any]) -> None:
    """Any bytes that come back over the socket, in HTTP or not."""

    def outcome(endpoint: Endpoint, raw: bytes) -> tuple[Any, ProviderError | None]:
        try:
            return ask(endpoint, raw), None
        except ProviderError as error:
            return None, error

    @settings(max_examples=250, deadline=None)
    @given(st.sampled_from(CALLED), http())
    def holds(endpoint: Endpoint, raw: bytes) -> None:
        value, error = outcome(endpoint, raw)
        if error is not None:
            assert len(str(error)) < 1000
            assert "key-of-admin" not in f"{error!r} {error.__cause__!r} {error.__context__!r}"
        else:
            assert raw.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ", b"\r\n"))
            assert value is None if endpoint.writes else value is not None

    holds()
