"""Read WebSocket frames from a client (RFC 6455, section 5).

No I/O: bytes go in, messages come out. Clients of ``/ws`` send little: pings, pongs, a close, and text that is ignored
up to 4 KiB. So messages are bounded in length. The number of frames a second is bounded too, because a flood of small
ones costs the reader more than its sender.
"""

from __future__ import annotations

from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bridge.access import codes

TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
_CONTINUATION: Final = 0
FRAMES_A_SECOND: Final = 200
"""How many frames a client may send; a browser sends a pong now and then."""
_utf8_decoder: Final = getincrementaldecoder("utf-8")
_VALID_CLOSE = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


class WireError(Exception):
    """The client broke the protocol; close with ``code``."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message; control frames (close, ping, pong) are messages too."""

    opcode: int
    payload: bytes


class FrameReader:
    """Cut a client's bytes into messages.

    ``most`` bounds a message's payload, in bytes. ``allowance`` is how many more frames are accepted; :meth:`passed`
    renews it every second.
    """

    __slots__ = ("_allowed_at", "_buffer", "_kind", "_most", "_parts", "_text", "allowance")

    def __init__(self, *, most: int = 4096) -> None:
        self._most = most
        self.allowance = FRAMES_A_SECOND
        self._allowed_at = 0.0
        self._buffer = b""
        self._kind = 0
        self._parts = b""
        self._text: IncrementalDecoder | None = None

    @property
    def is_resting(self) -> bool:
        """Whether no frame and no message is incomplete, so that another reader could go on."""
        return not self._buffer and not self._kind

    def passed(self, now: float) -> None:
        """Renew the allowance, if a second has passed since the last time (monotonic seconds)."""
        if now >= self._allowed_at + 1.0:
            self._allowed_at = now
            self.allowance = FRAMES_A_SECOND

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Yield the messages that ``chunk`` completed. The caller takes them all, up to a close.

        Raises:
            WireError: after the valid messages; nothing that follows can be trusted.
        """
        data = self._buffer + chunk if self._buffer else chunk
        start = 0
        while (frame := self._frame(data, start)) is not None:
            start, message = frame
            if message is not None:
                yield message
        self._buffer = data[start:]

    def _frame(self, data: bytes, start: int) -> tuple[int, Message | None] | None:
        """Read one frame at ``start``: return its end and the message it completed; ``None`` if it is incomplete."""
        if len(data) < start + 2:
            return None
        first, second = data[start], data[start + 1]
        opcode = first & 0x0F
        if not self.allowance:
            raise WireError(codes.BAD_REQUEST, "too many frames")
        self._check_head(first, second, opcode)
        length = second & 0x7F
        at = start + 2
        if length >= 126:
            width = 2 if length == 126 else 8
            if len(data) < at + width:
                return None
            length = int.from_bytes(data[at : at + width], "big")
            at += width
        # A control frame may come in the middle of a message and is not part of it.
        if opcode < CLOSE and length + len(self._parts) > self._most:
            raise WireError(codes.BAD_REQUEST, f"message over {self._most} bytes")
        end = at + 4 + length
        if len(data) < end:
            return None
        self.allowance -= 1
        payload = _unmask(data[at + 4 : end], data[at : at + 4])
        return end, self._take(bool(first & 0x80), opcode, payload)

    def _check_head(self, first: int, second: int, opcode: int) -> None:
        if first & 0x70:
            raise WireError(codes.PROTOCOL_ERROR, "reserved bits set, no extension was agreed on")
        if not second & 0x80:
            raise WireError(codes.PROTOCOL_ERROR, "frame of a client is not masked")
        if opcode in (CLOSE, PING, PONG):
            if not first & 0x80 or second & 0x7F > 125:
                raise WireError(codes.PROTOCOL_ERROR, "control frame is fragmented or too long")
        elif opcode not in (_CONTINUATION, TEXT, BINARY):
            raise WireError(codes.PROTOCOL_ERROR, "unknown opcode")
        elif (opcode == _CONTINUATION) != bool(self._kind):
            raise WireError(codes.PROTOCOL_ERROR, "fragments out of order")

    def _take(self, final: bool, opcode: int, payload: bytes) -> Message | None:
        if opcode >= CLOSE:
            return Message(opcode, payload)
        if opcode != _CONTINUATION:
            self._kind = opcode
            self._text = _utf8_decoder() if opcode == TEXT else None
        if self._text is not None:
            _check_text(self._text, payload, final)
        self._parts += payload
        if not final:
            return None
        message = Message(self._kind, self._parts)
        self._kind, self._parts, self._text = 0, b"", None
        return message


def is_empty_pong(data: bytes) -> bool:
    """Whether that is one whole pong without a payload, masked as a client's must be."""
    return len(data) == 6 and data.startswith(b"\x8a\x80")


def read_close(payload: bytes) -> int:
    """Return the code of a close frame, 1000 where it has none.

    Raises:
        WireError: the code must not be sent, or the reason is not UTF-8.
    """
    if not payload:
        return codes.NORMAL
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or not (code in _VALID_CLOSE or 3000 <= code <= 4999):
        raise WireError(codes.PROTOCOL_ERROR, "invalid close code")
    _check_text(_utf8_decoder(), payload[2:], True)
    return code


def _check_text(decoder: IncrementalDecoder, payload: bytes, final: bool) -> None:
    """Refuse text as soon as no later fragment can make it valid UTF-8; a fragment may end inside a character."""
    try:
        decoder.decode(payload, final)
    except UnicodeDecodeError:
        raise WireError(codes.NOT_UTF8, "text is not UTF-8") from None


def _unmask(payload: bytes, mask: bytes) -> bytes:
    if not payload:
        return b""
    length = len(payload)
    key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")
