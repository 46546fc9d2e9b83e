"""Requests are read as leniently as the provider reads them."""

from __future__ import annotations

import base64

import pytest

from bridge.simulator.wire.request import BadRequest, Request, RequestReader

POST = (
    b"POST /openapi/user/get?ALIAS=query&x HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 46\r\n\r\n"
    b"alias=%E9%83%A8%2Fa+b&Slave=1&SLAVE=2&slave=3&"
)


def read(*chunks: bytes) -> list[Request]:
    reader = RequestReader()
    return [request for chunk in chunks for request in reader.feed(chunk)]


@pytest.mark.parametrize("cut", [lambda text: [text], lambda text: [text[i : i + 1] for i in range(len(text))]])
def test_parameters_whole_and_bytewise(cut):
    """Names in any case, repeated keys in order, query before body, Content-Type ignored, %XX and + decoded."""
    first, second = read(*cut(POST + POST))
    assert first == second
    assert first.path == "/openapi/user/get"
    assert first.params == {"alias": ["query", "部/a b"], "x": [""], "slave": ["1", "2", "3"]}


def test_blanks_around_a_value_do_not_count():
    """The document's own example sends ``alias= test2@gzservice.com``."""
    (request,) = read(b"GET /?alias=%20test2@gzservice.com HTTP/1.1\r\n\r\n")
    assert request.param("alias") == "test2@gzservice.com"


@pytest.mark.parametrize(
    ("header", "query", "token"),
    [
        (b"authorization: bearer abc\r\n", b"", "abc"),
        (b"Authorization: Bearer  abc \r\n", b"?access_token=other", "abc"),
        (b"", b"?Access_Token=abc", "abc"),
        (b"Authorization: Basic abc\r\n", b"", None),
        (b"", b"", None),
    ],
)
def test_token_in_every_place(header: bytes, query: bytes, token: str | None):
    """Bearer header, form field or query parameter."""
    (request,) = read(b"GET /%b HTTP/1.1\r\n%b\r\n" % (query, header))
    assert request.token == token


def test_basic_credentials():
    """Basic is base64 of ``client_id:client_secret``; what cannot be read is no credentials."""
    good = base64.b64encode(b"swanzhong:563a8c6a89d2368194c1c7889c508b34")
    (request,) = read(b"GET / HTTP/1.1\r\nAuthorization: Basic %b\r\n\r\n" % good)
    assert request.credentials == ("swanzhong", "563a8c6a89d2368194c1c7889c508b34")
    for bad in (b"%%%", base64.b64encode(b"no colon"), base64.b64encode(b"\xff:\xff")):
        (request,) = read(b"GET / HTTP/1.1\r\nAuthorization: Basic %b\r\n\r\n" % bad)
        assert request.credentials is None


@pytest.mark.parametrize(
    "text", [b"\x16\x03\x01\x02\x00\x01\x00", b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"]
)
def test_no_http_is_refused(text: bytes):
    """TLS on the plain port, and the like, ends the connection."""
    with pytest.raises(BadRequest):
        read(text)


def test_size_is_bounded():
    """A request beyond 1 MiB is refused."""
    with pytest.raises(BadRequest, match="large"):
        read(b"POST / HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n", *[b"x" * 65536] * 20)
