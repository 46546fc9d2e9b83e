"""Two edges behind HAProxy or Caddy, with the files of the bridge: neither an update nor a reload is an outage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.processes import free_port
from tests.support.proxies import EDGES, PROXIES, Place, Running
from tests.support.rolling import Place as EdgePlace
from tests.support.rolling import fleet, mails
from tests.support.waiting import until

CLIENTS = 120


@pytest.mark.parametrize("name", PROXIES)
async def test_neither_an_update_nor_a_reload_is_an_outage(
    name: str, require_binary: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    """120 pages, mail flowing: of an update each sees a close with a hint and nothing else; nobody misses a mail."""
    edge_port, health_port = free_port(), free_port()
    program = require_binary(name)
    proxies: list[Running] = []

    @asynccontextmanager
    async def proxied(port: int, edges: Sequence[str]) -> AsyncIterator[None]:
        place = Place(port, edge_port, health_port, try_s=20)
        assert place.edges == edges
        async with PROXIES[name](program, tmp_path, place) as proxy:
            proxies.append(proxy)
            yield

    places = [EdgePlace(f"{host}:{edge_port}", f"{host}:{health_port}") for host in EDGES]
    async with fleet(redis_url, places, proxied, clients=CLIENTS, BRIDGE_EDGE_DRAIN="1") as (
        running,
        writer,
    ):
        async with mails(writer, running.told, every_s=0.5):
            await until(lambda: all(page.mails for page in running.pages))
            assert min(await running.loads()) > CLIENTS / 4
            for number in range(len(places)):
                await running.restart(number)
            await running.all_are_back()
            assert running.errors() == {}
            # A reload ends what the old HAProxy holds, and Caddy's WebSockets, without a word; all are let in again.
            before = [len(page.back_at) for page in running.pages]
            await proxies[0].reload()
            await until(
                lambda: (
                    sum(len(page.back_at) > was for page, was in zip(running.pages, before, strict=True)) >= CLIENTS / 2
                ),
            )
            await running.all_are_back()
        last = {mailbox: ids[-1] for mailbox, ids in running.told.items()}
        await until(lambda: all(page.mails[-1] == last[page.mailbox] for page in running.pages))
        assert running.missed() == 0
