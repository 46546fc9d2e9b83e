"""Any framing that the provider may use gives the same body bytes and borders."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.provider.bizmail.framer import Framer
from bridge.provider.bizmail.responses import OVERHEAD_LIMIT, BadResponse, Mark, ResponseReader

RET, MAIL, VER = b'{"Ret":0}', b'{"UserName":"a@x","MailId":"}\\"{","NewCount":1}', b'{"Ver":"1364460338051"}'
B, C, CUT = Mark.BEGAN, Mark.COMPLETE, Mark.CUT


def framed(body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), headers, body)


def chunked(*bodies: bytes, end: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies) + (b"0\r\n\r\n" if end else b"")


def endless(*bodies: bytes) -> bytes:
    return b"HTTP/1.0 200 OK\r\nContent-Type: text/html; charset=gb2312\r\n\r\n" + b"".join(bodies)


def read(chunks: list[bytes], *, ended: bool = False) -> list[bytes | Mark]:
    """Marks, and body bytes between them put together."""
    reader = ResponseReader()
    found: list[bytes | Mark] = [item for chunk in chunks for item in reader.feed(chunk)]
    if ended:
        found += reader.end()
    joined: list[bytes | Mark] = []
    for item in found:
        if isinstance(item, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += item
        else:
            joined.append(item)
    return joined


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


WIRES = {
    "same socket": (framed(RET) + framed(MAIL) + framed(VER), [B, RET, C, B, MAIL, C, B, VER, C]),
    "announces a close and goes on": (framed(RET, b"Connection: close\r\n") + framed(MAIL), [B, RET, C, B, MAIL, C]),
    "blank lines between": (framed(RET) + b"\r\n\r\n \n" + framed(MAIL), [B, RET, C, B, MAIL, C]),
    "header lines end in LF": (framed(RET).replace(b"\r\n", b"\n") + framed(MAIL), [B, RET, C, B, MAIL, C]),
    "no body": (framed(b"") + framed(MAIL), [B, C, B, MAIL, C]),
    "chunked": (chunked(RET, MAIL[:7], MAIL[7:]) + framed(VER), [B, RET + MAIL, C, B, VER, C]),
    "chunked, still open": (chunked(RET, MAIL, end=False), [B, RET + MAIL]),
    "chunked with lines and trailer": (
        chunked(RET + b"\r\n\r\n", MAIL, end=False) + b"0\r\nX: y\r\n\r\n" + framed(VER),
        [B, RET + b"\r\n\r\n" + MAIL, C, B, VER, C],
    ),
    "chunked beside a length": (
        chunked(RET).replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n", 1) + framed(MAIL),
        [B, RET, C, B, MAIL, C],
    ),
    "interim": (b"HTTP/1.1 100 Continue\r\n\r\n" + framed(RET), [B, RET, C]),
    "no reason phrase": (framed(RET).replace(b"200 OK", b"200"), [B, RET, C]),
    "bare": (framed(RET) + MAIL + b"\n" + VER + MAIL, [B, RET, C, MAIL + VER + MAIL]),
    "bare and framed by turns": (framed(RET) + MAIL + framed(VER) + MAIL, [B, RET, C, MAIL, B, VER, C, MAIL]),
    "bare, looks like HTTP inside": (
        framed(RET) + b'{"Subject":"}\r\nHTTP/1.1 200 OK","a":{}}' + framed(VER),
        [B, RET, C, b'{"Subject":"}\r\nHTTP/1.1 200 OK","a":{}}', B, VER, C],
    ),
}


@pytest.mark.parametrize("name", WIRES)
def test_framing_whole_bytewise_and_with_a_tail(name: str) -> None:
    """Every framing reads the same whole, byte by byte, and in two pieces cut anywhere."""
    wire, expected = WIRES[name]
    assert read([wire]) == expected
    assert read(bytewise(wire)) == expected
    for cut in range(1, len(wire)):
        assert read([wire[:cut], wire[cut:]]) == expected


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(sorted(set(WIRES) - {"chunked, still open"})), max_size=4), st.data())
def test_framings_may_follow_one_another(names: list[str], data: st.DataObject) -> None:
    """A connection may change its framing between responses, and a chunk may end anywhere."""
    wire = b"".join(WIRES[name][0] for name in names)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert read(pieces) == read([wire])
    assert [item for item in read([wire]) if item is C] == [C] * sum(WIRES[name][1].count(C) for name in names)


def test_a_body_without_length_is_complete_with_the_connection() -> None:
    """Only there the connection's end completes a response."""
    assert read([endless(RET, b"\n", MAIL)], ended=True) == [B, RET + b"\n" + MAIL, C]
    assert read([framed(RET)], ended=True) == [B, RET, C]


@pytest.mark.parametrize(
    ("wire", "left"),
    [
        (framed(MAIL)[:-3], [B, MAIL[:-3], CUT]),
        (chunked(MAIL, end=False), [B, MAIL, CUT]),
        (b"HTTP/1.1 200 OK\r\nContent-", [CUT]),
        (framed(RET) + MAIL[:9], [B, RET, C, MAIL[:9], CUT]),
    ],
)
def test_a_cut_is_not_an_end(wire: bytes, left: list[bytes | Mark]) -> None:
    """A connection that ends inside a response is told apart from one that ends behind it."""
    assert read([wire], ended=True) == left


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502"),
        (b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "302"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "101"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "Content-Length|not HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (OVERHEAD_LIMIT // 5), "headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * OVERHEAD_LIMIT + b"\r\n\r\n", "headers"),
    ],
)
def test_what_cannot_be_read_is_refused_after_what_could(wire: bytes, why: str) -> None:
    """A status other than 200, no HTTP, or endless headers: clear errors, and nothing read before is lost."""
    for pieces in ([framed(MAIL) + wire], bytewise(framed(MAIL) + wire)):
        reader = ResponseReader()
        found: list[bytes | Mark] = []
        with pytest.raises(BadResponse, match=why):
            for piece in pieces:
                found.extend(reader.feed(piece))
        assert found[0] is B
        assert b"".join(item for item in found if isinstance(item, bytes)) == MAIL


def test_a_stream_has_no_limit() -> None:
    """One response may go on for ever: body bytes are not overhead."""
    reader = ResponseReader()
    framer = Framer()
    piece = b"%x\r\n%b\r\n" % (len(MAIL), MAIL)
    list(reader.feed(chunked(RET, end=False)))
    for _ in range(3 * OVERHEAD_LIMIT // len(piece)):
        (body,) = reader.feed(piece)
        assert framer.feed(body) == [MAIL]  # type: ignore[arg-type]  # body bytes, no mark
    assert reader.body_is_open


def test_a_length_beside_an_encoding_counts_for_nothing() -> None:
    """Found by the fuzzer, as a loop without end: the parser then reads on until close."""
    wire = framed(MAIL, b"Transfer-Encoding: identity\r\n") + framed(VER)
    for chunks in ([wire], bytewise(wire)):
        assert read(chunks, ended=True) == [B, MAIL + framed(VER), C]


def test_a_blank_before_the_colon_is_put_up_with() -> None:
    """Found by the fuzzer: the parser knew the length and we did not."""
    wire = framed(MAIL).replace(b"Length:", b"Length :") + VER
    for chunks in ([wire], bytewise(wire)):
        assert read(chunks, ended=True) == [B, MAIL, C, VER]


ODD_HEADS = {
    "a status below 100": b"HTTP/1.1 020 \nContent-Length:9\n\n" + RET + framed(b"") + b"{",
    "a header block that ends in CR": b"HTTP/1.1 200 \nContent-Length:9\n\r\x00HTTP/1.\n{\n\n",
}


@pytest.mark.parametrize("wire", ODD_HEADS.values(), ids=ODD_HEADS)
def test_what_is_no_head_is_refused_however_it_is_split(wire: bytes) -> None:
    """Found by the fuzzer: what followed was swallowed or not, by where the pieces were cut."""
    for chunks in ([wire], bytewise(wire)):
        with pytest.raises(BadResponse):
            read(chunks)


def test_what_the_last_response_says_of_the_connection() -> None:
    """Whether the server means to close decides later whether its closing is a loss."""
    reader = ResponseReader()
    list(reader.feed(framed(RET)))
    assert not reader.says_close
    list(reader.feed(framed(RET, b"Connection: close\r\n")))
    assert reader.says_close


MANY = 100_000
CHUNK_STREAM = chunked(*[MAIL] * MANY)
SOCKET_STREAM = framed(MAIL) * MANY
BARE_STREAM = framed(RET) + MAIL * MANY


@pytest.mark.parametrize("wire", [CHUNK_STREAM, SOCKET_STREAM, BARE_STREAM], ids=["chunked", "same socket", "bare"])
def test_work_grows_with_length_only(wire: bytes) -> None:
    """Eight megabytes given at once: looking through the rest for each of the documents would take minutes."""
    reader = ResponseReader()
    size = sum(len(item) for item in reader.feed(wire) if isinstance(item, bytes))
    assert size >= MANY * len(MAIL)
