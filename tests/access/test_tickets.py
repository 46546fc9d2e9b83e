"""Tickets: one connection, once, whoever of the processes is asked; kept in a real Valkey."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import jwt
import pytest
from aiohttp.test_utils import make_mocked_request

from bridge.access import codes
from bridge.access.access import Access, Identity, Refused
from bridge.access.secret import SecretVerifier
from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalAway
from bridge.journal.keys import Keys
from bridge.journal.reader import Reader

SECRET = b"the secret of a test, 32 bytes and more"
BOB = Identity(("bob@gzdev.com", "ann@gzdev.com"), "s-1", frozenset({"open", "read"}), time.time() + 36_000.5)


@pytest.fixture
async def reader(redis_url: str) -> AsyncIterator[Reader]:
    client = RedisAddress(redis_url).client()
    yield Reader(client, Keys("exmail"), history_events=5, history_s=60)
    await client.aclose()


@pytest.fixture
def access(reader: Reader) -> Access:
    return new_access(reader)


def new_access(reader: Reader, **options: Any) -> Access:
    return Access(
        verifier=SecretVerifier(lambda: [SECRET]), tickets=reader, cookie_name="bridge", claim="sub", **options
    )


def with_ticket(ticket: str, **headers: str) -> Any:
    return make_mocked_request("GET", f"/ws?ticket={ticket}", headers={"Host": "oa", **headers})


async def refusal(access: Access, request: Any, **options: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        await access.identify(request, **options)
    return refused.value


async def test_a_ticket_opens_what_it_was_made_for(access: Access) -> None:
    """The whole identity comes back: mailboxes in order, session, scope, end."""
    assert await access.identify(with_ticket(await access.make_ticket(BOB))) == BOB
    dressed = replace(BOB, session="abc", issued=5.0)
    found = await access.identify(with_ticket(await access.make_ticket(dressed)))
    assert (found.session, found.issued) == ("abc", 5.0)
    alone = Identity(("bob@gzdev.com",), None, frozenset(), BOB.expires)
    assert await access.identify(with_ticket(await access.make_ticket(alone))) == alone


async def test_a_ticket_works_once(access: Access) -> None:
    """The second time it is refused, and a page must not come back with it."""
    ticket = await access.make_ticket(BOB)
    await access.identify(with_ticket(ticket))
    refused = await refusal(access, with_ticket(ticket))
    assert (refused.status, refused.code, refused.label) == (401, codes.NO_CREDENTIAL, "ticket")
    assert ticket not in refused.message


@pytest.mark.parametrize("ticket", ["", "unknown", "%E4%BD%A0", "%FF"])
async def test_what_is_no_ticket_is_refused(access: Access, ticket: str) -> None:
    """Unknown, empty, or not even text."""
    assert (await refusal(access, with_ticket(ticket))).label == "ticket"


async def test_a_ticket_buys_no_ticket(access: Access) -> None:
    """Where tickets are made one is refused, a cookie beside it does not help, and it is not spent."""
    ticket = await access.make_ticket(BOB)
    cookie = jwt.encode({"exp": time.time() + 600, "sub": "bob@gzdev.com"}, SECRET)
    refused = await refusal(access, with_ticket(ticket, Cookie=f"bridge={cookie}"), tickets=False)
    assert (refused.status, refused.label) == (401, "ticket")
    assert await access.identify(with_ticket(ticket)) == BOB


async def test_bearer_and_cookie_buy_a_ticket(access: Access) -> None:
    """``tickets=False`` keeps nothing but tickets out."""
    token = jwt.encode({"exp": time.time() + 600, "sub": "bob@gzdev.com"}, SECRET)
    for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"bridge={token}"}):
        request = make_mocked_request("POST", "/ticket", headers={"Host": "oa", **headers})
        assert (await access.identify(request, tickets=False)).mailboxes == ("bob@gzdev.com",)


async def test_a_ticket_does_not_outlive_its_token(reader: Reader) -> None:
    """The token may end within the ticket's seconds; a page may come back with a fresh one."""
    ticket = await new_access(reader).make_ticket(BOB)
    refused = await refusal(new_access(reader, now=lambda: BOB.expires + 4), with_ticket(ticket))
    assert (refused.status, refused.code, refused.label) == (401, codes.EXPIRED, "expired")
    assert "expired 4 s ago" in refused.message


async def test_a_store_that_is_away_is_no_refusal(tmp_path: Any) -> None:
    """The caller answers it as busy; nobody is told that the credential is bad."""
    client = RedisAddress(f"unix://{tmp_path}/none").client()
    access = new_access(Reader(client, Keys("exmail"), history_events=5, history_s=60))
    with pytest.raises(JournalAway):
        await access.identify(with_ticket("x"))
    with pytest.raises(JournalAway):
        await access.make_ticket(BOB)


async def test_of_many_who_show_a_ticket_at_once_one_gets_in(access: Access) -> None:
    """Looking and spending are one step: a stolen ticket and its owner are never both let in."""
    ticket = await access.make_ticket(BOB)
    shown = await asyncio.gather(*(access.identify(with_ticket(ticket)) for _ in range(50)), return_exceptions=True)
    assert [each for each in shown if not isinstance(each, Refused)] == [BOB]
