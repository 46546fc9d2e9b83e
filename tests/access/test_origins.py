"""Which pages may ask: same origin, listed ones, proxies, and what a refusal names."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import hdrs
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from bridge.access import codes
from bridge.access.access import Refused
from bridge.access.origins import Origins, origins_of

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def origins(public_url: str = "", *allowed: str) -> Origins:
    listed = origins_of(allowed)
    return Origins(public_url=public_url, allowed=lambda: listed, trusted_proxies=lambda: LOOPBACK)


class FromPeer:
    """A transport, as far as a request asks it who is there."""

    def __init__(self, peer: str) -> None:
        self._peer = peer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return (self._peer, 50000) if name == "peername" else default


def request(origin: str | None = None, host: str = "oa.corp.com", peer: str = "10.0.0.9", **headers: str) -> Any:
    sent = CIMultiDict({"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}})
    if origin is not None:
        sent["Origin"] = origin
    return make_mocked_request("GET", "/ws", headers=sent, transport=FromPeer(peer))


def refusal(asked: Origins, asking: Any, **options: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        asked.check(asking, **{"cookie": False, **options})
    assert (refused.value.status, refused.value.code, refused.value.label) == (403, codes.NOT_ALLOWED, "origin")
    return refused.value


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://oa.corp.com", "oa.corp.com"),
        ("http://oa.corp.com", "oa.corp.com"),
        ("https://oa.corp.com", "OA.Corp.com"),
        ("https://OA.corp.com", "oa.corp.com"),
        ("https://oa.corp.com", "oa.corp.com:443"),
        ("http://oa.corp.com", "oa.corp.com:80"),
        ("https://oa.corp.com:443", "oa.corp.com"),
        ("https://oa.corp.com:8443", "oa.corp.com:8443"),
        ("http://oa.corp.com:443", "oa.corp.com:443"),
        ("http://localhost:8080", "localhost:8080"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://[::1]", "[::1]:80"),
        ("http://oa", "oa"),
        ("http://my_host", "my_host"),
    ],
)
def test_same_origin(origin: str, host: str) -> None:
    """Host and port are compared, default ports dropped, the scheme not: TLS ends before us."""
    assert origins().check(request(origin, host), cookie=True) == origin


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.com", "oa.corp.com"),
        ("https://oa.corp.com.evil.com", "oa.corp.com"),
        ("https://evil-oa.corp.com", "oa.corp.com"),
        ("https://corp.com", "oa.corp.com"),
        ("https://oa.corp.com:8443", "oa.corp.com"),
        ("https://oa.corp.com", "oa.corp.com:8443"),
        ("http://localhost:3000", "localhost:8080"),
        ("https://oa.corp.com:80", "oa.corp.com"),
    ],
)
def test_foreign_origin(origin: str, host: str) -> None:
    """Another host or port is foreign, and the message names both sides."""
    refused = refusal(origins("https://edge.corp.com/x/", "https://crm.corp.com"), request(origin, host))
    for named in (origin, host, "https://edge.corp.com", "https://crm.corp.com"):
        assert named in refused.message


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "oa.corp.com",
        "https://",
        "https://oa.corp.com/",
        "https://oa.corp.com/path",
        "https://user@oa.corp.com",
        "https://oa.corp.com:",
        "https://oa.corp.com:x",
        "https://oa.corp.com https://oa.corp.com",
        "ftp://oa.corp.com",
        "file://",
        "chrome-extension://oa.corp.com",
        "https://öa.corp.com",
        "*",
        "NULL",
        "x" * 5000,
    ],
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    """Only http(s) origins as browsers write them; the message stays short and printable."""
    refused = refusal(origins(), request(origin))
    assert refused.message.isprintable()
    assert len(refused.message) < 200


def test_null_is_never_allowed() -> None:
    """A sandboxed frame of anybody says null."""
    assert (
        "Origin null"
        in refusal(origins("https://oa.corp.com", "https://crm.corp.com"), request("null", "null")).message
    )


def test_two_origins_are_refused() -> None:
    """A proxy and we might look at different ones."""
    sent = CIMultiDict([("Host", "oa"), ("Origin", "http://oa"), ("Origin", "http://evil")])
    assert "2 Origin headers" in refusal(origins(), make_mocked_request("GET", "/", headers=sent)).message


def test_no_origin_is_allowed() -> None:
    """Browsers leave it out within one origin, and programs always."""
    assert origins().check(request(), cookie=True) is None
    for site in ("same-origin", "same-site", "none"):
        assert origins().check(request(Sec_Fetch_Site=site), cookie=True) is None


def test_cross_site_with_a_cookie_is_refused() -> None:
    """A cookie goes along by itself; a bearer or ticket must be known; following a link is a person's act."""
    asking = request(Sec_Fetch_Site="cross-site")
    assert "cookie" in refusal(origins(), asking, cookie=True).message
    assert origins().check(asking, cookie=False) is None
    assert origins().check(asking, cookie=True, navigation=True) is None


def test_navigation_does_not_open_foreign_origins() -> None:
    """It forgives a missing Origin, not a wrong one."""
    refusal(origins(), request("https://evil.com"), cookie=True, navigation=True)
    refusal(origins(), request("null"), cookie=True, navigation=True)


def test_listed_origins_are_allowed_exactly() -> None:
    """With their scheme and port; as the browser writes them, they come back."""
    listed = origins("", "https://crm.corp.com", "http://dev.corp.com:3000", "https://企业.com")
    for origin in ("https://crm.corp.com", "http://dev.corp.com:3000", "https://xn--vhquv.com"):
        assert listed.check(request(origin), cookie=True) == origin
    for origin in ("http://crm.corp.com", "https://crm.corp.com:3000", "http://dev.corp.com", "https://a.crm.corp.com"):
        refusal(listed, request(origin))


@pytest.mark.parametrize("url", ["https://oa.corp.com/exmail/", "https://OA.corp.com:443", "https://oa.corp.com/a/b"])
def test_public_url_is_allowed(url: str) -> None:
    """Its origin, whatever its path, also when the proxy replaces Host."""
    known = origins(url)
    assert known.check(request("https://oa.corp.com", "127.0.0.1:8080"), cookie=True) == "https://oa.corp.com"
    refusal(known, request("https://oa.corp.com:8443", "127.0.0.1:8080"))


@pytest.mark.parametrize("url", ["oa.corp.com", "https://", "ftp://oa.corp.com", "https://user@oa.corp.com", "*"])
def test_a_setting_that_is_no_origin_is_not_taken(url: str) -> None:
    """Ignored in silence it would lock its page out."""
    with pytest.raises(ValueError):
        origins("", url)
    with pytest.raises(ValueError):
        origins(url)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    """It may have replaced Host, and says what the browser asked for; one of a chain will do."""
    for forwarded in ("oa.corp.com", "oa.corp.com:443", "oa.corp.com, inner:8080", "x,oa.corp.com"):
        asking = request("https://oa.corp.com", "127.0.0.1:8080", peer, X_Forwarded_Host=forwarded)
        assert origins().check(asking, cookie=True) == "https://oa.corp.com"
    refusal(origins(), request("https://evil.com", "127.0.0.1:8080", peer, X_Forwarded_Host="oa.corp.com,"))


@pytest.mark.parametrize("peer", ["10.0.0.9", "128.0.0.1", "::2", "", "unix"])
def test_others_are_not_believed(peer: str) -> None:
    """Anybody may send the header."""
    refusal(origins(), request("https://evil.com", "oa.corp.com", peer, X_Forwarded_Host="evil.com"))


def test_cors_headers() -> None:
    """The origin exactly, with credentials; caches are told; each call gives its own dict."""
    assert origins().cors_headers("https://crm.corp.com") == {
        "Access-Control-Allow-Origin": "https://crm.corp.com",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Retry-After",
        "Vary": "Origin",
    }
    headers = origins().cors_headers(None)
    assert headers == {"Vary": "Origin"}
    headers["Retry-After"] = "3"
    assert origins().cors_headers(None) == {"Vary": "Origin"}


def test_preflight_headers() -> None:
    """What a page may send: a bearer token, JSON, and what an EventSource over fetch sends."""
    headers = origins().preflight_headers("https://crm.corp.com")
    assert headers.items() >= origins().cors_headers("https://crm.corp.com").items()
    assert headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] == "GET, POST"
    assert {"Authorization", "Last-Event-ID"} <= set(headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS].split(", "))
    assert int(headers[hdrs.ACCESS_CONTROL_MAX_AGE]) > 0
    assert origins().preflight_headers(None) == {"Vary": "Origin"}
