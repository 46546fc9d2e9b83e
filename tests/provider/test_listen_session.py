"""Listen sessions over real sockets, in every reading of the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest

from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.faults import (
    ListenEnded,
    ListenSilent,
    ProviderAway,
)
from bridge.provider.pushes import Online, Push, VersionChanged
from tests.provider.bare_provider import BareProvider
from tests.provider.listening import CHUNKED, ENDLESS, LONG_S, RET, Listen, count, counts, framed, piece
from tests.support.waiting import PATIENCE_S, until


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
        async with asyncio.timeout(PATIENCE_S):
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


async def test_what_came_while_we_stood_still_is_read_before_the_silence_is_judged(
    provider: BareProvider, listen: Listen, leaping: Callable[[float], None]
) -> None:
    """A machine that was suspended for longer than the limit has pushes in its socket: the provider was not silent."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(CHUNKED + piece(RET))
        await listening.gave(Online(0))
        # Nothing ran between this push and the end of the time.
        request.writer.write(piece(count(1)))
        leaping(4 * LONG_S)
        await listening.gave(*counts(1))
        assert listening.error is None
        leaping(4 * LONG_S)
        await listening.ended(ListenSilent)


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
    async with listen(settle_s=0.02) as listening:
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


async def test_silence_inside_a_body_is_not_probed(
    provider: BareProvider, listen: Listen, leaping: Callable[[float], None]
) -> None:
    """Nothing is written while a body is open."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(CHUNKED + piece(RET))
        await listening.gave(Online(0))
        for _ in range(3):
            leaping(LONG_S)
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
    async with listen(on_bytes=lambda begun_at: heard.set()) as listening:
        request = await provider.listen()
        before = listening.session.last_byte_at
        await request.send(CHUNKED)
        async with asyncio.timeout(PATIENCE_S):
            await heard.wait()
        assert listening.session.last_byte_at > before
        assert listening.pushes == []


async def test_how_long_a_document_is_under_way_is_told(provider: BareProvider, listen: Listen) -> None:
    """From the bytes that it began with until it is whole, in any framing; the next one begins anew."""
    heard: asyncio.Queue[float | None] = asyncio.Queue()
    one, half = count(1), count(1)[:10]
    framings = {
        "chunked": (CHUNKED + piece(RET), piece(half), piece(one[10:] + half), piece(one[10:])),
        "header": (framed(RET), framed(one)[:20], framed(one)[20:] + framed(one)[:-5], framed(one)[-5:]),
        "bare": (framed(RET), half, one[10:] + half, one[10:]),
    }
    for name, pieces in framings.items():
        async with listen(on_bytes=heard.put_nowait) as listening:
            request = await provider.listen()
            told = []
            for each in pieces:
                await request.send(each)
                async with asyncio.timeout(PATIENCE_S):
                    told.append(await heard.get())
            await listening.gave(Online(0), *counts(1, 1))
        assert [each is None for each in told] == [True, False, False, True], name
        assert told[1] != told[2], name


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
    async with asyncio.timeout(PATIENCE_S):
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
    async with asyncio.timeout(PATIENCE_S):
        await request.writer.wait_closed()


async def test_slow_reader_holds_the_provider_up(provider: BareProvider, client: ProviderClient) -> None:
    """Pushes that nobody takes wait in the socket, bounded, and are all there afterwards."""
    total = 20_000
    async with client.listen(ver=lambda: 0, silence_s=LONG_S) as session:
        request = await provider.listen()
        sending = asyncio.create_task(request.send(framed(RET) + b"".join(framed(count(n)) for n in range(total))))
        got: list[Push] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(got) < total + 1:
                batch = await anext(session)
                assert len(batch) < total
                got += batch
        assert got == [Online(0), *counts(*range(total))]
        await sending


async def test_idle_is_who_waits_for_bytes(provider: BareProvider, client: ProviderClient) -> None:
    """What came and was not read, or was read and not given away, is under way."""
    async with client.listen(ver=lambda: 0, silence_s=LONG_S, settle_s=LONG_S) as session:
        request = await provider.listen()
        assert not session.is_idle
        reading = asyncio.create_task(anext(session))
        await until(lambda: session.is_idle)
        await request.send(framed(count(1)))
        assert await reading == counts(1)
        await request.send(framed(count(2)))
        assert not session.is_idle
        assert await anext(session) == counts(2)
        assert not session.is_idle
