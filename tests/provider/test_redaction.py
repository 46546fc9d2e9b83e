"""What of a recording may be handed on: stand-ins of the same length, framing as it was, no text of anybody's."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.provider.bizmail.redaction import redacted

KEY = b"k" * 32
MAIL = {
    "UserName": "bob@gzdev.com",
    "MailId": "ZC4028-FPiX_oOG5HUh4XorwyhAY33",
    "Sender": '"王 小明" <wang@example.com>',
    "Receiver": "bob@gzdev.com",
    "Subject": "Re: 工资 😀 é 13800138000",
    "Summary": 'a "quoted" \\ text\nof two lines',
    "NewCount": 549,
}


def test_a_push_keeps_its_shape_and_nothing_else() -> None:
    """The same keys, lengths and count; equal addresses stay equal; no word of the mail is left."""
    document = orjson.dumps(MAIL)
    made = redacted(document, KEY)
    found = orjson.loads(made)
    assert len(made) == len(document)
    assert found.keys() == MAIL.keys()
    assert found["NewCount"] == 549
    assert found["UserName"] == found["Receiver"] != MAIL["UserName"]
    assert found["UserName"][3] == "@"
    for name, value in MAIL.items():
        if isinstance(value, str):
            assert len(found[name].encode()) == len(value.encode())
    for word in ("bob", "gzdev", "FPiX", "王", "工资", "138001", "quoted", "lines", "example"):
        assert word.encode() not in made


@pytest.mark.parametrize(
    "plain",
    [
        b'{"Ret":0}',
        b'{ "Ver" : "1610007514000" }',
        b'{"errcode":"1200","error":"invalid_token"}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: keep-alive\r\n\r\n{"Ret":0}',
        b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"Ret":0}\r\n13\r\n{"Ver":1610007514000}\r\n0\r\n',
    ],
)
def test_what_the_protocol_needs_stays(plain: bytes) -> None:
    """Acknowledgements, cursors, refusals and framing are nobody's."""
    assert redacted(plain, KEY) == plain


@pytest.mark.parametrize(
    ("data", "gone"),
    [
        (b'HTTP/1.1 200 OK\r\nSet-Cookie: sid=secret\r\nX-Token: secret\r\n\r\n{"Ret":0}', b"secret"),
        (b"<html><body>Bearer secret at proxy-of-corp</body></html>", b"secret"),
        (b'{"Mobile":13800138000,"NewCount":"secret"}', b"13800138000"),
        (b'{"Mobile": 13800138\r\n}', b"13800138"),
        (b'{"error":"bad token secret"}', b"secret"),
        (b'{"Subject":"\\u5de5\\u8d44 \\q secret', b"\\u5de5"),
        (b'{"a secret as a key that is much longer than any key of the protocol":1}', b"secret"),
        (b'{"NewCount":"13800138000138001380"}', b"1380013800"),
        (b'{"Subject":"sec\r\n5\r\nret', b"sec\r\n5\r\nret"),
        (b'{"Subject":"' + "密".encode()[:2] + b'"}', "密".encode()[:2]),
    ],
)
def test_what_is_not_known_to_be_harmless_is_gone(data: bytes, gone: bytes) -> None:
    """Headers, pages, numbers, errors, escapes, odd keys, texts that a chunk cuts, broken characters."""
    made = redacted(data, KEY)
    assert len(made) == len(data)
    assert gone not in made


ODD = st.sampled_from([b'"', b"\\", b"{", b"\r\n", b"\\u12", b"HTTP/1.1 ", b"\xe5", b":"])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300) | st.lists(ODD).map(b"".join))
def test_any_bytes_keep_their_length(data: bytes) -> None:
    """Whatever the wire brings; the recording is cut where it was."""
    assert len(redacted(data, KEY)) == len(data)
