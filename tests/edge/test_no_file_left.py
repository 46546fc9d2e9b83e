"""The edge near its limit of descriptors: new browsers wait, open ones live on."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from tests.support.browser_side import WsClient, open_sse, open_ws
from tests.support.files_bounded import files_bounded
from tests.support.processes import edge_environ, free_port, program
from tests.support.stage import bearer, leading_writer, mail
from tests.support.waiting import PATIENCE_S, until

from .conftest import ids

PAUSES = "too few descriptors, accepting pauses"
MORE = 40


async def _crowd(url: str, size: int) -> list[asyncio.Task[WsClient]]:
    """So many browsers come; whoever is not accepted waits for the answer to his handshake."""

    async def come() -> WsClient:
        while True:
            client = await open_ws(url, **bearer())
            if (frame := await client.frame()).type == "exmail.snapshot":
                return client
            # Let in while the edge had no subscription: come later, and so he does.
            assert frame.data["data"]["code"] == 3013
            client.drop()

    return [asyncio.create_task(come()) for _ in range(size)]


async def test_accepting_pauses_and_goes_on(redis_url: str) -> None:
    """Open connections get their mails, even over a new connection to Redis; who waits is served when others leave."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with (
        leading_writer(redis_url) as (writer, redis),
        program("edge", environ=edge_environ(redis_url, port)) as edge,
    ):
        await edge.ready()
        async with await open_ws(url, **bearer()) as first, await open_sse(url, **bearer()) as second:
            await first.frame()
            await second.frame()
            with files_bounded(edge.pid, MORE):
                crowd = await _crowd(url, 2 * MORE)
                await until(lambda: bool(edge.said(PAUSES)))
                await _mail_arrives(writer, "Z1", first, second)
                await _pubsub_is_cut(redis)
                await _mail_arrives(writer, "Z2", first, second)
                assert len([task for task in crowd if not task.done()]) > MORE

                # Those who wait come in as others leave; at no time all at once.
                left = set(crowd)
                while left:
                    done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
                    assert done, "nobody was let in"
                    for task in done:
                        task.result().drop()
                await _mail_arrives(writer, "Z3", first, second)
            async with await open_ws(url, **bearer()) as late:
                assert (await late.frame()).type == "exmail.snapshot"
        # A state that lasts is told again each minute.
        assert all(pauses["limit"] > 0 for pauses in await edge.heard(PAUSES))
        wrong = [line for line in edge.lines if line["level"] in ("error", "critical")]
        assert {line["message"] for line in wrong} == {PAUSES}


async def _mail_arrives(writer: Any, mail_id: str, *clients: Any) -> None:
    await writer.commit([mail(mail_id)])
    for client in clients:
        assert ids(await client.events(1)) == [mail_id]


async def _pubsub_is_cut(redis: Redis) -> None:
    """Cut the edge's subscription, and wait until there is another."""
    [old] = [client["id"] for client in await redis.client_list(_type="pubsub")]
    await redis.execute_command("CLIENT", "KILL", "ID", old)

    async def another() -> bool:
        return [client["id"] != old for client in await redis.client_list(_type="pubsub")] == [True]

    await until(another)
