"""A trusted proxy says who asks, and nobody else does."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from bridge.access.access import Access
from bridge.access.no_tokens import NoTokens
from bridge.access.proxied import ProxyHeader
from bridge.access.refused import Refused

from .test_identity import ANN, BOB, NoTickets, token

NAME = "X-Exmail-Mailbox"
PROXY = "10.0.0.9"


def access(*trusted: str) -> Access:
    proxies = [ip_network(each) for each in trusted or ("10.0.0.0/8",)]
    header = ProxyHeader(NAME, trusted=lambda: proxies, life_s=lambda: 100, now=lambda: 1000.0)
    return Access(verifier=NoTokens(), tickets=NoTickets(), cookie_name="bridge", claim="sub", herald=header)


def request(*said: str, peer: str = PROXY, path: str = "/ws", **headers: str) -> Any:
    """A request as it comes from ``peer``; aiohttp takes the address of the socket."""
    sent = CIMultiDict([("Host", "oa"), *((NAME, each) for each in said), *headers.items()])
    transport = Mock()
    transport.get_extra_info = lambda name, default=None: (peer, 1) if name == "peername" else default
    return make_mocked_request("GET", path, headers=sent, transport=transport)


async def refusal(asked: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        await access().identify(asked)
    return refused.value


@pytest.mark.parametrize("peer", [PROXY, f"::ffff:{PROXY}"])
async def test_it_names_the_mailbox(peer: str) -> None:
    """Said now, so no age can be held against it; without a session; for as long as a connection may last."""
    asked = request(" Bob@GZdev.com ", peer=peer)
    found = await access().identify(asked)
    assert (found.mailboxes, found.sid, found.session, found.scope) == ((BOB,), None, "", frozenset())
    assert (found.issued, found.expires) == (1000.0, 1100.0)
    assert access().goes_along(asked)


async def test_from_others_it_is_not_looked_at() -> None:
    """Whoever reaches the edge past the proxy is nobody, whatever the header, or ``X-Forwarded-For``, says."""
    asked = request(BOB, peer="10.0.0.9", **{"X-Forwarded-For": PROXY})
    assert access("192.168.0.0/16").credential(asked) is None
    with pytest.raises(Refused) as refused:
        await access("192.168.0.0/16").identify(asked)
    assert refused.value.code == 3009
    assert access().credential(request(BOB, peer="")) is None


async def test_an_empty_word_is_none() -> None:
    """The proxy says that nobody is signed in: a page may come back."""
    assert access().credential(request("")) is None
    assert (await refusal(request(" "))).code == 3009


@pytest.mark.parametrize("said", ["bob", "bob@", "eve@gzdev.com, bob@gzdev.com", "b\u00f6b@gzdev.com"])
async def test_what_is_no_address_opens_nothing(said: str) -> None:
    """The proxy must be mended; the message names the header."""
    refused = await refusal(request(said))
    assert (refused.code, refused.label) == (3500, "claim")
    assert NAME in refused.message


async def test_two_words_open_nothing() -> None:
    """A proxy that adds to what a browser sent does not say who asks."""
    assert (await refusal(request(BOB, ANN))).label == "two"


async def test_which_credential_decides() -> None:
    """A program's token and a ticket come before it, and it before the cookie: there is no falling through."""
    assert access().credential(request(BOB, Authorization="Bearer x")) == "bearer"
    assert access().credential(request(BOB, path="/ws?ticket=x")) == "ticket"
    assert access().credential(request(BOB, Cookie=f"bridge={token(ANN)}")) == "header"
    assert access().credential(request("", Cookie=f"bridge={token(ANN)}")) == "cookie"


async def test_without_a_secret_no_token_proves_anything() -> None:
    """The message says what is not set."""
    refused = await refusal(request(BOB, Authorization=f"Bearer {token()}"))
    assert (refused.status, refused.label) == (401, "keys")
    assert "BRIDGE_EDGE_JWT_SECRET" in refused.message
