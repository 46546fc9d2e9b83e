"""The WebSocket frame reader: every case whole, byte by byte, and with a tail."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.access import codes
from bridge.edge.frames import ws_close, ws_frame
from bridge.edge.transport.wire import BINARY, CLOSE, PING, PONG, TEXT, FrameReader, Message, WireError, read_close


def client_frame(payload: bytes, opcode: int = TEXT, *, final: bool = True, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A frame as a client sends it; written apart from the code under test."""
    head = bytes(((0x80 if final else 0) | opcode,))
    length = len(payload)
    if length < 126:
        head += bytes((0x80 | length,))
    elif length < 65536:
        head += b"\xfe" + length.to_bytes(2, "big")
    else:
        head += b"\xff" + length.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


CASES = {
    "empty text": (client_frame(b""), [Message(TEXT, b"")]),
    "text": (client_frame("你好".encode()), [Message(TEXT, "你好".encode())]),
    "binary": (client_frame(b"\xff\x00", BINARY), [Message(BINARY, b"\xff\x00")]),
    "two-byte length": (client_frame(b"a" * 300), [Message(TEXT, b"a" * 300)]),
    "the longest": (client_frame(b"a" * 4096), [Message(TEXT, b"a" * 4096)]),
    "ping": (client_frame(b"x", PING), [Message(PING, b"x")]),
    "pong": (client_frame(b"", PONG), [Message(PONG, b"")]),
    "close": (client_frame(b"\x03\xe8", CLOSE), [Message(CLOSE, b"\x03\xe8")]),
    "fragments": (
        client_frame(b"ab", final=False) + client_frame(b"cd", 0, final=False) + client_frame(b"", 0),
        [Message(TEXT, b"abcd")],
    ),
    "a ping between fragments": (
        client_frame("你".encode()[:1], final=False) + client_frame(b"", PING) + client_frame("你".encode()[1:], 0),
        [Message(PING, b""), Message(TEXT, "你".encode())],
    ),
    "zero mask": (client_frame(b"abc", mask=b"\0\0\0\0"), [Message(TEXT, b"abc")]),
}
REFUSED = {
    "not masked": (b"\x81\x01a", codes.PROTOCOL_ERROR),
    "reserved bit": (b"\xc1\x80\0\0\0\0", codes.PROTOCOL_ERROR),
    "unknown opcode": (b"\x83\x80\0\0\0\0", codes.PROTOCOL_ERROR),
    "unknown control opcode": (b"\x8b\x80\0\0\0\0", codes.PROTOCOL_ERROR),
    "fragmented ping": (client_frame(b"", PING, final=False), codes.PROTOCOL_ERROR),
    "long ping": (client_frame(b"a" * 126, PING), codes.PROTOCOL_ERROR),
    "continuation of nothing": (client_frame(b"a", 0), codes.PROTOCOL_ERROR),
    "new message within one": (client_frame(b"a", final=False) + client_frame(b"b"), codes.PROTOCOL_ERROR),
    "text that is not UTF-8": (client_frame(b"\xff"), codes.NOT_UTF8),
    "too long": (client_frame(b"a" * 4097), codes.BAD_REQUEST),
    "too long in fragments": (client_frame(b"a" * 4000, final=False) + client_frame(b"a" * 97, 0), codes.BAD_REQUEST),
    "a length of 2^63": (b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0", codes.BAD_REQUEST),
}


@pytest.mark.parametrize("name", CASES)
def test_whole_and_byte_by_byte_and_with_a_tail(name: str) -> None:
    """A read may end anywhere, and bring more than one frame."""
    data, expected = CASES[name]
    assert list(FrameReader().feed(data)) == expected
    reader = FrameReader()
    assert [message for byte in data for message in reader.feed(bytes((byte,)))] == expected
    tail = client_frame(b"next")
    reader = FrameReader()
    assert list(reader.feed(data + tail[:3])) == expected
    assert list(reader.feed(tail[3:])) == [Message(TEXT, b"next")]


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_the_protocol_is_refused_with_its_code(name: str) -> None:
    """Whole and byte by byte alike."""
    data, code = REFUSED[name]
    with pytest.raises(WireError) as refused:
        list(FrameReader().feed(data))
    assert refused.value.code == code
    reader = FrameReader()
    with pytest.raises(WireError) as refused:
        for byte in data:
            list(reader.feed(bytes((byte,))))
    assert refused.value.code == code


def test_a_length_is_refused_before_its_bytes_have_come() -> None:
    """Nobody makes us keep what we will not take."""
    with pytest.raises(WireError):
        list(FrameReader().feed(client_frame(b"a" * 5000)[:8]))


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_cut_anywhere_never_break_the_reader(data: bytes, at: int) -> None:
    """Messages or a refusal, nothing else; and the cut changes neither."""

    def outcome(chunks: list[bytes]) -> object:
        reader, messages = FrameReader(), []
        try:
            for chunk in chunks:
                messages += reader.feed(chunk)
        except WireError as error:
            return messages, error.code
        return messages, 0

    assert outcome([data]) == outcome([data[:at], data[at:]])


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_masks_are_undone(payloads: list[bytes]) -> None:
    """Whatever the mask."""
    data = b"".join(client_frame(payload, BINARY, mask=os.urandom(4)) for payload in payloads)
    assert [message.payload for message in FrameReader().feed(data)] == payloads


def test_close_codes() -> None:
    """What may stand on the wire, and what may not."""
    assert read_close(b"") == 1000
    assert read_close((3000).to_bytes(2, "big") + "再见".encode()) == 3000
    for payload in (b"\x03", (1005).to_bytes(2, "big"), (999).to_bytes(2, "big"), (5000).to_bytes(2, "big")):
        with pytest.raises(WireError):
            read_close(payload)
    with pytest.raises(WireError):
        read_close(b"\x03\xe8\xff")


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_our_own_frames_can_be_read(length: int) -> None:
    """Each width of the length; unmasked, as a server's are."""
    frame = ws_frame(b"a" * length)
    assert frame[0] == 0x81
    assert not frame[1] & 0x80
    assert frame.endswith(b"a" * length)
    assert len(frame) == length + (2 if length < 126 else 4 if length < 65536 else 10)
    close = ws_close(3001)
    assert close[2:4] == (3001).to_bytes(2, "big")
    assert close[4:] == b"shutting down"
