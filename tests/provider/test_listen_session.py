"""Listen sessions over real sockets, in every reading of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from bridge.provider.client import ProviderClient
from bridge.provider.errors import (
    AddressNotAllowed,
    CallerFault,
    InvalidToken,
    ListenEnded,
    ListenRefused,
    ListenSilent,
    ProviderAway,
    ProviderError,
    UnreadableAnswer,
)
from bridge.provider.framer import DOCUMENT_LIMIT
from bridge.provider.listen import ListenSession
from bridge.provider.models import Online, Push, Refused, Unreadable, UnreadChanged, VersionChanged

if TYPE_CHECKING:
    from conftest import BareProvider, Request

LONG_S = 60
RET = b'{"Ret":0}'


def count(n: int) -> bytes:
    return b'{"UserName":"a@x","NewCount":%d}' % n


def counts(*numbers: int) -> list[Push]:
    return [UnreadChanged("a@x", n) for n in numbers]


def framed(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def piece(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = b"HTTP/1.0 200 OK\r\n\r\n"


class Listening:
    """Reads a session in a task and keeps what it gave, so that tests can wait for what they expect."""

    def __init__(self, session: ListenSession) -> None:
        self.session = session
        self.pushes: list[Push] = []
        self.batches = 0
        self.error: ProviderError | None = None
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        try:
            async for batch in self.session:
                assert batch
                async with self._changed:
                    self.pushes += batch
                    self.batches += 1
                    self._changed.notify_all()
        except ProviderError as error:
            async with self._changed:
                self.error = error
                self._changed.notify_all()

    async def gave(self, *expected: Push) -> None:
        """Wait until exactly this much has come, and take it away."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.pushes) >= len(expected) or self.error is not None)
        assert self.pushes == list(expected)
        self.pushes.clear()

    async def ended(self, kind: type[ProviderError]) -> ProviderError:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.error is not None)
        assert type(self.error) is kind, self.error
        assert self.error is not None
        return self.error


@pytest.fixture
def listen(client: ProviderClient) -> Callable[..., object]:
    @asynccontextmanager
    async def listen(
        ver: int = 0, silence_s: float = LONG_S, settle_s: float = LONG_S, **callbacks: Callable[[], None]
    ) -> AsyncIterator[Listening]:
        async with client.listen(ver=lambda: ver, silence_s=silence_s, settle_s=settle_s, **callbacks) as session:
            listening = Listening(session)
            task = asyncio.create_task(listening.run(), name="listening")
            try:
                yield listening
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    return listen


Listen = Callable[..., "asyncio._AsyncGeneratorContextManager[Listening]"]


async def test_request_as_the_protocol_writes_it(provider: BareProvider, listen: Listen) -> None:
    """POST with the Bearer token and the cursor in the form."""
    async with listen(ver=1386593148546):
        request = await provider.listen()
        assert request.path == "/openapi/listen"
        assert request.form == {"Ver": "1386593148546"}
        assert request.headers["authorization"] == "Bearer token-1"
        assert request.headers["host"] == provider.url.removeprefix("http://")


async def test_responses_that_nobody_asked_for(provider: BareProvider, listen: Listen) -> None:
    """Reading a: further responses on the same socket, without a further request."""
    online = asyncio.Event()
    async with listen(on_online=online.set) as listening:
        request = await provider.listen()
        assert not online.is_set()
        await request.send(framed(RET))
        await listening.gave(Online(0))
        assert online.is_set()
        for n in range(3):
            await request.send(framed(count(n)))
            await listening.gave(*counts(n))
        await request.send(b"".join(framed(count(n)) for n in range(500)))
        await listening.gave(*counts(*range(500)))
        assert provider.listens.empty()


async def test_one_read_is_one_batch(provider: BareProvider, listen: Listen) -> None:
    """What came together is given together."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(framed(RET) + framed(count(1)) + framed(count(2)))
        await listening.gave(Online(0), *counts(1, 2))
        assert listening.batches == 1


async def test_long_poll(provider: BareProvider, listen: Listen) -> None:
    """Reading b: one document a response, asked again at once on the same connection."""
    async with listen() as listening:
        for n in range(5):
            request = await provider.listen()
            assert request.connection == 2  # the first one was the token's
            await request.send(framed(count(n)))
            await listening.gave(*counts(n))


async def test_long_poll_that_holds_is_online(provider: BareProvider, listen: Listen) -> None:
    """Reconciliation may start a moment after a request that is held."""
    online = asyncio.Event()
    async with listen(on_online=online.set, settle_s=0.02) as listening:
        request = await provider.listen()
        async with asyncio.timeout(10):
            await online.wait()
        assert listening.session.acknowledged_at is not None
        await request.send(framed(count(1)))
        await listening.gave(*counts(1))


async def test_long_poll_that_closes(provider: BareProvider, listen: Listen) -> None:
    """A server that closes behind each answer is asked on a new connection; that is no end of the session."""
    async with listen() as listening:
        for n, wire in enumerate([framed(count(0)), ENDLESS + count(1), framed(count(2))]):
            request = await provider.listen()
            assert request.connection == 2 + n
            await request.send(wire)
            request.close()
            await listening.gave(*counts(n))


async def test_request_into_a_closing_connection(provider: BareProvider, listen: Listen) -> None:
    """A kept connection that closes as we ask again is replaced, once."""
    async with listen() as listening:
        first = await provider.listen()
        await first.send(framed(count(1)))
        second = await provider.listen()
        second.reset()
        third = await provider.listen()
        assert third.connection != second.connection
        third.close()
        await listening.ended(ListenEnded)


@pytest.mark.parametrize(("head", "wrap"), [(CHUNKED, piece), (ENDLESS, bytes)])
@pytest.mark.parametrize("separator", [b"", b"\n", b" \r\n "])
async def test_stream(
    provider: BareProvider, listen: Listen, head: bytes, wrap: Callable[[bytes], bytes], separator: bytes
) -> None:
    """Reading c: one response without an end, documents split anywhere; its end by close is a loss."""
    online = asyncio.Event()
    async with listen(on_online=online.set) as listening:
        request = await provider.listen()
        await request.send(head + wrap(RET + separator))
        await listening.gave(Online(0))
        assert online.is_set()
        whole = count(1) + separator + count(2)
        for byte in whole[:20]:
            await request.send(wrap(bytes([byte])))
        await request.send(wrap(whole[20:]))
        await listening.gave(*counts(1, 2))
        request.close()
        await listening.ended(ListenEnded)
        assert provider.listens.empty()


async def test_stream_that_ends_properly_is_asked_again(provider: BareProvider, listen: Listen) -> None:
    """A chunked response that the server ends is an answered request."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(CHUNKED + piece(RET) + piece(count(1)) + b"0\r\n\r\n")
        await listening.gave(Online(0), *counts(1))
        again = await provider.listen()
        assert again.connection == request.connection


async def test_bare_documents(provider: BareProvider, listen: Listen) -> None:
    """Reading d: documents without a header block behind a complete response."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(framed(RET) + count(1))
        await listening.gave(Online(0), *counts(1))
        await request.send(count(2)[:9])
        await request.send(count(2)[9:] + b"\n" + count(3) + framed(count(4)))
        await listening.gave(*counts(2, 3, 4))


async def test_acknowledged_long_poll_is_paced(provider: BareProvider, listen: Listen) -> None:
    """Acknowledgements that come at once are asked behind, ever more slowly, never in a spin."""
    async with listen(settle_s=0.02, silence_s=0.2) as listening:
        for _ in range(5):
            request = await provider.listen()
            await request.send(framed(RET))
            await listening.gave(Online(0))


async def test_silence_is_probed_then_ended(provider: BareProvider, listen: Listen) -> None:
    """Half-open: nothing comes, we ask, nothing comes, it is over."""
    async with listen(silence_s=0.1, settle_s=0.05) as listening:
        first, probe = await provider.listen(), await provider.listen()
        assert first.connection == probe.connection
        await listening.ended(ListenSilent)


async def test_silence_inside_a_body_is_not_probed(provider: BareProvider, listen: Listen) -> None:
    """Nothing is written while a body is open."""
    async with listen(silence_s=0.05) as listening:
        request = await provider.listen()
        await request.send(CHUNKED + piece(RET))
        await listening.ended(ListenSilent)
        assert provider.listens.empty()


async def test_reader_that_was_away_is_not_silence(provider: BareProvider, client: ProviderClient) -> None:
    """What waits in the socket counts before the time that passed while nobody read."""
    async with client.listen(ver=lambda: 0, silence_s=0.02) as session:
        request = await provider.listen()
        await request.send(framed(RET) + framed(count(1)))
        await asyncio.sleep(0.2)
        assert await anext(session) == [Online(0), *counts(1)]


async def test_highest_pushed_version_is_sent(provider: BareProvider, listen: Listen) -> None:
    """A cursor that lags does not make the provider push the same version again, in a later session neither."""
    async with listen(ver=5) as listening:
        request = await provider.listen()
        await request.send(framed(b'{"Ver":"9"}'))
        await listening.gave(VersionChanged(9))
        assert (await provider.listen()).form == {"Ver": "9"}
    async with listen(ver=5):
        assert (await provider.listen()).form == {"Ver": "9"}
    async with listen(ver=11):
        assert (await provider.listen()).form == {"Ver": "11"}


async def test_bytes_are_told(provider: BareProvider, listen: Listen) -> None:
    """Supervision goes by bytes, those of an unfinished document too."""
    heard = asyncio.Event()
    async with listen(on_bytes=heard.set) as listening:
        request = await provider.listen()
        before = listening.session.last_byte_at
        await request.send(CHUNKED)
        async with asyncio.timeout(10):
            await heard.wait()
        assert listening.session.last_byte_at > before
        assert listening.pushes == []


async def ask_again(provider: BareProvider, request: Request, answer: bytes) -> Request:
    await request.send(answer)
    return await provider.listen()


INVALID = b'{"errcode":"1200","error":"invalid_token"}'


async def test_refused_token_is_renewed(provider: BareProvider, listen: Listen) -> None:
    """1200 to the request: a new token, asked at once on the same connection."""
    async with listen() as listening:
        request = await provider.listen()
        again = await ask_again(provider, request, framed(INVALID))
        assert again.headers["authorization"] == "Bearer token-2"
        assert again.connection == request.connection
        await again.send(framed(RET))
        await listening.gave(Refused("1200", "invalid_token"), Online(0))


async def test_refused_token_in_mid_stream(provider: BareProvider, listen: Listen) -> None:
    """1200 inside an open body: nothing may be written there, so a new connection asks with the new token."""
    async with listen() as listening:
        request = await provider.listen()
        again = await ask_again(provider, request, CHUNKED + piece(RET + count(1) + INVALID))
        assert again.headers["authorization"] == "Bearer token-2"
        assert again.connection != request.connection
        await listening.gave(Online(0), *counts(1), Refused("1200", "invalid_token"))


async def test_refused_token_and_a_close(provider: BareProvider, listen: Listen) -> None:
    """1200 and a close behind it are one refusal, not a loss of connection."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(ENDLESS + INVALID)
        request.close()
        assert (await provider.listen()).headers["authorization"] == "Bearer token-2"
        assert listening.error is None


async def test_token_is_renewed_once_until_it_served(provider: BareProvider, listen: Listen) -> None:
    """1200 twice in a row ends the session; after an acknowledgement in between it is a new story."""
    async with listen() as listening:
        second = await ask_again(provider, await provider.listen(), framed(INVALID))
        third = await ask_again(provider, second, framed(RET) + framed(INVALID))
        await third.send(framed(INVALID))
        await listening.ended(InvalidToken)
        assert provider.tokens == 3


async def test_busy_is_asked_again(provider: BareProvider, listen: Listen) -> None:
    """1002 to listen is no end."""
    async with listen(settle_s=0.02) as listening:
        again = await ask_again(provider, await provider.listen(), framed(b'{"errcode":"1002","error":"busy"}'))
        await again.send(framed(RET))
        await listening.gave(Refused("1002", "busy"), Online(0))


@pytest.mark.parametrize(
    ("wire", "push", "kind"),
    [
        (framed(b'{"Ret":3}'), Online(3), ListenRefused),
        (framed(b'{"errcode":"1001","error":"x"}'), Refused("1001", "x"), CallerFault),
        (framed(b'{"errcode":"10001","error":"ip"}'), Refused("10001", "ip"), AddressNotAllowed),
    ],
)
async def test_refusals_end_the_session(
    provider: BareProvider, listen: Listen, wire: bytes, push: Push, kind: type[ProviderError]
) -> None:
    """What was read with the refusal is given, then the refusal is raised."""
    async with listen() as listening:
        request = await provider.listen()
        again = await ask_again(provider, request, framed(count(1)))
        await again.send(wire + framed(count(2)))
        await listening.ended(kind)
        assert listening.pushes == [*counts(1), push, *counts(2)]


async def test_unasked_refusal_is_only_told(provider: BareProvider, listen: Listen) -> None:
    """An errcode that answers no request of ours ends nothing."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(framed(RET))
        await listening.gave(Online(0))
        await request.send(framed(b'{"errcode":"1001","error":"x"}') + framed(count(1)))
        await listening.gave(Refused("1001", "x"), *counts(1))


@pytest.mark.parametrize(
    ("wire", "left"),
    [
        (CHUNKED + piece(count(1) + count(2)[:9]), count(2)[:9]),
        (framed(count(1)) + framed(count(2))[:-4], count(2)[:-4]),
        (framed(count(1)) + count(2)[:9], count(2)[:9]),
    ],
)
async def test_cut_in_mid_document(provider: BareProvider, listen: Listen, wire: bytes, left: bytes) -> None:
    """What was whole is given, what was cut is shown as such, and the session has ended."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(wire)
        request.close()
        await listening.ended(ListenEnded)
        assert listening.pushes == [*counts(1), Unreadable("truncated", left)]


async def test_document_ends_with_its_response(provider: BareProvider, listen: Listen) -> None:
    """A body that ends inside a document does not swallow the next response."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(framed(RET) + framed(count(1)[:9]) + framed(count(2)) + framed(b"nonsense"))
        await listening.gave(
            Online(0), Unreadable("truncated", count(1)[:9]), *counts(2), Unreadable("not-object", b"nonsense")
        )


async def test_dead_documents_end_nothing(provider: BareProvider, listen: Listen) -> None:
    """A push that cannot be read costs itself."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(CHUNKED + piece(RET + b'{"what":1}{"UserName"}oops' + count(1)))
        await listening.gave(
            Online(0),
            Unreadable("unknown-shape", b'{"what":1}'),
            Unreadable("bad-json", b'{"UserName"}'),
            Unreadable("not-object", b"oops"),
            *counts(1),
        )


async def test_document_past_the_limit(provider: BareProvider, listen: Listen) -> None:
    """Memory is bounded: a document that does not end is shown with its head, then the session ends."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(ENDLESS + count(1) + b'{"Subject":"')
        with pytest.raises((ConnectionError, TimeoutError)):
            async with asyncio.timeout(10):
                while listening.error is None:
                    await request.send(b"x" * (DOCUMENT_LIMIT // 8))
            raise ConnectionError
        await listening.ended(UnreadableAnswer)
        first, last = listening.pushes
        assert first == counts(1)[0]
        assert isinstance(last, Unreadable)
        assert last.reason == "too-large"


@pytest.mark.parametrize("wire", [b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", b"SSH-2.0-x\r\n"])
async def test_no_answer_of_the_provider(provider: BareProvider, listen: Listen, wire: bytes) -> None:
    """Another status or another protocol is a provider that is away; what came before is given."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(framed(count(1)) + wire)
        await listening.ended(ProviderAway)
        assert listening.pushes == counts(1)


async def test_reset_connection(provider: BareProvider, listen: Listen) -> None:
    """RST ends the session like a close."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(framed(RET))
        await listening.gave(Online(0))
        request.reset()
        await listening.ended(ListenEnded)


async def test_nobody_there(http: aiohttp.ClientSession) -> None:
    """Entering a session tells of a provider that cannot be reached."""
    client = ProviderClient(
        api_url="http://127.0.0.1:1",
        auth_url="http://127.0.0.1:1",
        client_id="admin",
        client_secret=lambda: "key",
        session=http,
    )
    with pytest.raises(ProviderAway):
        async with client.listen(ver=lambda: 0, silence_s=1):
            pass


async def test_leaving_closes_the_connection(provider: BareProvider, listen: Listen) -> None:
    """A session that is left leaves nothing open at the provider."""
    async with listen():
        request = await provider.listen()
    async with asyncio.timeout(10):
        await request.writer.wait_closed()


async def test_cancellation_passes_through(provider: BareProvider, client: ProviderClient) -> None:
    """A reader that is cancelled is cancelled, and the session is left in order."""

    async def read() -> None:
        async with client.listen(ver=lambda: 0, silence_s=LONG_S) as session:
            async for _ in session:
                pass

    task = asyncio.create_task(read())
    request = await provider.listen()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        await request.writer.wait_closed()


async def test_slow_reader_holds_the_provider_up(provider: BareProvider, client: ProviderClient) -> None:
    """Pushes that nobody takes wait in the socket, bounded, and are all there afterwards."""
    total = 20_000
    async with client.listen(ver=lambda: 0, silence_s=LONG_S) as session:
        request = await provider.listen()
        sending = asyncio.create_task(request.send(framed(RET) + b"".join(framed(count(n)) for n in range(total))))
        got: list[Push] = []
        async with asyncio.timeout(30):
            while len(got) < total + 1:
                batch = await anext(session)
                assert len(batch) < total
                got += batch
        assert got == [Online(0), *counts(*range(total))]
        await sending
