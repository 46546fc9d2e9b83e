"""``docs/day-two.md``: a lone Redis comes under sentinels and is moved by them, as the page says, under mail."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import redis as redis_sync

from bridge.simulator import Simulator, World
from tests.support.day_two import PAGE, Site, audience, commands, site
from tests.support.operated import network
from tests.support.sentinel import HURRY
from tests.support.waiting import PATIENCE_S, until

UNITS = "exmail-bridge-worker@1 exmail-bridge-edge"


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


@pytest.fixture
async def hosts(
    require_binary: Callable[[str], str], tmp_path: Path, provider: Simulator
) -> AsyncIterator[tuple[Site, ...]]:
    """Three machines. The first has everything, the second a Redis of its own, the third nothing yet."""
    require_binary("redis-server")
    net = network()
    async with AsyncExitStack() as stack:
        machines = [
            await stack.enter_async_context(site(tmp_path / str(number), f"{net}.{number}")) for number in (1, 2, 3)
        ]
        first, second, third = machines
        names = {f"host{number}": machine.address for number, machine in enumerate(machines, 1)}
        names |= {"redis-old.corp.com": first.address, "redis-new.corp.com": second.address}
        for machine in (second, third):
            machine.know(names)
        await second.services.do("start", "redis-server")
        await first.set_up(provider, names, redis="redis-old.corp.com", lease_s=40)
        await first.run(f"systemctl enable --now {UNITS}")
        await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        yield first, second, third


async def test_to_sentinel_and_over(hosts: tuple[Site, ...], provider: Simulator) -> None:
    """Nobody begins anew, neither when the programs are told of the sentinels nor when these move the server; and while
    it moves every mail is told, once and in order."""
    first, second, _ = hosts
    [replicate], [move] = commands("Bring the new one up to date"), commands("To Sentinel")
    [conf] = [block.text for block in PAGE.under("To Sentinel") if not block.language]
    [url] = re.findall(r'`(url = "redis\+sentinel://.*")`', PAGE.text)
    async with audience(provider, first.url) as people:
        await people.are_told(people.deliver(3))
        generation = first.generation()
        await first.follow(replicate)
        for host in hosts:
            # All are one machine here, and each must say which address is its own.
            own = f"bind {host.address}\nbind-source-addr {host.address}\nsentinel announce-ip {host.address}\n"
            text = own + conf.replace("PASSWORD-OF-SENTINEL", '"password of sentinel"')
            host.path("etc/redis/sentinel.conf").write_text(text)
            await host.run("systemctl enable --now redis-sentinel")
            with redis_sync.Redis(host=host.address, port=26379) as sentinel:
                sentinel.execute_command("SENTINEL", "DEBUG", *HURRY)
        settings = first.path("etc/exmail-bridge/bridge.toml")
        settings.write_text(re.sub("^url = .*", url, settings.read_text(), flags=re.MULTILINE))
        await first.run(f"systemctl restart {UNITS}")
        await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        check, *rest = move.splitlines(keepends=True)

        async def they_agree() -> bool:
            return (await first.follow(check, codes=(0, 1))).startswith("OK 3 ")

        await until(they_agree)
        await people.are_told(people.deliver(3))
        async with people.under_mail():
            await first.follow("".join(rest))
            moved = people.deliver(3)
            await people.are_told(moved)
        await people.are_told(people.sent)
        people.assert_once_and_in_order()
        people.assert_never_reset()
        assert all(browser.mail_ids == people.sent for browser in people.browsers)
        assert second.generation() == generation
