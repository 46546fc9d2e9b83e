"""How many connections there may be, and what becomes of who comes beyond that."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from bridge.access.refused import Refused
from bridge.edge.places import Limits, Places
from tests.support.stage import ANN, BOB, bearer, leading_writer, running_edge
from tests.support.waiting import until

from .conftest import QUICK, connect


async def told(client: Any) -> int | None:
    """With what code the client is refused; ``None``: it is not."""
    frame = (await client.frame()).data
    code: int | None = frame["data"]["code"] if frame["type"] == "exmail.closing" else None
    return code


async def admitted(url: str, transport: str, mailbox: str = BOB, **headers: str) -> bool:
    """Whether somebody is let in, who leaves at once."""
    async with await connect(url, transport, mailbox=mailbox, **headers) as client:
        return await told(client) is None


async def test_a_full_process_says_come_later(redis_url: str, transport: str) -> None:
    """3013 to pages, 503 with Retry-After to plain requests; whoever leaves makes room."""
    async with (
        leading_writer(redis_url),
        running_edge(redis_url, QUICK, BRIDGE_EDGE_MAX_CONNECTIONS="2") as (url, metrics),
    ):
        async with await connect(url, transport) as one, await connect(url, transport, mailbox=ANN) as other:
            assert await told(one) is await told(other) is None
            async with await connect(url, transport) as third:
                assert await third.end() == 3013
            async with aiohttp.ClientSession(headers=bearer()) as session, session.get(f"{url}/events") as answer:
                assert (answer.status, (await answer.json())["error"]) == (503, "full")
                assert int(answer.headers["Retry-After"]) > 0
        assert metrics.edge_refusals["full"]._value.get() == 2
        await until(lambda: admitted(url, transport))


async def test_handshakes_under_way_are_counted(redis_url: str, transport: str) -> None:
    """Many at once: no more get in than there is room for, however long the answers take."""
    async with leading_writer(redis_url), running_edge(redis_url, BRIDGE_EDGE_MAX_CONNECTIONS="3") as (url, _):
        clients = await asyncio.gather(*(connect(url, transport) for _ in range(12)))
        codes = [await told(client) for client in clients]
        for client in clients:
            client.drop()
        assert sorted(codes, key=str) == [3013] * 9 + [None] * 3


async def test_who_is_refused_takes_no_place(redis_url: str, transport: str) -> None:
    """Whatever he is refused for."""
    async with leading_writer(redis_url), running_edge(redis_url, BRIDGE_EDGE_MAX_CONNECTIONS="1") as (url, _):
        for query, headers in (("", {"Authorization": "Bearer x"}), ("?mailbox=x@y.z", {}), ("?ticket=x", {})):
            async with await connect(url, transport, query, **headers) as client:
                assert await told(client) != 3013
        assert await admitted(url, transport)


async def test_an_address_has_its_share(redis_url: str, transport: str) -> None:
    """Found behind a trusted proxy; others are let in, and 3013 tells to come later."""
    async with leading_writer(redis_url), running_edge(redis_url, BRIDGE_EDGE_PER_ADDRESS="1") as (url, _):
        near = {"X_Forwarded_For": "10.1.1.1"}
        async with await connect(url, transport, **near) as one:
            assert await told(one) is None
            async with await connect(url, transport, **near) as another:
                assert await another.end() == 3013
            async with await connect(url, transport, X_Forwarded_For="10.1.1.1, 10.1.1.2") as elsewhere:
                assert await told(elsewhere) is None
        await until(lambda: admitted(url, transport, **near))


async def test_a_mailbox_has_its_share(redis_url: str, transport: str) -> None:
    """3504 tells not to come back; another mailbox is let in, and this one again when a connection has ended."""
    async with leading_writer(redis_url), running_edge(redis_url, BRIDGE_EDGE_PER_MAILBOX="2") as (url, metrics):
        async with await connect(url, transport) as one, await connect(url, transport) as other:
            assert await told(one) is await told(other) is None
            async with await connect(url, transport) as third:
                assert await third.end() == 3504
            assert await admitted(url, transport, ANN)
        assert metrics.edge_turned_away[3504]._value.get() == 1
        await until(lambda: admitted(url, transport))


async def test_a_storm_is_let_in_piece_by_piece(redis_url: str, transport: str) -> None:
    """Of many who come in the same moment some come later."""
    async with leading_writer(redis_url), running_edge(redis_url, BRIDGE_EDGE_HANDSHAKE_RATE="1") as (url, _):
        clients = await asyncio.gather(*(connect(url, transport) for _ in range(30)))
        codes = {await told(client) for client in clients}
        for client in clients:
            client.drop()
        assert codes == {None, 3013}


def refusal(places: Places, address: str = "") -> Refused | None:
    try:
        places.take(address)
    except Refused as refused:
        return refused
    return None


def test_openings_a_second() -> None:
    """A second's worth at once, then as time passes; a long pause saves up no more than that."""
    now = [100.0]
    places = Places(lambda: Limits(handshakes=4), now=lambda: now[0])

    def let_in() -> int:
        return sum(refusal(places) is None for _ in range(10))

    assert let_in() == 4
    now[0] += 0.5
    assert let_in() == 2
    now[0] += 3600
    assert let_in() == 4


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:1:2::5", "2001:db8:1:2:ffff::6", True),
        ("2001:db8:1:2::5", "2001:db8:1:3::5", False),
        ("", "", False),
    ],
)
def test_what_counts_as_one_address(one: str, other: str, together: bool) -> None:
    """Of IPv6 a /64, for its owner chooses the rest; who comes from nowhere (a Unix socket) is not counted by it."""
    places = Places(lambda: Limits(per_address=1), now=lambda: 0.0)
    places.take(one)
    refused = refusal(places, other)
    assert (refused is not None) is together
    if refused is not None:
        assert (refused.status, refused.label) == (429, "address")


def test_a_place_is_given_back_once() -> None:
    """However often its holder ends; nothing of an address is kept that has no connection."""
    places = Places(lambda: Limits(connections=2, per_address=2), now=lambda: 0.0)
    one, _ = places.take("10.0.0.1"), places.take("10.0.0.2")
    for _ in range(2):
        one.give_back()
    assert places.taken == 1
    assert set(places._by_address) == {"10.0.0.2"}


def test_without_limits_everybody_is_let_in() -> None:
    """0 is any number."""
    places = Places(lambda: Limits(), now=lambda: 0.0)
    assert not any(refusal(places, "10.0.0.1") for _ in range(1000))
    assert places.mailbox_has_room(10**6)
    places.require_mailbox(10**6)
