"""Which hosts lie outside the proxy, and what a proxy's address may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.provider.proxy import Proxy, is_exempt


@pytest.mark.parametrize(
    ("entry", "host", "exempt"),
    [
        ("corp.com", "corp.com", True),
        ("corp.com", "mail.corp.com", True),
        (".corp.com", "mail.corp.com", True),
        ("*.corp.com", "mail.corp.com", True),
        (" CORP.com ", "Mail.Corp.COM.", True),
        ("corp.com", "notcorp.com", False),
        ("mail.corp.com", "corp.com", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("10.0.0.0/8", "ten.corp.com", False),
        ("*", "anything", True),
        ("", "anything", False),
        (".", "anything", False),
    ],
)
def test_what_an_entry_covers(entry: str, host: str, exempt: bool) -> None:
    """A name covers what is below it, a network what is in it."""
    assert is_exempt(host, ["elsewhere.net", entry]) is exempt


@given(st.lists(st.text()), st.text(min_size=1))
def test_no_text_is_too_strange(entries: list[str], host: str) -> None:
    """Whatever stands in an environment is an answer, not an error."""
    assert is_exempt(host, entries) in (True, False)


def test_an_address_is_read() -> None:
    """Scheme, port and credentials, each with what it means if it is left out."""
    assert Proxy.at("http://p:3128") == Proxy("p", 3128)
    assert Proxy.at("http://p") == Proxy("p", 80)
    assert Proxy.at("https://p") == Proxy("p", 443, secure=True)
    assert Proxy.at("http://u:pw@[::1]:3128/") == Proxy("::1", 3128, credentials="Basic dTpwdw==")
    assert str(Proxy.at("http://[::1]:3128")) == "[::1]:3128"


@pytest.mark.parametrize(
    "url", ["socks5://u:secret@p", "p:3128", "http://", "http://u:secret@p:port", "http://[u:secret"]
)
def test_what_is_no_address(url: str) -> None:
    """Refused without quoting it."""
    with pytest.raises(ValueError, match="prox") as refused:
        Proxy.at(url)
    assert "secret" not in str(refused.value)


def test_the_request_for_a_tunnel() -> None:
    """CONNECT with the authority, twice, and the login if there is one."""
    login = Proxy.at("http://u:pw@p")
    assert login.connect_request("::1", 12211) == (
        b"CONNECT [::1]:12211 HTTP/1.1\r\nHost: [::1]:12211\r\nProxy-Authorization: Basic dTpwdw==\r\n\r\n"
    )
    assert Proxy("p", 1).connect_request("h", 2) == b"CONNECT h:2 HTTP/1.1\r\nHost: h:2\r\n\r\n"
