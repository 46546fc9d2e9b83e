"""Yes, no or neither: a write succeeded only where that was said, a read only where what was asked for came."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.provider.bizmail import endpoints
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.endpoints import Endpoint
from bridge.provider.bizmail.verdict import judge
from bridge.provider.faults import (
    PERHAPS_DONE,
    Busy,
    CredentialsRefused,
    OutcomeUnknown,
    ProviderAway,
    ProviderError,
    ProviderRefused,
    UnreadableAnswer,
)
from tests.provider.bare_provider import BareProvider
from tests.support.waiting import until

SYNC, GET, TOKEN = "/openapi/user/sync", "/openapi/user/get", "/cgi-bin/token"
WRITES = [each for each in endpoints.ENDPOINTS if each.writes]
READS = [each for each in endpoints.ENDPOINTS if not each.writes]

YES = [b"", b" \r\n", b"null", b"{}", b'{"Ret":0}', b'{"ret":"0"}', b'{"errcode":0,"errmsg":"ok"}', b'{"ErrCode":"0"}']
NO = [
    (b'{"errcode":"1301","error":"user_not_found"}', "1301", "user_not_found"),
    (b'{"errcode":1301}', "1301", ""),
    (b'{"errcode":"x","error":null}', "x", ""),
    (b'{"errcode":true}', "bool", ""),
    (b'{"errcode":[1]}', "list", ""),
    (b'{"error":"server_error"}', "", "server_error"),
    (b'{"error":{"code":5}}', "", ""),
    (b'{"errcode":null,"error":"no"}', "", "no"),
    (b'{"Ret":0,"error":"no"}', "", "no"),
    (b'{"Ret":7}', "", "Ret 7"),
    (b'{"errcode":0,"Ret":7}', "", "Ret 7"),
]
NEITHER = [
    *(b"<html>", b"[]", b'"ok"', b"0", b"true", b'{"message":"blocked"}', b'{"errcode":null}', b'{"error":""}'),
    *(b'{"errmsg":"blocked"}', b'{"Ret":null}', b'{"errcode":false}', b'{"errcode":"1","ErrCode":"0"}', b"[" * 5000),
]


def test_every_write_is_marked() -> None:
    """What the table says of each endpoint decides what a success is."""
    assert {each.method for each in READS} == {
        *("token", "authkey", "login_url", "listen", "user_get", "user_list", "newcount", "user_check"),
        *("party_list", "partyuser_list"),
    }


@pytest.mark.parametrize("endpoint", WRITES, ids=lambda each: each.method)
def test_a_write_succeeds_where_that_is_said(endpoint: Endpoint) -> None:
    """By an empty answer, or a zero where others have a code."""
    for body in YES:
        assert judge(endpoint, status=200, body=body) == {}


@pytest.mark.parametrize("endpoint", WRITES, ids=lambda each: each.method)
@pytest.mark.parametrize("body", NEITHER, ids=lambda body: body[:30].decode())
def test_a_write_that_was_answered_with_something_else(endpoint: Endpoint, body: bytes) -> None:
    """Perhaps it was done: the error says so, and what to do."""
    with pytest.raises(OutcomeUnknown, match="not known, look before you try again"):
        judge(endpoint, status=200, body=body)


@pytest.mark.parametrize("endpoint", [endpoints.USER_MODIFY, endpoints.USER_GET], ids=lambda each: each.method)
@pytest.mark.parametrize(("body", "errcode", "text"), NO, ids=lambda each: str(each)[:30])
def test_every_mark_of_an_error_is_a_refusal(endpoint: Endpoint, body: bytes, errcode: str, text: str) -> None:
    """An errcode that is not 0, an error, a Ret that is not 0; a name without a value marks nothing."""
    with pytest.raises(ProviderRefused) as refused:
        judge(endpoint, status=200, body=body)
    assert (refused.value.errcode, refused.value.text) == (errcode, text)


@pytest.mark.parametrize("endpoint", READS, ids=lambda each: each.method)
@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b"1", b'"x"', b"[" * 5000], ids=lambda body: body[:9])
def test_a_read_is_answered_with_an_object(endpoint: Endpoint, body: bytes) -> None:
    """Anything else answers nothing."""
    with pytest.raises(UnreadableAnswer):
        judge(endpoint, status=200, body=body)


@pytest.mark.parametrize("endpoint", endpoints.ENDPOINTS, ids=lambda each: each.method)
@pytest.mark.parametrize("status", [100, 201, 204, 302, 400, 403, 500, 502])
def test_another_status_says_neither(endpoint: Endpoint, status: int) -> None:
    """Unless there is a code of the provider's own; a token is refused with 400 too, in OAuth's words."""
    for body in (b"", b"{}", b"<html>", b'{"Ret":0}'):
        with pytest.raises(ProviderAway) as away:
            judge(endpoint, status=status, body=body)
        assert (away.value.status, away.value.sent) == (status, True)
        assert (PERHAPS_DONE in str(away.value)) == endpoint.writes
    with pytest.raises(ProviderRefused):
        judge(endpoint, status=status, body=b'{"errcode":"4711"}')
    oauth = endpoint is endpoints.TOKEN and status == 400
    with pytest.raises(ProviderRefused if oauth else ProviderAway):
        judge(endpoint, status=status, body=b'{"error":"invalid_client"}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["0", "1200", " "]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["errcode", " ErrCode", "error", "errmsg", "Ret", "message", "List", "Count"]) | st.text(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def said_yes(value: Any) -> bool:
    """The rule in other words, for what stands in no other test."""
    if value is None or value == {}:
        return True
    if not isinstance(value, dict):
        return False
    folded = {key.strip().lower(): each for key, each in value.items()}
    zeros = [str(folded.get(key)).strip().lstrip("+-").rstrip(".0") in ("", "0") for key in ("errcode", "ret")]
    present = [folded.get(key) not in (None, "", [], {}) and folded.get(key) is not False for key in ("errcode", "ret")]
    return any(zero and there for zero, there in zip(zeros, present, strict=True))


@given(JSON)
@settings(max_examples=500)
def test_whatever_the_json_success_is_never_guessed(value: Any) -> None:
    """For any JSON, a write is a success where that was said, and else one of our errors."""
    body = json.dumps(value).encode("utf-8", "surrogatepass")
    try:
        assert judge(endpoints.USER_MODIFY, status=200, body=body) == {}
    except ProviderError:
        return
    assert said_yes(value)


async def test_a_write_without_a_clear_answer_is_sent_once(provider: BareProvider, client: ProviderClient) -> None:
    """Also one that does no harm twice: the caller knows better than we what to look at."""
    provider.will_answer(SYNC, b'{"message":"blocked"}', b"")
    with pytest.raises(OutcomeUnknown):
        await client.user_modify("a@x", open_type=2)
    assert len(provider.calls(SYNC)) == 1
    await client.user_modify("a@x", open_type=2)


@pytest.mark.parametrize("ends_by", ["close", "reset"])
async def test_an_answer_without_a_length_ends_by_a_close(
    provider: BareProvider, client: ProviderClient, ends_by: str
) -> None:
    """A reset is none: what might have been a refusal, and was cut off behind its head, is no success."""
    await client.token()
    provider.silent.add(SYNC)
    deleting = asyncio.create_task(client.user_delete("a@x"))
    await until(lambda: len(provider.calls(SYNC)) == 1)
    [request] = provider.calls(SYNC)
    await request.send(b"HTTP/1.1 200 OK\r\n\r\n")
    getattr(request, ends_by)()
    if ends_by == "close":
        await deleting
    else:
        with pytest.raises(ProviderAway, match=PERHAPS_DONE):
            await deleting


async def test_the_last_word_on_a_token(provider: BareProvider, client: ProviderClient) -> None:
    """A server that cannot answer now has not refused our credentials, whatever words it has for that."""
    provider.will_answer(TOKEN, *[b'{"error":"server_error"}'] * 3)
    with pytest.raises(ProviderAway, match="server_error"):
        await client.newcount("a@x")
    provider.will_answer(TOKEN, *[b'{"error":"temporarily_unavailable"}'] * 4)
    with pytest.raises(Busy):
        await client.newcount("a@x")
    assert all("client_id" in call.form for call in provider.calls(TOKEN))


@pytest.mark.parametrize("status", ["400 Bad Request", "200 OK"])
async def test_a_token_that_is_refused(provider: BareProvider, client: ProviderClient, status: str) -> None:
    """Asked for in both forms, then told as what it is."""
    provider.status = status
    provider.will_answer(TOKEN, *[b'{"error":"invalid_client"}'] * 2)
    with pytest.raises(CredentialsRefused):
        await client.token()


async def test_a_profile_that_is_none(provider: BareProvider, client: ProviderClient) -> None:
    """Any object without an errcode looked like an account with nothing in it."""
    for body in (b'{"errcode":null,"Name":"x"}', b'{"message":"blocked"}', b"{}", b""):
        provider.will_answer(GET, body)
        with pytest.raises(UnreadableAnswer):
            await client.user_get("a@x")


async def test_deep_nesting_is_an_answer_that_cannot_be_read(provider: BareProvider, client: ProviderClient) -> None:
    """However deep, and wherever it stands: no RecursionError."""
    deep = [b"[" * n + b"]" * n for n in (600, 1000, 5000, 200_000)]
    for nested in (*deep, *(b'{"a":' * 900 + each + b"}" * 900 for each in deep[:2])):
        for body in (nested, b'{"Alias":"a@x","PartyList":%b,"SlaveList":%b}' % (nested, nested)):
            provider.will_answer(GET, body)
            with pytest.raises(UnreadableAnswer):
                await client.user_get("a@x")
