"""``docs/day-two.md``: an upgrade and the way back, as the page says, under browsers and mail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bridge.journal.layout import FORMAT
from bridge.simulator import Simulator, World
from tests.support.day_two import Audience, Site, audience, commands, site
from tests.support.operated import network
from tests.support.waiting import PATIENCE_S

OLD, NEW = "0.1.0", "0.2.0"


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


@pytest.fixture
async def host(require_binary: Callable[[str], str], tmp_path: Path, provider: Simulator) -> AsyncIterator[Site]:
    """One machine on which the old version runs: a leader, its standby, an edge, and clicks."""
    require_binary("redis-server")
    address = f"{network()}.1"
    async with site(tmp_path / "host", address) as machine:
        await machine.set_up(provider, {"redis.corp.com": address}, redis="redis.corp.com", version=OLD)
        await machine.run("systemctl enable --now exmail-bridge-worker@1")
        await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        await machine.run("systemctl enable --now exmail-bridge-worker@2 exmail-bridge-edge exmail-bridge-signon")
        yield machine


async def rolled(host: Site, people: Audience, lines: list[str]) -> str:
    """Run these lines, mails before and behind each; what the last one said."""
    said = ""
    for line in lines:
        await people.are_told(people.deliver(2))
        said = await host.follow(line)
        await people.provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        await people.are_told(people.deliver(2))
    return said


async def test_an_upgrade_and_the_way_back(host: Site, provider: Simulator) -> None:
    """Installing touches nothing that runs. Then versions are restarted one after the other, and back: every page is
    told of every mail once and in order, and none begins anew. No user of Redis is refused anything."""
    [before], [restart], [back] = commands("Before"), commands("Restart"), commands("The way back")
    unit = host.path("etc/systemd/system/exmail-bridge-edge.service")
    async with audience(provider, host.url) as people:
        generation, delivered = host.generation(), unit.read_bytes()
        await host.install(NEW)
        said = await rolled(host, people, [before])
        assert said.startswith(f"exmail-bridge {NEW}\n")
        assert f"({NEW})" not in said
        said = await rolled(host, people, restart.splitlines())
        assert (said.count(f"({NEW})"), said.count(f"({OLD})")) == (2, 0)
        turn, *again, status = back.splitlines()
        await host.follow(turn)
        assert f"({OLD})" in await rolled(host, people, [*again, status])
        assert unit.read_bytes() == delivered
        assert await host.run("exmail-bridge --version") == f"exmail-bridge {OLD}\n"
        people.assert_once_and_in_order()
        people.assert_never_reset()
        assert all(browser.mail_ids == people.sent for browser in people.browsers)
        assert host.generation() == generation
    [layout] = commands("The layout number")
    assert (await host.follow(layout)).splitlines()[0] == str(FORMAT)
    with host.redis() as admin:
        assert [each for each in admin.acl_log() if b"setinfo" not in each["object"]] == []
