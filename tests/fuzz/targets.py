"""What is fuzzed: functions that take any bytes and raise where a promise is broken.

Each promises no exception but the documented ones, and little else that holds for any input whatever: the same result
however the bytes are split, bounded output, no secret in an error. Hypothesis runs them in the suite, ``python -m
tests.fuzz`` for as long as told.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import orjson

from bridge.edge.positions import join_positions, parse_positions
from bridge.edge.transport.wire import CLOSE, FrameReader, Message, WireError, read_close
from bridge.events import normalise_address, parse_position
from bridge.journal.dead import is_entry_id, names_any
from bridge.journal.follow import parse_stream_id
from bridge.provider.bizmail.framer import DocumentTooLarge, Framer
from bridge.provider.bizmail.pushes import NAMES, parse_broken, parse_push
from bridge.provider.bizmail.responses import BadResponse, Mark, ResponseReader
from bridge.provider.pushes import MailArrived, Push, Unreadable, UnreadChanged
from bridge.settings import SettingsError, load_settings, show
from bridge.settings.table import TABLE
from bridge.worker.dead import KEPT_MOST, Burial, masked
from bridge.worker.translate import BadAddress, Translator
from tests.fuzz import answers

SAMPLES = Path(__file__).parents[1] / "samples"


@dataclass(frozen=True)
class Target:
    """``run`` is fed; ``seeds`` are good inputs to begin with, ``words`` what is worth inserting."""

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes]
    longest: int = 4096


# -- what comes from the provider


def listen(data: bytes) -> None:
    """The whole way of the listen stream: the split makes no difference, and each push can be recorded or buried."""
    stream, seed = data[2:], int.from_bytes(data[:2], "big")
    whole, ended = _listened([stream])
    cut, cut_ended = _listened(_split(stream, Random(seed)))
    if "too large" in (ended, cut_ended):
        # What came in one piece needs no looking for its end, so that only the beginning is the same.
        assert all(one == other for one, other in zip(whole, cut, strict=False))
    else:
        assert (cut, cut_ended) == (whole, ended)
    for push in (*whole, *cut):
        _handle(push)


def push(data: bytes) -> None:
    """One document, as the framer gives it or as a head that was cut."""
    assert parse_push(data)
    for each in (*parse_push(data), parse_broken(Unreadable("too-large", data, len(data) + 1))):
        _handle(each)
    for names in (None, NAMES):
        _check_mask(data, masked(data[:KEPT_MOST], names))
    names_any(data, [b"bob@gzdev.com"])


def _split(stream: bytes, random: Random) -> Iterable[bytes]:
    most = random.choice((1, 3, 20, 500))
    at = 0
    while at < len(stream):
        step = random.randint(1, most)
        yield stream[at : at + step]
        at += step


def _listened(pieces: Iterable[bytes]) -> tuple[list[Push], str]:
    """Pushes of one connection, and how it ended. As a listen session reads them, with small limits."""
    reader, framer = ResponseReader(), Framer(limit=1000, skip_limit=2500)
    pushes: list[Push] = []

    def note(document: bytes | Unreadable) -> None:
        pushes.extend(parse_push(document) if isinstance(document, bytes) else (parse_broken(document),))

    def border() -> None:
        left = framer.end()
        if left:
            note(Unreadable("truncated", left) if isinstance(left, bytes) and left[:1] == b"{" else left)

    def follow(found: Iterable[bytes | Mark | Unreadable]) -> None:
        for item in found:
            if item is Mark.COMPLETE:
                border()
            elif isinstance(item, bytes):
                for document in framer.feed(item):
                    note(document)
            elif isinstance(item, Unreadable):
                note(item)

    try:
        for piece in pieces:
            follow(reader.feed(piece))
        follow(reader.end())
        border()
    except DocumentTooLarge:
        return pushes, "too large"
    except BadResponse:
        return pushes, "no HTTP"
    return pushes, "in order"


def _handle(push: Push) -> None:
    """What the worker makes of it: a bounded event that is JSON, or a bounded entry."""
    translator, burial = Translator("exmail", "full", {}), Burial("full", names=NAMES)
    try:
        match push:
            case MailArrived():
                call = translator.mail(push, time_s=4e9)
                assert len(call.event.body) < 60_000
                assert orjson.loads(b"{" + call.event.body + b"1}}")["data"]["mail_id"] == call.mail_id
            case UnreadChanged():
                counted = translator.unread(push, time_s=4e9)
                orjson.loads(b"{" + counted.event.body + b"1}}")
            case Unreadable():
                kept = burial.bury(push.reason, push.document, push.cut_from)
                assert kept is not None
                assert len(kept.document) <= KEPT_MOST
                assert kept.size >= len(push.document)
    except BadAddress:
        pass


def _check_mask(document: bytes, shape: bytes) -> None:
    """As long as it was; between the names there is nothing but shape."""
    assert len(shape) == len(document[:KEPT_MOST])
    without_names = re.sub(rb'" *[A-Za-z_]{1,32} *"(?=\s*:)', b"", shape)
    assert not re.search(rb'[^][{}:,"\sx]', without_names)


# -- what comes from browsers


def position(data: bytes) -> None:
    """``Last-Event-ID``, ``?after=``, ids on a command line: read or not, and then the same text again."""
    text = data.decode("utf-8", "surrogateescape")
    if (found := parse_position(text)) is not None:
        assert str(found) == text
        assert found.seq < 10**18
    found_many = parse_positions(text)
    again = join_positions([str(each).encode() for each in found_many.values()]).decode()
    assert parse_positions(again) == found_many
    assert len(again) <= len(text)
    assert all(each.epoch == epoch and str(each) in text for epoch, each in found_many.items())
    if (place := parse_stream_id(text)) is not None:
        assert text.split("-")[0].isascii()
        assert place.generation >= 0
    if is_entry_id(text):
        assert text.isascii()
    if (address := normalise_address(text)) is not None:
        assert address == normalise_address(address)
        assert not re.search(r"[\x00-\x20\x7f]", address)


def message(data: bytes) -> None:
    """Bytes of a ``/ws`` client: messages, or an error with a code; however they are split."""
    stream, seed = data[2:], int.from_bytes(data[:2], "big")
    whole = _messages([stream])
    cut = _messages(_split(stream, Random(seed)))
    assert cut[1] == whole[1]
    # Of a piece that breaks the protocol the messages before that are not told.
    assert cut[0][: len(whole[0])] == whole[0]
    assert whole[1] or cut[0] == whole[0]
    for each in whole[0]:
        assert len(each.payload) <= 4096
        if each.opcode == CLOSE:
            with suppress(WireError):
                assert 1000 <= read_close(each.payload) <= 4999


def _messages(pieces: Iterable[bytes]) -> tuple[list[Message], int]:
    reader = FrameReader()
    messages: list[Message] = []
    try:
        for piece in pieces:
            messages += reader.feed(piece)
    except WireError as error:
        return messages, error.code
    return messages, 0


# -- what comes from an operator

_SECRET = "s3cr3t-"
_URLS = ("BRIDGE_REDIS_URL", "BRIDGE_EGRESS_PROXY")
"""They may hold a password; the rest is shown."""
_IN_PASSWORD = re.compile(rf"\s*[a-z+]*://[^/?#:]*:[^/?#]*{_SECRET}[^/?#]*@")


def settings(data: bytes) -> None:
    """Any variable with any text: settings or a :class:`SettingsError`, and no secret in either."""
    setting = TABLE[(data[0] & 0x7F) % len(TABLE)] if data else TABLE[0]
    # NUL can stand in no environment.
    text = data[1:].replace(b"\0", b"").decode("utf-8", "surrogateescape")
    is_url = setting.variable in _URLS
    if setting.secret and not is_url:
        text = _SECRET + text
    if data[:1] > b"\x7f":
        # A file of that name here, which mostly is none.
        _loaded({f"{setting.variable}_FILE": text.replace("/", "")}, None)
    told, refused = _loaded({setting.variable: text}, None)
    if is_url and (refused or (text.count(_SECRET) == 1 and _IN_PASSWORD.match(text))):
        assert _SECRET not in told, f"{setting.variable}: {told}"
    if setting.secret and not is_url:
        assert _SECRET not in told, f"{setting.variable}: {told}"


def settings_file(data: bytes) -> None:
    """Any file of settings."""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        _loaded({}, Path(file.name))


def _loaded(environ: dict[str, str], path: Path | None) -> tuple[str, bool]:
    """Everything that is told of the settings, or why there are none; and whether they were refused."""
    try:
        loaded = load_settings(environ, path)
    except SettingsError as error:
        return str(error), True
    return f"{loaded!r} {show(loaded)}", False


def _samples() -> list[bytes]:
    return [path.read_bytes() for path in sorted(SAMPLES.glob("push-*.json"))]


def _framed(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def _chunked(*bodies: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies)


def _client_frame(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + size + b"\0\0\0\0" + payload


_RET = b'{"Ret":0}'
_STREAMS = [
    *(b"\0\1" + _framed(sample) * 2 for sample in _samples()),
    b"\0\2" + _framed(_RET) + b"".join(_samples()),
    b"\0\3" + _chunked(_RET, *_samples(), _samples()[0][:50]) + b"0\r\n\r\n" + _RET,
    b"\0\4HTTP/1.1 200 OK\r\n\r\n" + b"\n".join(_samples()),
    b"\0\5HTTP/1.1 100 Continue\r\n\r\n" + _framed(_RET) + b'{"Subject":"' + b"x" * 1200 + b'"}' + _RET,
    b"\0\6" + _chunked(b'{"UserName":"a@b.cn","MailId":"Z1","Subject":"' + b"x" * 1000, b"x" * 2000, b'"}'),
]
_PUSHES = [
    *_samples(),
    b'{"UserName":"a@b.cn","MailId":"Z1","Subject":[[[{"a":[]}]],"NewCount":3}',
    b'\xef\xbb\xbf{"username":"A@B.cn","mailid":"Z1","subject":"cut \\ud83',
    b'{"errcode":"1200","error":"invalid token"}',
]
_WORDS = (
    *(b"UserName", b"NewCount", b"MailId", b"Subject", b"Summary", b"Ver", b"Ret", b"errcode", b"error"),
    *(b'{"', b'"}', b'":"', b'","', b"\\", b'\\"', b"\\u", b"\\ud83d", b"\\u0000", b"[[[[", b"]]]]", b"{}"),
    *(b"\0", b"\xff", b"\xe6\x91", b"\xed\xa0\xbd", "\u202e".encode(), b"1e400", b"-1", b"9" * 30, b"a@b.cn"),
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 204 \r\n\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n"),
    *(b"\xef\xbb\xbf", b"\r\n", b"\n", b"\n\n", b"0\r\n\r\n", b"ffffffff\r\n", b"7\r\n", b"HTTP/1.1 101 X\r\n\r\n"),
)  # fmt: skip

TARGETS = {
    "listen": Target(listen, _STREAMS, _WORDS),
    "push": Target(push, _PUSHES, _WORDS),
    "answer": Target(answers.answer, answers.SEEDS, answers.WORDS),
    "position": Target(
        position,
        [
            b"k3f9a2xq-42",
            b"1795497613538-0",
            b"Bob@GZdev.com",
            b"k3f9a2xq-999999999999999999",
            b"k3f9a2xq-42,annsbox1-0,k3f9a2xq-41",
        ],
        [*(b",", b"-", b"0", b"9" * 18, b"@", b"\0", b"\n", b"/"), *(each.encode() for each in "\u0661\u202e\u0130")],
        longest=128,
    ),
    "message": Target(
        message,
        [
            b"\0\1" + _client_frame(1, "你好".encode()) + _client_frame(9, b"x") + _client_frame(8, b"\x03\xe8bye"),
            b"\0\2" + _client_frame(2, b"\0" * 4090) + _client_frame(10, b""),
            b"\0\3\x01\x82\0\0\0\0ab" + _client_frame(9, b"") + b"\x80\x82\0\0\0\0cd",
        ],
        [b"\x81\xfe\x10\x00", b"\x81\xfe\x10\x01", b"\x82\xff" + b"\xff" * 8, b"\x88\x82", b"\x80\x80", b"\x89\xfd"],
        longest=9000,
    ),
    "settings": Target(
        settings,
        [
            *(bytes((place,)) + (each.default or "x").encode() for place, each in enumerate(TABLE)),
            *(
                bytes((place,)) + text
                for place, each in enumerate(TABLE)
                for text in (
                    b"redis://user:s3cr3t-x@h:6379/0",
                    b"rediss+sentinel://:s3cr3t-x@h1:26379,[::1]:26379/mymaster/0?a=b",
                    b"http://u:s3cr3t-x@proxy:3128",
                    b"unix:///run/x.sock?password=s3cr3t-x",
                )
                if each.variable in ("BRIDGE_REDIS_URL", "BRIDGE_EGRESS_PROXY")
            ),
        ],
        [b"://", b"@", b":", b"/", b"#", b"?", b"%", b"[", b"]", b",", b"base64:", b"s3cr3t-", b"*", b"\xff"],
        longest=200,
    ),
    "settings-file": Target(
        settings_file,
        [
            b'namespace = "x"\n[worker]\nlease = 20\n[edge]\nallowed_origins = ["https://a.b"]\n',
            b'[redis]\nurl = "redis://u:s3cr3t-x@h"\npassword_file = "x"\n[provider]\nclient_secret = ["a", "b"]\n',
        ],
        [each.key.encode() for each in TABLE] + [b"[edge]\n", b" = ", b'"""', b"_file", b"1e400", b"[[", b"{a=1}"],
        longest=1000,
    ),
}  # fmt: skip
