"""``docs/day-two.md`` on machines of the tests: a site that was installed as the pages say, and browsers before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bridge.events import MAIL_MISSED
from bridge.simulator import Simulator
from tests.docs.pages import ROOT, Page
from tests.support.follower import Follower
from tests.support.operated import Machine
from tests.support.stage import BOB, KEYS, SECRET
from tests.support.waiting import until

PAGE = Page(ROOT / "docs" / "day-two.md")
RUNBOOK = Page(ROOT / "docs" / "operations.md")
_MOST_UNDER_WAY = 100
"""Half of what a history holds."""
SETTINGS = """\
[redis]
url = "redis://{redis}:6379/0"
[worker]
lease = {lease_s}
[provider]
client_id = "{client_id}"
api_url = "{provider}"
auth_url = "{provider}"
[edge]
listen = "{address}:8080"
admin_listen = "127.0.0.1:0"
drain = 0
[signon]
listen = "{address}:8081"
admin_listen = "127.0.0.1:0"
"""


def commands(title: str) -> list[str]:
    """The shell blocks of the page below a heading."""
    return [block.text for block in PAGE.under(title) if block.language == "sh"]


class Site(Machine):
    """A machine with a Redis, and with the bridge as the pages install it."""

    @property
    def url(self) -> str:
        return f"http://{self.address}:8080"

    async def follow(self, block: str, **more: Any) -> str:
        """Run a block of the page, in a shell that has what the page begins with."""
        return await self.run(commands("Day two")[0] + block, **more)

    async def set_up(
        self,
        provider: Simulator,
        names: Mapping[str, str],
        *,
        redis: str,
        version: str = "0.1.0",
        lease_s: int = 10,
    ) -> None:
        """Install everything; start Redis, and nothing of ours.

        ``redis``: what ``bridge.toml`` names. ``lease_s``: long where what an operator does within it may take longer
        on a busy machine.
        """
        self.know(names)
        await self.services.do("start", "redis-server")
        await self.install(version, provider.world.client_secret)
        await self.run(next(block.text for block in RUNBOOK.blocks if "redis-$user" in block.text))
        self.any_admin_port()
        self.path("etc/exmail-bridge/jwt-secret").write_text(SECRET)
        self.path("etc/exmail-bridge/bridge.toml").write_text(
            SETTINGS.format(
                redis=redis,
                lease_s=lease_s,
                client_id=provider.world.client_id,
                provider=provider.url,
                address=self.address,
            )
        )

    def events(self) -> list[dict[str, Any]]:
        """What is in the stream of all events here."""
        with self.redis() as client:
            return [orjson.loads(fields[b"event"]) for _, fields in client.xrange(KEYS.events)]

    def missed(self) -> int:
        """How many mails Bob was told that he missed. Not every browser sees that: a snapshot has mails only."""
        told = [event["data"] for event in self.events() if event["type"] == MAIL_MISSED]
        return sum(each["at_least"] for each in told if each["mailbox"] == BOB)

    def generation(self) -> int:
        with self.redis() as client:
            return int(client.get(KEYS.generation))


@asynccontextmanager
async def site(folder: Path, address: str) -> AsyncIterator[Site]:
    machine = Site(folder, address)
    async with machine.on():
        yield machine


@dataclass
class Audience:
    """Bob's browsers, one of each transport, and the provider whose mails they are told of."""

    provider: Simulator
    browsers: Sequence[Follower]

    def deliver(self, count: int) -> list[str]:
        return [mail.mail_id for mail in self.provider.world.deliver_many(count, BOB)]

    def have_been_told(self, mail_ids: Iterable[str]) -> bool:
        """Whether every browser was told of these, live or in a snapshot."""
        wanted = set(mail_ids)
        return all(wanted <= {event["data"].get("mail_id") for event in seen_by(each)} for each in self.browsers)

    async def are_told(self, mail_ids: Iterable[str]) -> None:
        """Return when every browser was told of these, and shows the provider's count."""
        wanted = set(mail_ids)

        def all_told() -> bool:
            count = self.provider.world.unread[BOB]
            return self.have_been_told(wanted) and all(browser.unread == count for browser in self.browsers)

        await until(all_told)

    @asynccontextmanager
    async def under_mail(self, every_s: float = 0.1) -> AsyncIterator[None]:
        """Mails come without end until the block ends; no more in a pause than a history holds, however long it is."""

        async def flow() -> None:
            under_way: list[str] = []
            while True:
                if len(under_way) == _MOST_UNDER_WAY and self.have_been_told(under_way):
                    under_way = []
                if len(under_way) < _MOST_UNDER_WAY:
                    under_way += self.deliver(1)
                await asyncio.sleep(every_s)

        flowing = asyncio.create_task(flow(), name="mails")
        try:
            yield
        finally:
            flowing.cancel()
            await asyncio.wait([flowing])

    @property
    def sent(self) -> list[str]:
        """The mails of now, in order."""
        return [mail.mail_id for mail in self.provider.world.mails_of(BOB)]

    def assert_once_and_in_order(self) -> None:
        """Nobody was told a mail twice, or one before another that came first, or two contents of one position."""
        contents: dict[str, dict[str, Any]] = {}
        for browser in self.browsers:
            told = list(dict.fromkeys(browser.mail_ids))
            assert told == browser.mail_ids
            assert told == [mail_id for mail_id in self.sent if mail_id in set(told)]
            for event in seen_by(browser):
                assert contents.setdefault(event["id"], event) == event

    def assert_never_reset(self) -> None:
        """Whoever came back was resumed."""
        assert all(snapshot["resumed"] for browser in self.browsers for snapshot in browser.snapshots[1:])

    def assert_reset_once(self) -> None:
        """Each was told once to throw away what it had, because of another epoch, and stayed in that."""
        for browser in self.browsers:
            assert [each["reason"] for each in browser.snapshots[1:] if not each["resumed"]] == ["epoch"]


def seen_by(browser: Follower) -> list[dict[str, Any]]:
    """All events that it was given, those in snapshots too."""
    return [event for snapshot in browser.snapshots for event in snapshot.get("recent", ())] + browser.events


@asynccontextmanager
async def audience(provider: Simulator, url: str) -> AsyncIterator[Audience]:
    """Browsers that stay until the block ends, all connected."""
    browsers = [Follower(url, transport, BOB) for transport in ("websocket", "sse")]
    tasks = [asyncio.create_task(browser.run(), name="browser") for browser in browsers]
    try:
        await until(lambda: all(browser.snapshots for browser in browsers))
        yield Audience(provider, browsers)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
