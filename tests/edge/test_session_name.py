"""The opaque ``session`` by which a browser's tabs know that they are of one session and person."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.support.browser_side import open_sse, open_ws
from tests.support.stage import ANN, BOB, token


async def name_of(url: str, mailbox: str = BOB, query: str = "", **claims: Any) -> str:
    """As the snapshot of a connection by cookie tells it."""
    cookie = f"exmail_bridge={token(mailbox, **claims)}"
    async with await open_ws(url, f"/ws{query}", Cookie=cookie) as client:
        return str((await client.frame()).data["data"]["session"])


async def test_it_is_of_one_session_and_one_person(stage: Any) -> None:
    """The same for every credential of a session that names the same; another for anybody else."""
    url, *_ = stage
    name = await name_of(url, sid="17")
    assert name == await name_of(url, sid="17", life_s=900)
    others = [
        await name_of(url, ANN, sid="17"),
        await name_of(url, sid="18"),
        await name_of(url),
        await name_of(url, life_s=900),
    ]
    assert len({name, *others}) == 5


async def test_it_is_of_what_the_credential_names(stage: Any) -> None:
    """With whichever of its mailboxes it opens; one that names more or fewer has another, with an equal ``sid`` too."""
    url, *_ = stage
    eve = "eve@gzdev.com"
    name = await name_of(url, sid="17", mailboxes=[ANN, eve])
    for query in ("?mailbox=*", f"?mailbox={ANN}"):
        assert name == await name_of(url, sid="17", query=query, mailboxes=[eve, ANN])
    assert len({name, await name_of(url, sid="17"), await name_of(url, sid="17", mailboxes=[ANN])}) == 3


async def test_it_tells_and_opens_nothing(stage: Any) -> None:
    """Neither ``sid`` nor mailbox can be read from it; it is no credential."""
    url, *_ = stage
    name = await name_of(url, sid="seventeen")
    assert len(name) == 32
    assert "seventeen" not in name
    async with await open_sse(url, f"/events?ticket={name}") as client:
        assert await client.end() == 3009


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_ticket_and_its_connection_are_of_one_session(stage: Any, transport: str) -> None:
    """``POST /ticket`` and the snapshot of the connection that it opens have the same name."""
    url, *_ = stage
    headers = {"Authorization": f"Bearer {token(sid='17')}"}
    async with aiohttp.ClientSession() as http, http.post(f"{url}/ticket", headers=headers) as answer:
        made = await answer.json()
    opener = {"websocket": open_ws, "sse": open_sse}[transport]
    path = {"websocket": "/ws", "sse": "/events"}[transport]
    async with await opener(url, f"{path}?ticket={made['ticket']}") as client:
        assert (await client.frame()).data["data"]["session"] == made["session"]


async def test_each_connection_of_a_mailbox_has_its_own(stage: Any) -> None:
    """Connections that are opened in one moment share the answer of the journal, not whose they are."""
    url, *_ = stage
    sids = [str(number) for number in range(20)]
    names = await asyncio.gather(*(name_of(url, sid=sid) for sid in sids))
    assert len(set(names)) == len(sids)
    assert names == [await name_of(url, sid=sid) for sid in sids]
