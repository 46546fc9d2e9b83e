"""``doctor``: each thing that it checks is broken here, and it says so; a healthy one is told nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bridge.doctor import certificates, clocks, configuration, leadership, names, provider, server
from bridge.doctor.check import Check, Said, examine
from bridge.doctor.finding import NotJudged, found
from bridge.doctor.means import Means
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.keys import Keys
from bridge.journal.overview import server_of
from bridge.settings import load_settings
from bridge.simulator.faults.faults import Kind
from tests.support.certificates import make_authority
from tests.support.guarded import Guarded
from tests.support.healthy import KEEPING, codes, healthy, judged
from tests.support.stage import SECRET, running_edge
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import simulating, worker_environment


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server that is set up as production's."""
    with EmbeddedServer(tmp_path_factory.mktemp("keeping"), config=KEEPING) as one:
        yield one


def means_of(environ: dict[str, str], **more: Any) -> Means:
    settings = load_settings(environ, None)
    return Means(**{"units": {"worker": settings, "edge": settings}, "operator": settings, **more})


def of_redis(url: str, **environ: str) -> Means:
    return means_of({"BRIDGE_REDIS_URL": url, "BRIDGE_EDGE_JWT_SECRET": SECRET, **environ})


async def test_a_healthy_installation_has_no_finding_and_each_loss_is_one(keeping: EmbeddedServer) -> None:
    """All is well; then the standby stops, the provider refuses, and it is said."""
    pieces = [configuration.CHECK, names.CHECK, certificates.CHECK, clocks.CHECK, server.CHECK]
    async with healthy(keeping) as stage:
        for check in (*pieces, provider.CHECK):
            assert codes(await judged(check, stage.means())) == [], check.name

        async def quiet() -> bool:
            return codes(await judged(leadership.CHECK, stage.means())) == []

        await until(quiet)
        await stage.standby.end()
        assert codes(await judged(leadership.CHECK, stage.means())) == ["no-standby"]
        stage.simulator.cut(everything=True)
        stage.simulator.faults.on(Kind.ERRCODE, value=10001)
        await until(lambda: stage.worker.metric("upstream_connected") == 0)
        assert codes(await judged(leadership.CHECK, stage.means())) == ["upstream", "no-standby"]
        assert codes(await judged(provider.CHECK, stage.means())) == ["provider-address"]


async def test_nobody_leads_and_no_edge_listens(keeping: EmbeddedServer) -> None:
    """Redis alone answers, and that is what is said."""
    async with RedisAddress(keeping.url).client() as redis:
        await redis.flushall()
    assert codes(await judged(leadership.CHECK, of_redis(keeping.url))) == ["no-leader", "no-edge"]


@pytest.mark.parametrize("kills_old", [True, False])
async def test_the_provider_is_asked_past_the_cache_and_nobody_is_disturbed(
    keeping: EmbeddedServer, kills_old: bool
) -> None:
    """The key is proved by a token of its own. The cached one stays where the provider lets it live; where the new one
    ends it, the new one stands in its place, and the leader listens on."""
    async with healthy(keeping, edge=False) as stage:
        stage.simulator.world.tokens.kills_old = kills_old
        async with RedisAddress(keeping.url).client() as redis:
            before = await redis.get("{exmail}:private:token")
            issued = stage.simulator.calls.count("token")
            assert codes(await judged(provider.CHECK, stage.means())) == []
            assert stage.simulator.calls.count("token") == issued + 1
            after = await redis.get("{exmail}:private:token")
            assert (after == before) is not kills_old
        sessions = stage.worker.metric("upstream_connected")
        assert sessions == 1
        wrong = stage.means(environ={"BRIDGE_PROVIDER_CLIENT_SECRET": "not-the-key"})
        outcome = await judged(provider.CHECK, wrong)
        assert codes(outcome) == ["provider-refuses"]
        assert "not-the-key" not in str(outcome.findings[0].facts["error"])


async def test_credentials_of_the_newer_api_are_told_apart(keeping: EmbeddedServer) -> None:
    """Refused here and accepted there: they belong there; and a corpid is known by its look."""

    async def answer(request: web.Request) -> web.Response:
        good = request.query.get("corpsecret") == "of-the-newer-api"
        return web.json_response({"errcode": 0, "access_token": "x"} if good else {"errcode": 40001, "errmsg": "no"})

    async with simulating() as simulator, serving_pages(("/gettoken", answer)) as url:
        environ = worker_environment(keeping.url, simulator, BRIDGE_PROVIDER_CLIENT_SECRET="of-the-newer-api")
        there = means_of(environ, successor_url=url)
        assert codes(await judged(provider.CHECK, there)) == ["provider-successor"]
        nowhere = means_of(environ | {"BRIDGE_PROVIDER_CLIENT_SECRET": "of-nobody"}, successor_url=url)
        assert codes(await judged(provider.CHECK, nowhere)) == ["provider-refuses"]
        corpid = means_of(environ | {"BRIDGE_PROVIDER_CLIENT_ID": "ww0123456789abcdef"})
        assert codes(await judged(provider.CHECK, corpid)) in (["provider-successor"], ["namespace-of-another"])


@asynccontextmanager
async def serving_pages(*pages: tuple[str, Any], tls: Any = None) -> AsyncIterator[str]:
    app = web.Application()
    for path, answer in pages:
        app.router.add_get(path, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_a_clock_that_is_off_is_named(keeping: EmbeddedServer) -> None:
    """This machine's against Redis's and the provider's; either alone is told."""
    async with simulating() as simulator:
        means = means_of(worker_environment(keeping.url, simulator))
        assert codes(await judged(clocks.CHECK, means)) == []
        outcome = await judged(clocks.CHECK, replace(means, wall=lambda: time.time() + 300))
        assert codes(outcome) == ["clock-redis", "clock-provider"]
        assert all(290 <= int(str(finding.facts["seconds"])) <= 310 for finding in outcome.findings)
        simulator.clock_off_s = -120
        assert codes(await judged(clocks.CHECK, means)) == ["clock-provider"]
        away = means_of({**worker_environment("redis://127.0.0.1:1/0", simulator)})
        assert codes(await judged(clocks.CHECK, away)) == ["clock-provider", "?needs-redis"]


async def test_a_server_that_may_lose_or_refuse_is_told(own_server: EmbeddedServer) -> None:
    """No append-only file, eviction, too little memory: each is a finding."""
    async with RedisAddress(own_server.url).client() as redis:
        await redis.config_set("appendonly", "no")
        await redis.config_set("maxmemory-policy", "allkeys-lru")
        await redis.config_set("maxmemory", 64 * 1024 * 1024)
        assert codes(await judged(server.CHECK, of_redis(own_server.url))) == [
            "redis-forgets",
            "redis-evicts",
            "redis-memory",
        ]
        enough = of_redis(own_server.url, BRIDGE_EVENTS_MAX="1000")
        assert codes(await judged(server.CHECK, enough)) == ["redis-forgets", "redis-evicts"]
        # Histories take no more than they may: what is said depends on how many accounts there are.
        await redis.config_set("maxmemory", 180 * 1024 * 1024)
        assert "redis-memory" in codes(await judged(server.CHECK, of_redis(own_server.url)))
        await redis.hset(Keys("exmail").directory, mapping={f"u{number}@x.cn": "{}" for number in range(50)})
        assert codes(await judged(server.CHECK, of_redis(own_server.url))) == ["redis-forgets", "redis-evicts"]
        await redis.config_set("maxmemory", 1)
        await redis.config_set("maxmemory-policy", "noeviction")
        assert "redis-takes-no-writes" in codes(await judged(server.CHECK, of_redis(own_server.url)))
        sound = await server_of(redis)
    old = replace(sound, name="Redis", version="6.2.14", append_only=True, eviction="noeviction", memory_most=0)
    kinds = [finding.code for finding in server.judged(replace(old, saved=False, role="slave"), growth=0, events_max=1)]
    assert kinds == ["redis-old", "redis-not-saved", "redis-replica"]


async def test_a_server_that_takes_no_writes_is_no_fault_of_those_who_cannot_answer(
    own_server: EmbeddedServer,
) -> None:
    """Edges hear the question and cannot write an answer; a replica answers, and is told for what it is."""
    async with RedisAddress(own_server.url).client() as redis, running_edge(own_server.url):
        means = of_redis(own_server.url)
        assert codes(await judged(leadership.CHECK, means)) == ["no-leader"]
        await redis.config_set("maxmemory", 1)
        assert codes(await judged(leadership.CHECK, means)) == ["?needs-redis"]
        await redis.config_set("maxmemory", 0)
        await redis.replicaof("127.0.0.1", "1")
        assert codes(await judged(leadership.CHECK, means)) == ["?needs-redis"]
        assert "redis-replica" in codes(await judged(server.CHECK, means))
        assert "redis-away" not in codes(await judged(server.CHECK, means))
        await redis.replicaof("no", "one")


async def test_redis_away_or_refusing_is_a_finding_and_hides_nothing_as_healthy(tmp_path: Path) -> None:
    """Where nobody answers, what Redis alone knows is not judged."""
    away = of_redis("redis://127.0.0.1:1/0")
    assert codes(await judged(server.CHECK, away)) == ["redis-away", "redis-away"]
    assert codes(await judged(leadership.CHECK, away)) == ["?needs-redis"]
    with Guarded(tmp_path) as guarded:
        wrong = of_redis(guarded.server.url, BRIDGE_REDIS_USERNAME="worker", BRIDGE_REDIS_PASSWORD="wrong")
        assert set(codes(await judged(server.CHECK, wrong))) == {"redis-refuses"}
        edges = of_redis(guarded.server.url, **guarded.settings("edge"))
        outcome = await judged(server.CHECK, replace(edges, units={"worker": edges.units["worker"]}))
        assert "redis-right" in codes(outcome)
        right = of_redis(guarded.server.url, **guarded.settings("edge"))
        only = replace(right, units={"edge": right.units["edge"]})
        assert "redis-right" not in codes(await judged(server.CHECK, only))


async def test_settings_are_judged_as_each_program_has_them(tmp_path: Path) -> None:
    """A fault is a finding of the program that has it; a secret that is not here is not judged; one that everybody may
    read is a finding."""
    secret = tmp_path / "jwt-secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    means = means_of({"BRIDGE_EDGE_JWT_SECRET_FILE": str(secret), "BRIDGE_PROVIDER_CLIENT_ID": "one"})
    assert codes(await judged(configuration.CHECK, means)) == ["secret-open", "?no-secret"]
    secret.chmod(0o600)
    assert codes(await judged(configuration.CHECK, means)) == ["?no-secret"]
    wrong = means_of({"BRIDGE_EDGE_JWT_SECRET": SECRET, "BRIDGE_EDGE_AUTH_URL": "http://127.0.0.1:1/who"})
    only_edge = replace(wrong, units={"edge": wrong.units["edge"]})
    assert codes(await judged(configuration.CHECK, only_edge)) == ["settings-wrong"]
    closed = replace(only_edge, units={}, problems={"edge": ("BRIDGE_X_FILE: cannot read /x: Permission denied",)})
    assert codes(await judged(configuration.CHECK, closed)) == ["?secret-closed"]


async def test_a_host_that_is_not_found_is_named() -> None:
    """Each once, with the setting that it stands in; the public address too."""
    means = means_of(
        {
            "BRIDGE_PROVIDER_AUTH_URL": "https://no-such-host.invalid",
            "BRIDGE_PROVIDER_API_URL": "http://127.0.0.1:1",
            "BRIDGE_EDGE_PUBLIC_URL": "https://no-such-oa.invalid/exmail/",
        }
    )
    outcome = await judged(names.CHECK, means)
    assert [str(finding.facts["problem"]).split(":")[0] for finding in outcome.findings] == [
        "BRIDGE_PROVIDER_AUTH_URL",
        "BRIDGE_EDGE_PUBLIC_URL",
    ]


async def test_certificates_are_looked_at_before_people_do(tmp_path: Path) -> None:
    """Refused, soon over, over, no TLS, nobody there: each is told apart."""
    authority = make_authority(tmp_path)
    expired = tmp_path / "expired"
    expired.mkdir()
    old = make_authority(expired, valid_days=(-2, -1))

    async def outcome_of(url: str, ca_file: Path | None, **more: Any) -> list[str]:
        environ = {"BRIDGE_EDGE_PUBLIC_URL": url} | ({"BRIDGE_EGRESS_CA_FILE": str(ca_file)} if ca_file else {})
        settings = load_settings(environ, None)
        means = Means(units={"edge": settings}, operator=settings, **more)
        return codes(await judged(certificates.CHECK, means))

    async with serving_pages(tls=authority.server) as url:
        assert await outcome_of(url, None) == ["certificate-refused"]
        assert await outcome_of(url, authority.ca_file) == ["certificate-ends"]
        assert await outcome_of(url, authority.ca_file, wall=lambda: time.time() - 20 * 86_400) == []
    async with serving_pages(tls=old.server) as url:
        assert await outcome_of(url, old.ca_file) == ["certificate-expired"]
    async with serving_pages() as url:
        assert await outcome_of(url.replace("http://", "https://"), None) == ["tls-fails"]
    assert await outcome_of("https://127.0.0.1:1", None) == ["host-unreachable"]


async def test_a_check_that_breaks_or_hangs_costs_only_itself() -> None:
    """What it found until then counts; the rest of it is not judged, and the others are."""

    async def breaks(_: Means) -> Any:
        yield found("no-edge")
        raise KeyError("a secret")

    async def hangs(_: Means) -> Any:
        yield found("no-leader")
        await asyncio.Event().wait()

    async def well(_: Means) -> Any:
        for each in list[Said]():
            yield each

    async def cannot(_: Means) -> Any:
        yield NotJudged("program-left-out", by_choice=True, program="edge")

    checks = [Check("breaks", breaks), Check("hangs", hangs, within_s=0.5), Check("well", well), Check("not", cannot)]
    outcomes = await examine(checks, Means(units={}, operator=None), within_s=PATIENCE_S)
    assert [codes(outcome) for outcome in outcomes] == [
        ["no-edge", "?check-broke"],
        ["no-leader", "?no-answer-in-time"],
        [],
        ["?program-left-out"],
    ]
    assert "secret" not in str(outcomes[0].not_judged[0].facts)
