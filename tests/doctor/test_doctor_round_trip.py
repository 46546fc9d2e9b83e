"""``doctor`` through the shipped nginx file: what works is told nothing, and what stands between is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_sync

from bridge.doctor import round_trip
from bridge.doctor.check import examine
from bridge.doctor.checks import CHECKS
from bridge.doctor.finding import Outcome
from bridge.doctor.means import Means
from bridge.doctor.report import exit_code, facts
from bridge.events import to_json
from bridge.journal.canary import Canary
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.orders import Orders
from bridge.settings import load_settings
from tests.support.healthy import KEEPING, codes, healthy, judged, patient
from tests.support.nginx import running_nginx
from tests.support.processes import free_port
from tests.support.stage import KEYS, SECRET, StageWriter, leading_writer, running_edge
from tests.support.waiting import PATIENCE_S, until


async def singing(writer: StageWriter, redis: Any) -> None:
    """Do as the leader does with the order of the doctor, and nothing else."""
    orders = Orders(redis, KEYS)
    while True:
        order = await orders.take()
        if order is None:
            await asyncio.sleep(0.02)
        else:
            heard = await Canary(writer, KEYS).sing("".join(order.ids), at_s=0)
            await orders.answer(order, {"ok": True, "heard": heard})


@asynccontextmanager
async def proxied(
    nginx: str,
    redis_url: str,
    folder: Path,
    changed: Mapping[str, str] | None = None,
    *,
    host: str = "127.0.0.1",
    **environ: str,
) -> AsyncIterator[Means]:
    """A leader that answers orders, and an edge behind nginx, whose site is ``changed``; yield what the doctor gets."""
    port, edge_port = free_port(), free_port()
    given = {
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_EDGE_JWT_SECRET": SECRET,
        "BRIDGE_EDGE_LISTEN": f"127.0.0.1:{edge_port}",
        "BRIDGE_EDGE_PUBLIC_URL": f"http://{host}:{port}/exmail/",
        **environ,
    }
    async with AsyncExitStack() as stack:
        writer, redis = await stack.enter_async_context(leading_writer(redis_url))
        leader = asyncio.create_task(singing(writer, redis))
        stack.callback(leader.cancel)
        await stack.enter_async_context(running_edge(redis_url, **given))
        await stack.enter_async_context(
            running_nginx(
                nginx,
                folder,
                port=port,
                edges=[f"127.0.0.1:{edge_port}"],
                changed=changed or {"gzip off;": "gzip off;"},
            )
        )
        settings = load_settings(given, None)
        yield Means(units={"edge": settings}, operator=settings)


async def outcome(means: Means) -> Outcome:
    return await judged(round_trip.CHECK, means)


INSIDE = "?address-from-inside"


async def test_a_healthy_stack_behind_the_shipped_file_is_green(
    require_binary: Callable[[str], str], tmp_path: Path
) -> None:
    """Every check at once, as an operator calls it, and exit code 0; nothing secret is in the report."""
    port, edge_port = free_port(), free_port()
    environ = {
        "BRIDGE_EDGE_LISTEN": f"127.0.0.1:{edge_port}",
        "BRIDGE_EDGE_PUBLIC_URL": f"http://127.0.0.1:{port}/exmail/",
    }
    with EmbeddedServer(tmp_path / "redis", config=KEEPING) as server:
        async with (
            healthy(server, **environ) as stage,
            running_nginx(require_binary("nginx"), tmp_path, port=port, edges=[f"127.0.0.1:{edge_port}"]),
            RedisAddress(server.url).client() as redis,
        ):
            await until(lambda: _stands_by(redis))
            outcomes = await examine(patient(CHECKS), stage.means(), within_s=PATIENCE_S)
            said = {each.check: codes(each) for each in outcomes}
            assert not [code for each in said.values() for code in each if not code.startswith("?")]
            assert exit_code(outcomes) == 0, said
            text = to_json(facts(outcomes, "en")).decode()
            for secret in (SECRET, stage.simulator.world.client_secret):
                assert secret not in text
            stored = await redis.get(KEYS.token)
            assert stored is not None
            assert stored.decode().split('"value":"')[1][:40] not in text


async def _stands_by(redis: Any) -> bool:
    return bool(await redis.zcard(KEYS.standbys))


BROKEN = [
    pytest.param(
        {"proxy_buffering off;": "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"},
        ["sse-buffered", INSIDE],
        id="buffering",
    ),
    pytest.param(
        {"proxy_set_header Upgrade $http_upgrade;": 'proxy_set_header Upgrade "";'},
        ["upgrade-stripped", INSIDE],
        id="no upgrade",
    ),
    pytest.param(
        {"gzip off;": "gzip off; proxy_cookie_path ~/.* /oa/;"},
        ["cookie-path", INSIDE],
        id="cookie path",
    ),
    pytest.param(
        {"gzip off;": 'gzip off; proxy_set_header Authorization "";'},
        ["token-refused", INSIDE],
        id="no authorization",
    ),
    pytest.param(
        {"location /exmail/ {": "location /elsewhere/ {", "location = /exmail/": "location = /elsewhere/"},
        ["public-not-ours"],
        id="wrong path",
    ),
]


@pytest.mark.parametrize(("changed", "said"), BROKEN)
async def test_what_a_proxy_does_wrong_is_named(
    require_binary: Callable[[str], str], redis_url: str, tmp_path: Path, changed: dict[str, str], said: list[str]
) -> None:
    """One line of the shipped file is changed, and the finding is about that line."""
    async with proxied(require_binary("nginx"), redis_url, tmp_path, changed) as means:
        assert codes(await outcome(means)) == said


async def test_an_idle_time_below_a_heartbeat_is_found(
    require_binary: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    """The proxy cuts what is quiet for two seconds; the doctor waits for a heartbeat that does not come."""
    quick = {"proxy_read_timeout 120s;": "proxy_read_timeout 2s;"}
    async with proxied(require_binary("nginx"), redis_url, tmp_path, quick) as means:
        said: list[str] = []

        async def is_found() -> bool:
            nonlocal said
            said = codes(await outcome(Means(units=means.units, operator=means.operator, idle_s=32)))
            assert set(said) <= {"idle-cut", INSIDE}
            return "idle-cut" in said

        # A heartbeat may happen to come first, and on both lines, which are neighbours in its round.
        await until(is_found)


@pytest.mark.parametrize(
    ("trusted", "forwarded", "said"),
    [
        ("127.0.0.5/32", "$proxy_add_x_forwarded_for", []),
        ("192.0.2.1/32", "$proxy_add_x_forwarded_for", ["address-of-proxy"]),
        ("127.0.0.5/32", "$http_x_forwarded_for", ["address-forged"]),
    ],
)
async def test_whom_the_edge_believes_is_found(
    require_binary: Callable[[str], str], redis_url: str, tmp_path: Path, trusted: str, forwarded: str, said: list[str]
) -> None:
    """The proxy has an address of its own here: the edge sees who asks, or the proxy, or what anybody says."""
    changed = {
        "gzip off;": "gzip off; proxy_bind 127.0.0.5;",
        "X-Forwarded-For $proxy_add_x_forwarded_for;": f"X-Forwarded-For {forwarded};",
    }
    nginx = require_binary("nginx")
    async with proxied(nginx, redis_url, tmp_path, changed, BRIDGE_EDGE_TRUSTED_PROXIES=trusted) as means:
        assert codes(await outcome(means)) == said


async def test_without_a_public_url_the_edge_of_this_host_is_asked(tmp_path: Path) -> None:
    """The proxy alone is not judged, and that is something to do: the event goes round, and what is wrong with the
    edge is found. Every other check judges as ever."""
    listen = {"BRIDGE_EDGE_LISTEN": f"127.0.0.1:{free_port()}"}
    with EmbeddedServer(tmp_path / "redis", config=KEEPING) as server:
        async with healthy(server, **listen) as stage, RedisAddress(server.url).client() as redis:
            await until(lambda: _stands_by(redis))
            outcomes = await examine(patient(CHECKS), stage.means(), within_s=PATIENCE_S)
            said = {each.check: codes(each) for each in outcomes}
            assert said["round trip"] == ["?no-public-url", INSIDE]
            assert not [code for name, each in said.items() if name != "round trip" for code in each if code[0] != "?"]
            assert exit_code(outcomes) == 1
            other = stage.means(environ={"BRIDGE_EDGE_JWT_SECRET": SECRET[::-1]})
            assert codes(await outcome(other)) == ["token-refused", "?no-public-url", INSIDE]


async def test_where_somebody_is_missing_that_is_said(
    require_binary: Callable[[str], str], redis_url: str, tmp_path: Path
) -> None:
    """No proxy, no edge behind it, no leader, another secret: none of it looks healthy."""
    nginx = require_binary("nginx")
    (tmp_path / "one").mkdir()
    async with proxied(nginx, redis_url, tmp_path / "one") as means:
        settings = means.of("edge")
        other = load_settings(
            {"BRIDGE_REDIS_URL": redis_url, "BRIDGE_EDGE_JWT_SECRET": SECRET[::-1]}
            | {"BRIDGE_EDGE_PUBLIC_URL": settings.edge.public_url}
        )
        assert codes(await outcome(Means(units={"edge": other}, operator=other))) == ["token-refused", INSIDE]
        with redis_sync.Redis.from_url(redis_url) as redis:
            redis.delete(KEYS.lease)
        assert codes(await outcome(means)) == [INSIDE, "?round-without-leader"]
    assert codes(await outcome(means)) == ["public-unreachable"]
    # Not at the usual port: something of this machine's own may listen there.
    nowhere = load_settings({"BRIDGE_EDGE_JWT_SECRET": SECRET, "BRIDGE_EDGE_LISTEN": f"127.0.0.1:{free_port()}"})
    assert codes(await outcome(Means(units={"edge": nowhere}, operator=nowhere))) == ["?no-public-url"]
    (tmp_path / "two").mkdir()
    port = free_port()
    async with running_nginx(nginx, tmp_path / "two", port=port, edges=[f"127.0.0.1:{free_port()}"]):
        alone = load_settings(
            {"BRIDGE_EDGE_JWT_SECRET": SECRET, "BRIDGE_EDGE_PUBLIC_URL": f"http://127.0.0.1:{port}/exmail/"}
        )
        assert codes(await outcome(Means(units={"edge": alone}, operator=alone))) == ["proxy-without-edge"]
