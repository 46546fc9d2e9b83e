"""Every alert, seen firing on real programs that are really broken, and silent while they are well.

One stage for all: two workers, an edge, sign-on, sixty browsers, mail that flows; then one thing after another is
broken, much of it at once, because starting programs is what costs time. Only the rules' times and a few counts are
made small.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Cut, Kind
from tests.deploy.programs import accepts
from tests.support.alert_stage import Stage, edge_of, named, staged, worker_of
from tests.support.browser_side import WsClient, open_ws
from tests.support.files_bounded import files_bounded
from tests.support.processes import free_port, http_get, program
from tests.support.stage import KEYS, token
from tests.support.waiting import until


@pytest.fixture
async def stage(require_binary: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Stage]:
    """All well, mail flowing, everybody connected."""
    async with staged(require_binary("prometheus"), tmp_path) as made:
        yield made


async def test_every_alert_fires_on_what_it_is_for_and_on_nothing_else(stage: Stage) -> None:
    """Silent while all is well; each alert fires when that happens which it is for."""
    prometheus = stage.prometheus
    await prometheus.holds("sum(sum_over_time(exmail_bridge_leader[3s])) >= 10 and count(exmail_bridge_leader) == 2")

    async def is_silent() -> bool:
        stage.since = time.time()
        # Nothing is pending either: twelve evaluations in which all rules found nothing.
        await prometheus.holds("sum(sum_over_time(exmail_bridge_leader[3s])) >= 10 unless on () ALERTS")
        await prometheus.holds("sum(rate(exmail_bridge_edge_frames_total[4s])) > 0")
        return not await stage.fired()

    # Again, where the machine stood still meanwhile: then all is not well, and the rules are in a hurry.
    await until(is_silent)

    async with AsyncExitStack() as stack:
        await _small_troubles(stage, stack)
        await _a_rival_and_a_slow_redis(stage, stack)
        await _redis_takes_no_writes(stage)
        await _a_leader_without_redis(stage)
        await _the_provider_fails(stage)
        await stage.fires("ExmailBridgeNotReady")
        await stage.standby.kill()
        await stage.fires("ExmailBridgeNoLeader")
    assert await stage.fired() == named()


async def _small_troubles(stage: Stage, stack: AsyncExitStack) -> None:
    """What concerns one thing each, all at once."""
    simulator, redis, session = stage.simulator, stage.redis, stage.prometheus.session
    world = simulator.world
    simulator.traffic.rate_per_s = 20
    # A program of somebody else that reads too slowly.
    await redis.xgroup_create(KEYS.events, "hr", "0")
    # Pages that do not read, and a mailbox that gets much.
    slow = world.add_user("slow@gzdev.com").alias
    for _ in range(3):
        await stack.enter_async_context(_page_that_does_not_read(stage.ports["public"], slow))
    text = "文" * 2048
    for _ in range(300):
        world.deliver_mail(slow, summary=text, receiver=text)
    world.deliver_many(400)

    async def all_read() -> bool:
        return int(await redis.xlen(KEYS.events)) >= 700

    await until(all_read)
    # Mails that come while nobody listens.
    await simulator.listeners.wait_hearing()
    simulator.cut(Cut.RST)
    for mailbox in world.accounts:
        world.deliver_many(20, mailbox)
    await simulator.listeners.wait_hearing()
    # A mail that cannot be read.
    simulator.push(b"no JSON {")
    # An OA that signs with another secret, and one that signs nothing.
    forged = [open_ws(stage.edge_url, Authorization="Bearer forged") for _ in range(25)]
    for client in await asyncio.gather(*forged):
        stack.enter_context(_dropped(client))
    for _ in range(110):
        async with session.get(f"{stage.edge_url}/unread") as answer:
            assert answer.status == 401
    # The provider gives no keys.
    fault = simulator.faults.on(Kind.ERRCODE, value=45009, endpoint="mail/authkey")
    for _ in range(8):
        headers = {"Cookie": f"exmail_bridge={token()}"}
        async with session.get(f"http://127.0.0.1:{stage.ports['clicks']}/mail/open", headers=headers) as answer:
            assert answer.status == 502
    simulator.faults.end(fault)
    # Pub/sub that loses: what comes there for a mailbox is none of its events.
    for mailbox in stage.mailboxes:
        await redis.publish(KEYS.mailbox_channel(mailbox), b"{}")
    # An account that cannot be read, and a crowd that is gone.
    simulator.faults.on(Kind.ERRCODE, value=45009, endpoint="user/get")
    world.modify_user(stage.mailboxes[0], name="Bob the second")
    for alias in list(world.accounts)[10:20]:
        world.delete_user(alias)
    # An edge that is near its limit of descriptors.
    with files_bounded(stage.edge.pid, 8):
        await stage.fires(
            *("ExmailBridgeDocumentsDropped", "ExmailBridgeClientsStayAway", "ExmailBridgeRefusals"),
            *("ExmailBridgeClicksFail", "ExmailBridgeProviderRefuses", "ExmailBridgeFeedGaps", "ExmailBridgeSlowCuts"),
            *("ExmailBridgeFewDescriptors", "ExmailBridgeDirectoryOwed", "ExmailBridgeDirectoryHeld"),
            *("ExmailBridgeDirectoryUndecided", "ExmailBridgeCountsDrift"),
        )
    simulator.faults.off(Kind.ERRCODE)
    # Listings that fail, then some that come short.
    simulator.faults.on(Kind.HTTP_STATUS, value=502, endpoint="user/list")
    world.modify_user(stage.mailboxes[1], name="Ann the second")
    await stage.fires("ExmailBridgeDirectoryStale")
    simulator.faults.off(Kind.HTTP_STATUS)
    simulator.faults.on(Kind.LIST_SHORT, value=1)
    world.modify_user(stage.mailboxes[2], name="Tom the second")


@asynccontextmanager
async def _page_that_does_not_read(port: int, mailbox: str) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    request = f"GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token(mailbox)}\r\n\r\n"
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, request.encode())
        # Then it is there, and what comes is for it.
        assert await loop.sock_recv(sock, 12) == b"HTTP/1.1 200"
        yield


@contextmanager
def _dropped(client: WsClient) -> Iterator[None]:
    yield
    client.drop()


async def _a_rival_and_a_slow_redis(stage: Stage, stack: AsyncExitStack) -> None:
    """A bridge that somebody else started, with our client id; an edge that was given another server."""
    ports, prometheus = stage.ports, stage.prometheus

    async def is_cut() -> bool:
        return int(await stage.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")) > 0

    # Redis cuts whoever listens, each time that somebody does.
    for _ in range(5):
        await until(is_cut)
    elsewhere = stage.server.tcp_url.removesuffix("0")
    # They fight for the connection, not for the token.
    stage.simulator.world.tokens.kills_old = False
    rival = await stack.enter_async_context(
        program("worker", environ=worker_of(f"{elsewhere}1", stage.simulator, ports["rival"]))
    )
    # Not another database: of the same server it would hear what is published in all of them.
    strange = stack.enter_context(EmbeddedServer(prometheus.folder / "strange"))
    # It asks an OA that is not there.
    silent = {"BRIDGE_EDGE_AUTH_URL": f"http://127.0.0.1:{free_port()}", "BRIDGE_EDGE_AUTH_COOKIES": "JSESSIONID"}
    stray = await stack.enter_async_context(
        program("edge", environ=edge_of(strange.url, ports, "stray", "stray public") | silent)
    )
    prometheus.scrape("worker", ports["rival"])
    prometheus.scrape("edge", ports["stray"])
    await stray.ready()
    instance = f"127.0.0.1:{ports['stray']}"
    # A count that was 0 before can be seen to rise.
    await prometheus.holds(f'exmail_bridge_office_questions_total{{outcome="away",instance="{instance}"}} == 0')
    for number in range(8):
        headers = {"Cookie": f"JSESSIONID={number}"}
        url = f"http://127.0.0.1:{ports['stray public']}/unread"
        async with prometheus.session.get(url, headers=headers) as answer:
            assert answer.status == 503
    stage.way.delay_s, stage.edge_way.delay_s = 0.3, 0.8
    await stage.fires(
        *(
            "ExmailBridgeTwoLeaders",
            "ExmailBridgeListenFlaps",
            "ExmailBridgeListenConflict",
            "ExmailBridgeUpstreamDown",
        ),
        *("ExmailBridgeEdgeWithoutLeader", "ExmailBridgeCommitSlow", "ExmailBridgeDeliverySlow"),
        *("ExmailBridgeFeedSlow", "ExmailBridgeDirectoryShort", "ExmailBridgeReaderBehind"),
        *("ExmailBridgeFeedReconnects", "ExmailBridgeCanarySilent", "ExmailBridgeOfficeSilent"),
    )
    stage.way.delay_s = stage.edge_way.delay_s = 0
    stage.simulator.faults.clear()
    await rival.kill()
    await stray.kill()
    # From now on its pub/sub brings nothing; that shows after ten seconds.
    stage.edge_way.deaf = True


async def _redis_takes_no_writes(stage: Stage) -> None:
    """Full, then with too few replicas; edge and sign-on have nothing against it. Then somebody empties it."""
    redis, prometheus = stage.redis, stage.prometheus
    # Nearly full, then with a policy that would throw keys away: all goes on.

    async def is_seen_nearly_full() -> bool:
        # Again and again: what is used becomes less when clients take what waited for them.
        await redis.config_set("maxmemory", int((await redis.info("memory"))["used_memory"] / 0.92))
        return "ExmailBridgeRedisNearlyFull" in await stage.fired()

    await until(is_seen_nearly_full)
    await redis.config_set("maxmemory", 2**30)
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await stage.fires("ExmailBridgeRedisMayEvict")
    await redis.config_set("maxmemory", "0")
    await redis.config_set("maxmemory-policy", "noeviction")
    for setting, value, reason, words in (
        ("maxmemory", "1", "full", "Redis is full"),
        ("min-replicas-to-write", "1", "readonly", "Redis takes no writes"),
    ):
        await redis.config_set(setting, value)
        await prometheus.holds(
            f'count(exmail_bridge_unready{{reason="redis-{reason}"}} == 1) == 2'
            ' and on () count(ALERTS{alertname="ExmailBridgeRedisTakesNoWrites",alertstate="firing"}) >= 2'
            ' and on () max(exmail_bridge_unready{job!="exmail-bridge-worker",reason!="feed"}) == 0'
        )
        status, text = await stage.leader.admin("/readyz")
        assert (status, text.partition(":")[0]) == (503, words)

        async def refuses_clicks() -> bool:
            status, text = await http_get("127.0.0.1", stage.ports["signon"], "/readyz")
            return (status, text.partition(":")[0]) == (200, "ok\nclicks are refused")

        await until(refuses_clicks)
        await redis.config_set(setting, "0")
    assert "ExmailBridgeRedisWentBack" not in await prometheus.firing()
    # It would be as quick to lead again as the leader, which is the one that loses its Redis next.
    stage.standby.signal(signal.SIGSTOP)
    await redis.flushdb()
    await stage.fires("ExmailBridgeRedisWentBack")
    await until(lambda: is_led(stage.redis))
    stage.standby.signal(signal.SIGCONT)


async def is_led(redis: Any) -> bool:
    return bool(await redis.exists(KEYS.lease))


async def _a_leader_without_redis(stage: Stage) -> None:
    """It keeps what it reads until another leads, and gives it up then; most browsers leave meanwhile."""
    way, prometheus = stage.way, stage.prometheus
    await prometheus.holds("sum(exmail_bridge_edge_connections) > 50")
    for browser in stage.browsers[:40]:
        browser.drop()
    led_before = len(stage.standby.said("leading"))
    way.closed = True
    way.cut()
    await stage.fires("ExmailBridgeRedisAway", "ExmailBridgeBacklog", "ExmailBridgeConnectionsFell")
    await until(lambda: len(stage.standby.said("leading")) > led_before)
    way.closed = False
    await stage.fires("ExmailBridgePushesDropped")
    await stage.leader.kill()
    await stage.fires("ExmailBridgeDown", "ExmailBridgeNoStandby")


async def _the_provider_fails(stage: Stage) -> None:
    """In every way in which a leader can stand with it; what it is stands in the metric and in ``/readyz``."""
    simulator, port = stage.simulator, next(port for port in stage.prometheus.targets["worker"][:2] if accepts(port))

    async def stands(state: str, text: str) -> None:
        async def told() -> bool:
            return text in (await http_get("127.0.0.1", port, "/readyz"))[1]

        await until(told)
        await stage.prometheus.holds(f'max_over_time(exmail_bridge_upstream_state{{state="{state}"}}[3s]) == 1')

    await stands("connected", "ok")
    simulator.faults.on(Kind.SILENT)
    await stands("deaf", "the listen connection is deaf")
    await stage.fires("ExmailBridgeUpstreamDeaf")
    simulator.faults.clear()
    simulator.faults.on(Kind.ERRCODE, value=10001, endpoint="listen")
    simulator.cut(Cut.RST)
    await stands("address", "does not accept our address")
    simulator.faults.clear()
    simulator.world.tokens.client_secret = "another-key-was-made-in-the-console"
    simulator.world.expire_tokens()
    simulator.cut(Cut.RST)
    await stands("credentials", "refuses our client id or key")
    simulator.faults.on(Kind.REFUSE)
    simulator.cut(Cut.RST, everything=True)
    await stands("away", "cannot be reached")
