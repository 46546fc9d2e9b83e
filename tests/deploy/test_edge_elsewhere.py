"""``docs/deployment.md``: an edge on another host, by the page's own commands, behind the first host's proxy.

Both hosts are addresses of the loopback network, so the page's 10.0.0.5 and 10.0.0.11 are replaced, and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.request import urlopen

import aiohttp
import pytest

from bridge import __version__
from bridge.doctor.lines import open_line
from bridge.journal.connect import RedisAddress
from bridge.journal.inquiry import Inquiries
from bridge.simulator import Simulator, World
from tests.docs.pages import Block
from tests.support.browser_side import open_sse
from tests.support.day_two import Site, audience, site
from tests.support.nginx import running_nginx
from tests.support.operated import DEPLOYMENT, network
from tests.support.processes import free_port
from tests.support.stage import BOB, KEYS, bearer
from tests.support.waiting import PATIENCE_S, until

MOST = 200
FIRST, OTHER = "10.0.0.5", "10.0.0.11"
PUBLIC = next(line for line in DEPLOYMENT.block("toml").splitlines() if line.startswith("public_url"))


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


@pytest.fixture
async def hosts(
    require_binary: Callable[[str], str], tmp_path: Path, provider: Simulator
) -> AsyncIterator[tuple[Site, Site]]:
    """The first one with everything, as the pages install it, and one with nothing."""
    for program in ("redis-server", "openssl", "curl"):
        require_binary(program)
    net = network()
    async with AsyncExitStack() as stack:
        first, other = [
            await stack.enter_async_context(site(tmp_path / f"host{number}", f"{net}.{number}")) for number in (5, 11)
        ]
        await first.set_up(provider, {}, redis=first.address, version=__version__)
        settings = first.path("etc/exmail-bridge/bridge.toml")
        settings.write_text(settings.read_text().replace("[edge]\n", f"[edge]\n{PUBLIC}\n"))
        await first.run("systemctl enable --now exmail-bridge-worker@1 exmail-bridge-edge")
        await provider.listeners.wait_hearing(1)
        yield first, other


def recipe(first: Site, other: Site) -> list[Block]:
    """The page's blocks, in order, with the addresses that these hosts have; and none is of a kind not known here."""
    blocks = DEPLOYMENT.under("Edges on other hosts")
    assert [block.language for block in blocks] == ["sh", "text", "sh", "sh", "toml", "sh", "nginx"]
    addresses = {FIRST: first.address, OTHER: other.address}
    return [
        Block(block.language, re.sub(r"\b10\.0\.0\.\d+\b", lambda found: addresses[found[0]], block.text))
        for block in blocks
    ]


def connections(host: Site) -> float:
    """How many browsers this host's edge has."""
    with urlopen(f"http://{host.address}:9102/metrics", timeout=PATIENCE_S) as answer:
        page = answer.read().decode()
    return sum(map(float, re.findall(r"^exmail_bridge_edge_connections{[^}]*} (\S+)$", page, re.MULTILINE)))


async def seen(first: Site, url: str) -> tuple[str, str]:
    """As whom the edge that serves us sees us, and from where we come to it."""
    operator = RedisAddress(f"redis://{first.address}:6379", "operator", lambda: "password of operator")
    text = secrets.token_urlsafe(24)
    async with operator.client() as redis, aiohttp.ClientSession() as session:
        await Inquiries(redis, KEYS).announce(hashlib.sha256(text.encode()).hexdigest(), within_s=PATIENCE_S)
        async with open_line(session, "sse", url, text) as (_, told):
            return told["address"], told["peer"]


async def test_the_recipe_brings_an_edge_that_serves_browsers(
    hosts: tuple[Site, Site], provider: Simulator, require_binary: Callable[[str], str], tmp_path: Path
) -> None:
    """Each command as written. The edge there has secrets and a user of Redis of its own, over TLS; the proxy balances
    to both, browsers of both are told of every mail, and when the first edge stops all are there and miss nothing."""
    first, other = hosts
    certificate, redis_conf, pack, unpack, toml, start, upstream = (each.text for each in recipe(first, other))
    await first.run(certificate)
    with first.path("etc/redis/redis.conf").open("a") as conf:
        conf.write(redis_conf)
    await first.run(pack)
    assert (first.home / "edge.tar").stat().st_mode & 0o077 == 0

    await other.install(__version__)
    shutil.move(first.home / "edge.tar", other.home / "edge.tar")
    await other.run(unpack)
    other.path("etc/exmail-bridge/bridge.toml").write_text(toml)
    await other.run(start)
    etc = other.path("etc/exmail-bridge")
    assert {path.name for path in etc.iterdir()} == {"bridge.toml", "jwt-secret", "redis-edge", "redis-ca.pem"}
    assert {(etc / name).stat().st_mode & 0o777 for name in ("jwt-secret", "redis-edge")} == {0o600}
    assert set(other.services.running) == {"exmail-bridge-edge"}

    # The first edge of these hosts is where its settings say, and the proxy has the first host's address.
    edges = re.findall(r"server (\S+) max_fails=0;", upstream)
    assert edges == ["127.0.0.1:8080", f"{other.address}:8080"]
    port, folder = free_port(), tmp_path / "nginx"
    folder.mkdir()
    async with running_nginx(
        require_binary("nginx"),
        folder,
        port=port,
        edges=[f"{first.address}:8080", edges[1]],
        changed={"gzip off;": f"gzip off; proxy_bind {first.address};"},
    ):
        url = f"http://127.0.0.1:{port}/exmail"
        async with audience(provider, url) as people:
            async with AsyncExitStack() as stack:
                opened = len(people.browsers)
                # Each process of nginx deals in turn by itself, from the first on.
                while not (there := await asyncio.to_thread(connections, other)):
                    assert opened < MOST
                    await stack.enter_async_context(await open_sse(url, "/exmail/events", **bearer(BOB)))
                    opened += 1
                assert there < opened
            await people.are_told(people.deliver(3))
            await first.run("systemctl stop exmail-bridge-edge")
            await people.are_told(people.deliver(3))
            await until(lambda: connections(other) == len(people.browsers))
            # It believes this proxy, and nobody else, about who a browser is.
            assert await seen(first, f"{url}/") == ("127.0.0.1", first.address)
            people.assert_once_and_in_order()
            people.assert_never_reset()
    with first.redis() as redis:
        # Over TLS it was this user; and nobody was refused anything.
        assert {client["user"] for client in redis.client_list() if client["laddr"].endswith(":6380")} == {"edge"}
        assert redis.acl_log() == []
