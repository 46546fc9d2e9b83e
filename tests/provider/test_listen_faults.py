"""What goes wrong in a listen session: refusals, losses, dead documents; what was read before is always given."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.framer import DOCUMENT_LIMIT, KEPT, SKIP_LIMIT
from bridge.provider.faults import (
    AddressNotAllowed,
    CallerFault,
    InvalidToken,
    ListenEnded,
    ListenRefused,
    ProviderAway,
    ProviderError,
    UnreadableAnswer,
)
from bridge.provider.pushes import Online, Push, RefusalPushed, Unreadable
from bridge.provider.source import Acknowledged, Alive, Batch, Connecting
from tests.provider.bare_provider import BareProvider, Request
from tests.provider.listening import CHUNKED, ENDLESS, LONG_S, RET, Listen, count, counts, framed, piece
from tests.support.waiting import PATIENCE_S


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
        await listening.gave(RefusalPushed("1200", "invalid_token"), Online(0))


async def test_refused_token_in_mid_stream(provider: BareProvider, listen: Listen) -> None:
    """1200 inside an open body: nothing may be written there, so a new connection asks with the new token."""
    async with listen() as listening:
        request = await provider.listen()
        again = await ask_again(provider, request, CHUNKED + piece(RET + count(1) + INVALID))
        assert again.headers["authorization"] == "Bearer token-2"
        assert again.connection != request.connection
        await listening.gave(Online(0), *counts(1), RefusalPushed("1200", "invalid_token"))


async def test_refused_token_and_a_close(provider: BareProvider, listen: Listen) -> None:
    """1200 and a close behind it are one refusal, not a loss of connection."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(ENDLESS + INVALID)
        request.close()
        assert (await provider.listen()).headers["authorization"] == "Bearer token-2"
        assert listening.error is None


async def test_a_new_connection_after_a_refusal_is_a_gap(provider: BareProvider, listen: Listen) -> None:
    """From the last byte of a stream to the next answer nobody listened, within one session: that is told, once."""
    told: list[str] = []
    callbacks = {"on_gap": lambda: told.append("gap"), "on_bytes": lambda begun_at: told.append("bytes")}
    async with listen(**callbacks) as listening:
        request = await provider.listen()
        again = await ask_again(provider, request, CHUNKED + piece(RET + INVALID))
        assert told == ["bytes"]
        await again.send(framed(RET))
        await listening.gave(Online(0), RefusalPushed("1200", "invalid_token"), Online(0))
        await again.send(framed(count(1)))
        await listening.gave(*counts(1))
    assert told == ["bytes", "gap", "bytes", "bytes"]


async def test_each_connection_is_announced_before_it_is_made(provider: BareProvider, client: ProviderClient) -> None:
    """Whoever may not take another listener's place leaves then; a session that is asked for no more makes none."""
    with closing(client.listen(ver=lambda: 0, silence_s=LONG_S, settle_s=LONG_S)) as session:
        for number in range(2):
            assert await session.next() == Connecting()
            assert provider.listens.empty()
            happening = asyncio.create_task(session.next())
            request = await provider.listen()
            if number == 0:
                await request.send(CHUNKED + piece(RET + count(1) + INVALID))
                assert await happening == Alive(None)
                assert await session.next() == Acknowledged()
        # What was read before the second connection is given behind it.
        assert await happening == Batch(
            [Online(0), *counts(1), RefusalPushed("1200", "invalid_token")], [RET, count(1), INVALID]
        )
    async with asyncio.timeout(PATIENCE_S):
        await request.writer.wait_closed()


@pytest.mark.parametrize("refused_first", [False, True])
async def test_between_two_long_polls_is_a_gap_where_the_next_is_refused(
    provider: BareProvider, listen: Listen, refused_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the provider keeps between two polls it keeps for a moment; a refusal is no sign of being listened to."""
    # The moment is as long as this test may stand still.
    monkeypatch.setattr("bridge.provider.bizmail.listen._BETWEEN_S", PATIENCE_S)
    gaps: list[None] = []
    async with listen(settle_s=0.02, on_gap=lambda: gaps.append(None)) as listening:
        request = await provider.listen()
        again = await ask_again(provider, request, framed(RET))
        await again.answer(count(1), headers="Connection: close\r\n")
        again.close()
        third = await provider.listen()
        if refused_first:
            third = await ask_again(provider, third, framed(INVALID))
        await third.send(framed(count(2)))
        await listening.gave(
            Online(0), *counts(1), *[RefusalPushed("1200", "invalid_token")] * refused_first, *counts(2)
        )
    assert len(gaps) == refused_first


async def test_token_is_renewed_once_until_it_served(provider: BareProvider, listen: Listen) -> None:
    """1200 twice in a row ends the session; after an acknowledgement in between it is a new story."""
    async with listen() as listening:
        second = await ask_again(provider, await provider.listen(), framed(INVALID))
        third = await ask_again(provider, second, framed(RET) + framed(INVALID))
        await third.send(framed(INVALID))
        await listening.ended(InvalidToken)
    # Neither the next session nor a call fetches another at once.
    with pytest.raises(InvalidToken):
        async with listen():
            pass
    assert provider.tokens == 3


async def test_busy_is_asked_again(provider: BareProvider, listen: Listen) -> None:
    """1002 to listen is no end."""
    async with listen(settle_s=0.02) as listening:
        again = await ask_again(provider, await provider.listen(), framed(b'{"errcode":"1002","error":"busy"}'))
        await again.send(framed(RET))
        await listening.gave(RefusalPushed("1002", "busy"), Online(0))


@pytest.mark.parametrize(
    ("wire", "push", "kind"),
    [
        (framed(b'{"Ret":3}'), Online(3), ListenRefused),
        (framed(b'{"errcode":"1001","error":"x"}'), RefusalPushed("1001", "x"), CallerFault),
        (framed(b'{"errcode":"10001","error":"ip"}'), RefusalPushed("10001", "ip"), AddressNotAllowed),
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
        await listening.gave(RefusalPushed("1001", "x"), *counts(1))


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


@pytest.mark.parametrize("bare", [False, True])
async def test_document_past_the_limit(provider: BareProvider, listen: Listen, bare: bool) -> None:
    """Shown with its head and its size; the session goes on behind it, also where nothing frames the documents."""
    large = b'{"Subject":"' + b"x" * DOCUMENT_LIMIT + b'"}'
    async with listen() as listening:
        request = await provider.listen()
        await request.send(framed(RET) if bare else CHUNKED + piece(RET))
        await listening.gave(Online(0))
        await request.send(large + count(1) if bare else piece(large) + piece(count(1)))
        await listening.gave(Unreadable("too-large", large[:KEPT], len(large)), *counts(1))


async def test_document_that_does_not_end(provider: BareProvider, listen: Listen) -> None:
    """Memory is bounded: it is shown with its head, then the session ends."""
    async with listen() as listening:
        request = await provider.listen()
        await request.send(ENDLESS + count(1) + b'{"Subject":"')
        with pytest.raises((ConnectionError, TimeoutError)):
            async with asyncio.timeout(PATIENCE_S):
                while listening.error is None:
                    await request.send(b"x" * (SKIP_LIMIT // 32))
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
