"""Who asks: which credential decides, what it proves, and which mailbox is meant."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from aiohttp.test_utils import make_mocked_request

from bridge.access import codes
from bridge.access.access import Access, Identity, Refused, read_identity
from bridge.access.claims import LEEWAY_S
from bridge.access.secret import SecretVerifier

BOB = "bob@gzdev.com"
ANN = "ann@gzdev.com"
SECRET = b"the secret of a test, 32 bytes and more"


class NoTickets:
    """A ticket store that nobody has put anything into."""

    async def put_ticket(self, claims: bytes, *, life_s: int = 30) -> str:
        raise AssertionError("nobody asked for a ticket")

    async def take_ticket(self, ticket: str) -> bytes | None:
        return None


def access(claim: str = "sub") -> Access:
    return Access(verifier=SecretVerifier(lambda: [SECRET]), tickets=NoTickets(), cookie_name="bridge", claim=claim)


def token(mailbox: Any = BOB, **claims: Any) -> str:
    return jwt.encode({"exp": time.time() + 600, "sub": mailbox, **claims}, SECRET)


def request(path: str = "/ws", **headers: str) -> Any:
    return make_mocked_request("GET", path, headers={"Host": "oa", **headers})


async def identity(**claims: Any) -> Identity:
    return await access().identify(request(Authorization=f"Bearer {token(**claims)}"))


async def refusal(request: Any, **options: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        await access().identify(request, **options)
    return refused.value


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_bearer_proves_an_identity(scheme: str) -> None:
    """The token's address, normalised; the scheme's case does not matter."""
    found = await access().identify(request(Authorization=f"{scheme} {token(' Bob@GZdev.com ')}"))
    assert (found.mailboxes, found.sid, found.scope) == ((BOB,), None, frozenset())


async def test_cookie_proves_an_identity() -> None:
    """The cookie's value is the token."""
    asking = request(Cookie=f"a=b; bridge={token()}")
    assert access().credential(asking) == "cookie"
    assert (await access().identify(asking)).mailboxes == (BOB,)


async def test_the_first_credential_decides() -> None:
    """Bearer before ticket before cookie; one that fails does not fall through to one that would not."""
    good = token()
    asking = request("/ws?ticket=x", Authorization="Bearer nonsense", Cookie=f"bridge={good}")
    assert access().credential(asking) == "bearer"
    assert (await refusal(asking)).label == "token"
    asking = request("/ws?ticket=x", Cookie=f"bridge={good}")
    assert access().credential(asking) == "ticket"
    assert (await refusal(asking)).label == "ticket"
    asking = request("/ws", Authorization="Bearer", Cookie=f"bridge={good}")
    assert (await refusal(asking)).label == "token"


async def test_another_scheme_is_no_credential() -> None:
    """A proxy's Basic password goes along with every request; the cookie still decides."""
    asking = request(Authorization="Basic eDp5", Cookie=f"bridge={token()}")
    assert access().credential(asking) == "cookie"
    assert (await access().identify(asking)).mailboxes == (BOB,)


async def test_no_credential_is_refused() -> None:
    """401, and the message names the ways in."""
    asking = request(Authorization="Basic eDp5")
    assert access().credential(asking) is None
    refused = await refusal(asking)
    assert (refused.status, refused.code, refused.label) == (401, codes.NO_CREDENTIAL, "missing")
    assert "?ticket=" in refused.message
    assert "bridge" in refused.message


async def test_all_that_a_token_says_is_kept() -> None:
    """Further mailboxes once each behind the first, the session, the scope, and the very moment it ends."""
    exp = int(time.time()) + 60
    found = await identity(mailboxes=["ANN@gzdev.com", BOB, ANN], sid="s-1", scope="open  read", exp=exp)
    assert found == Identity((BOB, ANN), "s-1", frozenset({"open", "read"}), float(exp + LEEWAY_S))


async def test_a_connection_ends_when_its_token_would_be_refused() -> None:
    """One expiry for all: a token within the leeway opens a connection, and that ends with the leeway."""
    exp = int(time.time()) - 30
    assert (await identity(exp=exp)).expires == exp + LEEWAY_S


async def test_when_a_token_was_signed_is_kept_where_it_says_so() -> None:
    """In seconds; a stamp in milliseconds would be newer than anything that happens."""
    now = int(time.time())
    assert (await identity(iat=now)).issued == now
    for nothing in (None, "yesterday", now * 1000, True, -5):
        assert (await identity(iat=nothing)).issued is None


async def test_the_session_is_the_sid_or_what_was_signed() -> None:
    """Without a sid each token is a session of its own, however its signature is written."""
    assert (await identity(sid="s-1")).session == "s-1"
    one = token()
    found = await access().identify(request(Authorization=f"Bearer {one}"))
    assert found.session == hashlib.sha256(one.rpartition(".")[0].encode()).hexdigest()
    assert (await identity(sid="", x=1)).session not in ("", found.session)


def cookies(*values: str, name: str = "bridge") -> Any:
    return request(Cookie="; ".join(["a=b", *(f"{name}={value}" for value in values)]))


async def test_cookies_that_are_no_good_hide_no_good_one() -> None:
    """An expired, a forged and an empty cookie of the name, set for another path or host, before and behind it."""
    good = token(iat=1)
    stale = token(exp=time.time() - 600)
    for order in ((stale, good), (good, stale), ("planted", "", good), ('"' + good + '"',)):
        assert (await access().identify(cookies(*order))).mailboxes == (BOB,)


async def test_of_two_good_cookies_the_longer_one_counts() -> None:
    """One mailbox: whichever lasts longest, whatever its place."""
    soon, late = token(exp=int(time.time()) + 60), token(exp=int(time.time()) + 900)
    for order in ((soon, late), (late, soon)):
        found = await access().identify(cookies(*order))
        assert found.expires == jwt.decode(late, options={"verify_signature": False})["exp"] + LEEWAY_S


async def test_cookies_of_two_people_open_nothing() -> None:
    """A neighbour host may have set one of them; a page is told to come back, and no mailbox is shown."""
    for order in ((token(), token(ANN)), (token(ANN), token())):
        refused = await refusal(cookies(*order))
        assert (refused.status, refused.code, refused.label) == (401, codes.NO_CREDENTIAL, "two")


async def test_cookies_that_are_all_no_good_are_refused_as_the_mildest_of_them() -> None:
    """A page whose cookie expired comes back, though a neighbour planted another."""
    refused = await refusal(cookies("planted", token(exp=time.time() - 600)))
    assert (refused.code, refused.label) == (codes.EXPIRED, "expired")
    assert (await refusal(cookies("planted"))).code == codes.INVALID_TOKEN
    assert (await refusal(cookies(""))).label == "missing"


async def test_scope_may_be_a_list() -> None:
    """Some issuers write a list instead of words between blanks."""
    assert (await identity(scope=["open"])).scope == {"open"}


async def test_another_claim_may_name_the_mailbox() -> None:
    """The setting says which; then ``sub`` may be anything."""
    asking = request(Authorization=f"Bearer {token('42', email=BOB)}")
    assert (await access("email").identify(asking)).mailboxes == (BOB,)


BAD_CLAIMS: list[tuple[Mapping[str, Any], str]] = [
    ({"sub": None}, "'sub' is missing"),
    ({"sub": "bob"}, "'bob', which is no mail address"),
    ({"sub": [BOB]}, "no mail address"),
    ({"sub": "\u202ebob@gzdev.com"}, r"'\u202ebob@gzdev.com', which is no mail address"),
    ({"sub": "\u212aevin@gzdev.com"}, r"'\u212aevin@gzdev.com', which is no mail address"),
    ({"sub": "кevin@gzdev.com"}, "no mail address"),
    ({"mailboxes": ["bob@gzdev.com", "ＡＮＮ@gzdev.com"]}, "no mail address"),
    ({"mailboxes": BOB}, "must be a list"),
    ({"mailboxes": [f"u{n}@gzdev.com" for n in range(21)]}, "at most 20"),
    ({"mailboxes": [ANN, 5]}, "'mailboxes' holds 5"),
    ({"sid": 5}, "'sid' must be text"),
    ({"scope": 5}, "'scope' must be"),
    ({"scope": ["open", 5]}, "'scope' must be"),
]


@pytest.mark.parametrize(("claims", "why"), BAD_CLAIMS)
def test_claims_that_are_not_what_they_should_be(claims: Mapping[str, Any], why: str) -> None:
    """A proved token with such claims is refused, and the message says which."""
    with pytest.raises(Refused) as refused:
        read_identity({"exp": 5, "sub": BOB, **claims}, claim="sub")
    assert (refused.value.status, refused.value.label) == (401, "claim")
    assert why in refused.value.message


def test_twenty_further_mailboxes_will_do() -> None:
    """The bound is on the further ones."""
    further = [f"u{n}@gzdev.com" for n in range(20)]
    assert read_identity({"exp": 5, "sub": BOB, "mailboxes": further}, claim="sub").mailboxes == (BOB, *further)


def test_mailbox_of_the_query() -> None:
    """Without one the first; else it must be named, whatever its case."""
    two = Identity((BOB, ANN), None, frozenset(), 0.0)
    assert access().choose(two, None) == BOB
    assert access().choose(two, "Ann@gzdev.com") == ANN


@pytest.mark.parametrize(
    ("wanted", "why"),
    [("eve@gzdev.com", "does not name mailbox 'eve@gzdev.com'"), ("", "''"), ("*", "is for /ws and /events")],
)
def test_mailbox_that_is_not_named(wanted: str, why: str) -> None:
    """403, do not come back; ``*`` is for connections that stay open, and says so."""
    with pytest.raises(Refused) as refused:
        access().choose(Identity((BOB,), None, frozenset(), 0.0), wanted)
    assert (refused.value.status, refused.value.code, refused.value.label) == (403, codes.NOT_ALLOWED, "mailbox")
    assert why in refused.value.message
