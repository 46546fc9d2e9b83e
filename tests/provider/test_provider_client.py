"""Calls over real sockets: tokens, refusals, patience, and what is told of them."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable

import aiohttp
import orjson
import pytest

from bridge.provider.bizmail.calls import AWAY_TRIES, BUSY_TRIES
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.models import AuthKey
from bridge.provider.bizmail.token import MemoryTokenStore, Token
from bridge.provider.faults import (
    AddressNotAllowed,
    BadParameter,
    Busy,
    CredentialsRefused,
    InvalidToken,
    NotFound,
    ProviderAway,
    ProviderRefused,
    UnreadableAnswer,
)
from bridge.provider.members import Action, UserChange
from tests.provider.bare_provider import BareProvider

LIST, GET, COUNT, TOKEN = "/openapi/user/list", "/openapi/user/get", "/openapi/mail/newcount", "/cgi-bin/token"
CHECK = "/openapi/user/check"


def refused(errcode: int, text: str = "no") -> bytes:
    return b'{"errcode":"%d","error":"%b"}' % (errcode, text.encode())


async def test_calls_as_the_protocol_writes_them(
    provider: BareProvider, client: ProviderClient, sample: Callable[[str], bytes], calls: list[tuple[str, str]]
) -> None:
    """POST, form body, Bearer token from the token call; the printed answers come back as types."""
    provider.will_answer(LIST, sample("user-list"))
    provider.will_answer(COUNT, sample("newcount"))
    provider.will_answer(GET, '{"Alias":"a@x","Name":"王","Gender":1,"OpenType":1}'.encode())
    delta = await client.user_list(1386593148546)
    assert delta.changes == (UserChange(Action.MOD, "test2@gzservice.com"),)
    assert await client.newcount("a@x") == 15
    assert (await client.user_get("a@x")).name == "王"
    token, listed, counted, got = provider.requests
    assert token.form == {
        "grant_type": "client_credentials",
        "client_id": "admin",
        "client_secret": "key-of-admin",
    }
    assert listed.form == {"Ver": "1386593148546"}
    assert counted.form == got.form == {"Alias": "a@x"}
    assert {request.headers["authorization"] for request in (listed, counted, got)} == {"Bearer token-1"}
    assert calls == [("token", "ok"), ("user/list", "ok"), ("mail/newcount", "ok"), ("user/get", "ok")]


async def test_refused_token_is_renewed_once(
    provider: BareProvider, client: ProviderClient, calls: list[tuple[str, str]]
) -> None:
    """1200: a new token, the call again."""
    provider.will_answer(COUNT, refused(1200), b'{"NewCount":"2"}')
    assert await client.newcount("a@x") == 2
    assert [r.headers["authorization"] for r in provider.calls(COUNT)] == ["Bearer token-1", "Bearer token-2"]
    assert calls == [("token", "ok"), ("mail/newcount", "token"), ("token", "ok"), ("mail/newcount", "ok")]


async def test_refused_token_is_not_renewed_twice(provider: BareProvider, client: ProviderClient) -> None:
    """1200 with a new token too is an answer."""
    provider.will_answer(COUNT, refused(1200), refused(1200))
    with pytest.raises(InvalidToken):
        await client.newcount("a@x")
    assert provider.tokens == 2
    assert len(provider.calls(COUNT)) == 2


async def test_calls_refused_together_share_one_new_token(provider: BareProvider, client: ProviderClient) -> None:
    """Ten calls whose token died renew it once."""
    provider.will_answer(COUNT, b'{"NewCount":0}')
    await client.newcount("a@x")
    provider.will_answer(COUNT, *[refused(1200)] * 10, *[b'{"NewCount":1}'] * 10)
    assert await asyncio.gather(*(client.newcount("a@x") for _ in range(10))) == [1] * 10
    assert provider.tokens == 2


async def test_busy_provider_is_asked_again(
    provider: BareProvider, client: ProviderClient, calls: list[tuple[str, str]]
) -> None:
    """1002 passes."""
    provider.will_answer(COUNT, refused(1002), refused(1002), b'{"NewCount":3}')
    assert await client.newcount("a@x") == 3
    assert calls[1:] == [("mail/newcount", "busy")] * 2 + [("mail/newcount", "ok")]


async def test_busy_provider_is_not_asked_for_ever(provider: BareProvider, client: ProviderClient) -> None:
    """1002 that does not pass is raised after a bounded number of tries."""
    provider.will_answer(COUNT, *[refused(1002)] * 10)
    with pytest.raises(Busy):
        await client.newcount("a@x")
    assert len(provider.calls(COUNT)) == BUSY_TRIES


@pytest.mark.parametrize("errcode", [1301, 1400])
async def test_unknown_account(provider: BareProvider, client: ProviderClient, errcode: int) -> None:
    """Both codes mean that there is no such account."""
    provider.will_answer(GET, refused(errcode))
    with pytest.raises(NotFound):
        await client.user_get("a@x")
    assert len(provider.calls(GET)) == 1


async def test_refused_address(provider: BareProvider, client: ProviderClient, calls: list[tuple[str, str]]) -> None:
    """10001 is told with the address that this machine calls from, on the token call too."""
    provider.will_answer(TOKEN, refused(10001))
    with pytest.raises(AddressNotAllowed, match=r"127\.0\.0\.1"):
        await client.user_list(0)
    assert len(provider.calls(TOKEN)) == 1
    assert calls == [("token", "refused")]


async def test_other_form_of_credentials(provider: BareProvider, client: ProviderClient) -> None:
    """Refused in the form, accepted in the header: the header is used from then on."""
    token = b'{"access_token":"t","expires_in":86400}'
    provider.will_answer(TOKEN, refused(1001), token, token)
    provider.will_answer(COUNT, b'{"NewCount":1}', refused(1200), b'{"NewCount":2}')
    assert await client.newcount("a@x") == 1
    with pytest.raises(ProviderRefused):
        await client.user_get("a@x")
    form, basic = provider.calls(TOKEN)
    assert "authorization" not in form.headers
    assert basic.form == {"grant_type": "client_credentials"}
    assert basic.headers["authorization"] == "Basic " + b64encode(b"admin:key-of-admin").decode()
    provider.will_answer(TOKEN, b'{"access_token":"t2","expires_in":86400}')
    assert await client.newcount("a@x") == 2
    assert "authorization" in provider.calls(TOKEN)[2].headers


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ("200 OK", refused(1200, "invalid_token")),
        ("401 Unauthorized", b'{"error":"invalid_client"}'),
        ("200 OK", b'{"error":"invalid_client"}'),
    ],
)
async def test_refused_credentials(provider: BareProvider, client: ProviderClient, status: str, answer: bytes) -> None:
    """A wrong key is told as such, in whatever way the token endpoint says no, after one try in each form."""
    provider.status = status
    provider.will_answer(TOKEN, answer, answer)
    with pytest.raises(CredentialsRefused) as error:
        await client.newcount("a@x")
    assert len(provider.calls(TOKEN)) == 2
    assert "key-of-admin" not in f"{error.value} {error.value!r} {error.value.__context__!r}"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("502 Bad Gateway", b"<html>", ProviderAway),
        ("302 Found", b"", ProviderAway),
        ("500 Oops", b'{"errcode":"1301","error":"user_not_found"}', NotFound),
        ("200 OK", b"<html>", UnreadableAnswer),
        ("200 OK", b"", UnreadableAnswer),
        ("200 OK", b'{"Alias":"a@x"}', UnreadableAnswer),
    ],
)
async def test_answers_that_are_none(
    provider: BareProvider, client: ProviderClient, status: str, body: bytes, kind: type[Exception]
) -> None:
    """Another HTTP status is a provider that is away, unless it gives an errcode; a 200 without sense is unreadable."""
    provider.will_answer(COUNT, b'{"NewCount":1}')
    await client.newcount("a@x")
    provider.status = status
    provider.will_answer(COUNT, *[body] * AWAY_TRIES)
    with pytest.raises(kind):
        await client.newcount("a@x")
    assert len(provider.calls(COUNT)) == (1 + AWAY_TRIES if status.startswith("502") else 2)


async def test_nobody_there(http: aiohttp.ClientSession, calls: list[tuple[str, str]]) -> None:
    """A refused connection is a provider that is away."""
    client = ProviderClient(
        api_url="http://127.0.0.1:1",
        auth_url="http://127.0.0.1:1",
        client_id="admin",
        client_secret=lambda: "key",
        session=http,
        on_call=lambda endpoint, outcome, seconds, errcode: calls.append((endpoint, outcome)),
    )
    with pytest.raises(ProviderAway):
        await client.user_list(0)
    assert calls == [("token", "away")]


async def test_no_answer_in_time(provider: BareProvider, http: aiohttp.ClientSession) -> None:
    """A call does not wait for ever."""
    provider.silent.add(TOKEN)
    client = ProviderClient(
        api_url=provider.url,
        auth_url=provider.url,
        client_id="admin",
        client_secret=lambda: "key",
        session=http,
        timeout_s=0.05,
    )
    with pytest.raises(ProviderAway, match="in time"):
        await client.user_list(0)


async def test_many_addresses_are_asked_for_in_turn(provider: BareProvider, client: ProviderClient) -> None:
    """Twenty at a time; one answer that came short fails the whole."""
    emails = [f"a{number}@x" for number in range(45)]
    answers = [
        orjson.dumps({"Count": len(some), "List": [{"Email": each, "Type": 0} for each in some]})
        for some in (emails[:20], emails[20:40], emails[40:])
    ]
    provider.will_answer(CHECK, *answers)
    assert [check.email for check in await client.user_check(emails)] == emails
    assert len(provider.calls(CHECK)) == 3
    provider.will_answer(CHECK, answers[0], answers[2])
    with pytest.raises(UnreadableAnswer, match="no line for 20 of 20"):
        await client.user_check(iter(emails))
    with pytest.raises(BadParameter):
        await client.user_check([])


async def test_refused_credentials_are_not_asked_about_again_and_again(
    provider: BareProvider, client: ProviderClient
) -> None:
    """Many askers, one after the other and all at once: each form is tried once, and all hear the refusal."""
    provider.will_answer(TOKEN, *[refused(1001)] * 50)
    for _ in range(5):
        outcomes = await asyncio.gather(*(client.newcount("a@x") for _ in range(8)), return_exceptions=True)
        assert {type(each) for each in outcomes} == {CredentialsRefused}
    assert len(provider.calls(TOKEN)) == 2


async def test_a_token_that_is_always_refused_is_not_fetched_again_and_again(
    provider: BareProvider, client: ProviderClient
) -> None:
    """Where another program fetches tokens too, ours would end its, and so on."""
    provider.will_answer(COUNT, *[refused(1200)] * 50)
    for _ in range(5):
        outcomes = await asyncio.gather(*(client.newcount("a@x") for _ in range(4)), return_exceptions=True)
        assert {type(each) for each in outcomes} == {InvalidToken}
    assert provider.tokens == 2


@pytest.mark.parametrize("secret", [None, "", "a\udc80", b"key"], ids=repr)
async def test_a_key_that_is_none_is_not_sent(provider: BareProvider, http: aiohttp.ClientSession, secret) -> None:
    """As an environment gives it where it is not set."""
    client = ProviderClient(
        api_url=provider.url, auth_url=provider.url, client_id="a", client_secret=lambda: secret, session=http
    )
    with pytest.raises(BadParameter, match=r"client_secret must be text, and not empty \(protocol 2\.3\)"):
        await client.newcount("a@x")
    assert not provider.requests


@pytest.mark.parametrize("host", ["a" * 70, "a..b", "\u3002", "x" * 300], ids=lambda host: host[:5])
async def test_a_host_that_can_be_none(http: aiohttp.ClientSession, host: str) -> None:
    """Whatever stands in a setting: the provider is away, for calls and for listen."""
    store = MemoryTokenStore()
    await store.put(Token("t", 9e9))
    url = f"http://{host}.invalid"
    client = ProviderClient(
        api_url=url, auth_url=url, client_id="a", client_secret=lambda: "k", session=http, tokens=store
    )
    with pytest.raises(ProviderAway) as away:
        await client.newcount("a@x")
    assert not away.value.sent
    with pytest.raises(ProviderAway):
        async with client.listen(ver=lambda: 0, silence_s=60):
            pass


async def test_the_key_itself_may_be_given(client: ProviderClient) -> None:
    """A login link takes what ``authkey`` gave; what is no text never gets into it."""
    url = client.login_url("a@x", ticket=AuthKey("K1"))
    assert url == client.login_url("a@x", ticket="K1")
    assert url.endswith("&user=a%40x&ticket=K1")
    for ticket in (None, b"K1", ""):
        with pytest.raises(BadParameter):
            client.login_url("a@x", ticket=ticket)


async def test_echoed_token_is_not_in_the_error(provider: BareProvider, client: ProviderClient) -> None:
    """What the provider says is told, but for a token or key in it."""
    token = "GHUSH-4qIXPScxa_OY0CbPS31W1OM24L"
    provider.will_answer(TOKEN, b'{"access_token":"%b","expires_in":86400}' % token.encode())
    provider.will_answer(COUNT, refused(1001, f"bad token {token}"))
    with pytest.raises(ProviderRefused, match="bad token …") as error:
        await client.newcount("a@x")
    assert token not in f"{error.value} {error.value!r}"
