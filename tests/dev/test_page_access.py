"""Which requests count as this machine's own: with the real provider the page's cookie opens real mailboxes."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bridge.dev.page import is_local


def asked(peer: str, host: str, **headers: str) -> web.Request:
    request = make_mocked_request("GET", "/", {"Host": host, **{n.replace("_", "-"): v for n, v in headers.items()}})
    return request.clone(remote=peer)


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "127.1.2.3"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1"])
def test_loopback_under_its_own_names(peer: str, host: str) -> None:
    """A loopback peer that asks for a loopback name is this machine."""
    assert is_local(asked(peer, host))


@pytest.mark.parametrize(
    ("peer", "host", "headers"),
    [
        ("10.0.0.7", "127.0.0.1", {}),
        ("127.0.0.1", "evil.example", {}),
        ("127.0.0.1", "localhost.evil.example", {}),
        ("127.0.0.1", "127.0.0.1.evil.example", {}),
        ("127.0.0.1", "", {}),
        ("127.0.0.1", "[", {}),
        ("127.0.0.1", "localhost", {"X_Forwarded_For": "10.0.0.7"}),
        ("127.0.0.1", "localhost", {"Forwarded": "for=10.0.0.7"}),
        ("", "localhost", {}),
    ],
)
def test_everybody_else(peer: str, host: str, headers: dict[str, str]) -> None:
    """Another machine, a name that a foreign page has resolve to us, and whoever comes through a proxy are not."""
    assert not is_local(asked(peer, host, **headers))
