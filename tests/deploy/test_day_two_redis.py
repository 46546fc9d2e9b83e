"""``docs/day-two.md``: a Redis that is restored and one that moves, as the page says, under browsers and mail."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.simulator import Simulator, World
from tests.support.day_two import Site, audience, commands, site
from tests.support.operated import network
from tests.support.stage import BOB, KEYS
from tests.support.waiting import PATIENCE_S, until

UNITS = "exmail-bridge-worker@1 exmail-bridge-edge"


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


@pytest.fixture
async def host(require_binary: Callable[[str], str], tmp_path: Path, provider: Simulator) -> AsyncIterator[Site]:
    """One machine with everything; a worker leads, an edge serves."""
    require_binary("redis-server")
    address = f"{network()}.1"
    async with site(tmp_path / "host", address) as machine:
        await machine.set_up(provider, {"redis.corp.com": address}, redis="redis.corp.com", lease_s=40)
        await machine.run(f"systemctl start {UNITS}")
        await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        yield machine


@pytest.fixture
async def new(tmp_path: Path, host: Site) -> AsyncIterator[Site]:
    """A second machine, with a Redis that is set up as the first one's is, and nothing in it."""
    async with site(tmp_path / "new", f"{host.address[:-2]}.2") as machine:
        host.know(names(host, host, machine))
        machine.know(names(host, host, machine))
        await machine.services.do("start", "redis-server")
        yield machine


def names(redis: Site, old: Site, new: Site) -> dict[str, str]:
    """What the page's names stand for."""
    return {f"{name}.corp.com": of.address for name, of in (("redis", redis), ("redis-old", old), ("redis-new", new))}


async def test_a_move_by_name_and_one_by_address(host: Site, new: Site, provider: Simulator) -> None:
    """By name every mail is told, once and in order, and nobody begins anew. By address everybody does, once; what was
    pushed while nobody listened is told as missed."""
    [replicate], [by_name, look] = commands("Bring the new one up to date"), commands("Change over, by name")
    stop, fail_over, start = commands("Change over, by address")
    async with audience(provider, host.url) as people:
        await people.are_told(people.deliver(3))
        generation = host.generation()
        async with people.under_mail(0.02):
            await host.follow(replicate)
            await host.follow(by_name)
            host.know(names(new, host, new))
            await people.are_told(people.deliver(3))
        # Who only listens may still be connected to the old one, which repeats what the new one publishes.
        assert "leader     " in await host.follow(look)
        await people.are_told(people.sent)
        people.assert_once_and_in_order()
        people.assert_never_reset()
        assert all(browser.mail_ids == people.sent for browser in people.browsers)
        assert new.generation() == generation

        # Now the first one is the replica. So it is the new one of the next move, by address.
        host.know(names(new, new, host))
        settings = host.path("etc/exmail-bridge/bridge.toml")
        settings.write_text(settings.read_text().replace("redis.corp.com", "redis-old.corp.com"))
        await host.run(f"systemctl restart {UNITS}")
        await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
        await people.are_told(people.deliver(1))
        people.assert_never_reset()
        await host.follow(stop)
        missed = people.deliver(2)
        await host.follow(fail_over)
        await host.follow(start)
        await until(lambda: host.missed() == len(missed))
        await people.are_told(people.deliver(1))
        people.assert_once_and_in_order()
        people.assert_reset_once()
        await until(lambda: programs(new) == 0)
        assert host.generation() > generation
        assert "redis-new.corp.com" in settings.read_text()


def programs(machine: Site) -> int:
    """How many of ours are connected to its Redis."""
    with machine.redis() as client:
        return sum(each["user"] in ("worker", "edge") for each in client.client_list())


def bars(machine: Site, address: str) -> bool:
    with machine.redis() as client:
        return bool(client.sismember(KEYS.barred, address))


def text_of(client: Any, key: bytes) -> str:
    """What is stored under a key, as a text."""
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"stream": client.xrange,
    }
    return str(read[client.type(key)](key)) if client.exists(key) else ""


async def test_a_backup_and_its_restore(host: Site, provider: Simulator) -> None:
    """Settings come back as they were. Browsers are told once to begin anew, and what may be gone is said; mails of
    before the backup are not told again. Who was barred after it is barred again."""
    [save], [restore, events, files] = commands("Save"), commands("Restore")
    leaver = next(alias for alias in provider.world.accounts if alias != BOB)
    async with audience(provider, host.url) as people:
        kept = people.deliver(3)
        await people.are_told(kept)
        await host.follow(save)
        lost = people.deliver(3)
        await people.are_told(lost)
        provider.world.modify_user(leaver, open_type=2)
        await until(lambda: bars(host, leaver))
        before, saved = host.generation(), host.path("var/backups/exmail-bridge")
        assert saved.stat().st_mode & 0o077 == 0
        await host.follow(restore)
        later = people.deliver(3)
        await people.are_told(later)
        await until(lambda: "Redis went back" in str(host.events()))
        said = await host.follow(events)
        assert '"why":"Redis went back"' in said
        people.assert_once_and_in_order()
        people.assert_reset_once()
        assert host.generation() > before
        await until(lambda: bars(host, leaver))
        with host.redis() as client:
            assert kept[-1].encode() in client.zrange(KEYS.seen("bob@gzdev.com"), 0, -1)
    await host.run("systemctl stop exmail-bridge-edge")
    with host.redis() as client:
        client.xadd(KEYS.audit, {"time": "t", "mailbox": BOB, "sid": "s", "address": "10.0.0.9", "result": "opened"})
        show, forget = commands("One person's data")
        shown = (await host.follow(show)).splitlines()
        assert {"10.0.0.9", "opened", "unread", str(people.provider.world.unread[BOB])} <= set(shown)
        assert all(any(mail_id in line for line in shown if line.startswith("{")) for mail_id in kept + later)
        await host.follow(forget)
        left = {key.decode() for key in client.scan_iter() if BOB in key.decode() or BOB in text_of(client, key)}
        stays = {KEYS.online, KEYS.moved, KEYS.barred, KEYS.kicked, KEYS.wanted}
        of_a_minute = (KEYS.answer(""), KEYS.testimony(""))
        assert {key for key in left if not key.startswith(of_a_minute)} <= stays, left
        assert KEYS.forgotten in left
    own = host.path("etc/exmail-bridge")
    was = {path.name: (path.read_bytes(), path.stat().st_mode) for path in own.iterdir()}
    shutil.rmtree(own)
    await host.follow(files)
    assert {path.name: (path.read_bytes(), path.stat().st_mode) for path in own.iterdir()} == was
