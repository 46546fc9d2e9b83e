"""Three edges behind the nginx files of the bridge, restarted one after the other as the runbook says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.support.nginx import running_nginx
from tests.support.rolling import fleet, mails, places
from tests.support.waiting import until

CLIENTS = 90


async def test_a_drain_shows_nobody_an_error(
    require_binary: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    """Each page sees closes with a hint of its own and nothing else, and misses no mail; ``make rolling``: 3,000."""
    nginx = require_binary("nginx")

    def proxied(port: int, edges: Sequence[str]) -> AbstractAsyncContextManager[object]:
        return running_nginx(nginx, tmp_path, port=port, edges=edges)

    async with fleet(redis_url, places(3), proxied, clients=CLIENTS, BRIDGE_EDGE_DRAIN="1") as (
        running,
        writer,
    ):
        async with mails(writer, running.told, every_s=0.5):
            await until(lambda: all(page.mails for page in running.pages))
            for number in range(3):
                await running.restart(number)
            await running.all_are_back()
        last = {mailbox: ids[-1] for mailbox, ids in running.told.items()}
        await until(lambda: all(page.mails[-1] == last[page.mailbox] for page in running.pages))
        assert running.errors() == {}
        assert running.missed() == 0
        hints = [hint for page in running.pages for hint in page.hints]
        assert len(hints) >= CLIENTS
        assert len(set(hints)) > CLIENTS // 2
