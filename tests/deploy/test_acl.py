"""``deploy/redis/users.acl``: every program has the rights that it needs, and no others.

The very file is loaded into a real server, and the real programs run as its users.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import redis as redis_sync
from redis.exceptions import NoPermissionError

from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.follow import BEGINNING
from bridge.journal.follow import Follower as StreamFollower
from bridge.simulator import Simulator, World
from tests.e2e.test_kill import following
from tests.support.browser_side import open_ws
from tests.support.guarded import USERS, Guarded, users_file
from tests.support.processes import edge_environ, free_port, program, worker_environ
from tests.support.redis_proxy import redis_proxy
from tests.support.stage import BOB, KEYS, QUICK, bearer, leading_writer, let_in, mail, running_edge, token
from tests.support.waiting import PATIENCE_S, until

COMMANDS = (
    ("directory", "show", BOB),
    ("directory", "held"),
    ("directory", "owed"),
    ("directory", "resync"),
    ("why", BOB),
    ("status",),
    ("dead", "list"),
    ("kick", BOB, "--sid", "s-9"),
    ("forget", BOB),
)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as server:
        yield server


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


@asynccontextmanager
async def programs(guarded: Guarded, provider: Simulator) -> AsyncIterator[tuple[str, str]]:
    """Worker, edge and sign-on, each as its user; the URLs of the latter two."""
    url = guarded.server.url
    port, clicks = free_port(), free_port()
    account = worker_environ(url, provider)
    signon = {
        **edge_environ(url, port),
        **{name: value for name, value in account.items() if name.startswith("BRIDGE_PROVIDER_")},
        "BRIDGE_SIGNON_LISTEN": f"127.0.0.1:{clicks}",
        "BRIDGE_SIGNON_ADMIN_LISTEN": "127.0.0.1:0",
    }
    async with (
        program("worker", environ=account | guarded.settings("worker")) as worker,
        program("edge", environ=edge_environ(url, port) | guarded.settings("edge")) as edge,
        program("signon", environ=signon | guarded.settings("signon")) as sign_on,
    ):
        for each in (worker, edge, sign_on):
            await each.ready()
        await provider.listeners.wait_hearing(1)
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{clicks}"


async def ordered(guarded: Guarded, provider: Simulator, *words: str) -> None:
    """An operator's command; it works."""
    environ = worker_environ(guarded.server.url, provider) | guarded.settings("operator")
    async with program(*words, environ=environ) as run:
        assert await run.ended() == 0, (words, run.lines)


async def test_a_whole_day_needs_no_right_that_is_not_given(guarded: Guarded, provider: Simulator) -> None:
    """Mail, count, directory, ticket, resume, history, click, every command of an operator: nothing is refused."""
    world = provider.world
    async with programs(guarded, provider) as (url, clicks), following(url, (BOB,)) as browsers:
        sent = [mail.mail_id for mail in world.deliver_many(3, BOB)]
        await until(lambda: all(browser.mail_ids == sent for browser in browsers))
        world.read_all(BOB)
        await until(lambda: all(browser.unread == 0 for browser in browsers))
        world.modify_user(BOB, name="Robert")
        with guarded.client("reader") as reader:
            await until(lambda: b"Robert" in (reader.hget(KEYS.directory, BOB) or b""))
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/ticket", headers=bearer()) as answer:
                ticket = (await answer.json())["ticket"]
            async with await open_ws(url, f"/ws?ticket={ticket}&after={browsers[0].position}") as browser:
                assert (await browser.until("exmail.snapshot")).data["data"]["resumed"]
            for path in ("/history", "/unread"):
                async with session.get(url + path, headers=bearer()) as answer:
                    assert answer.status == 200
            for path, claims, body in (("/logout", {"sid": "s-1"}, None), ("/kick", {"scope": "kick"}, {"sid": "s-2"})):
                async with session.post(url + path, headers=bearer(**claims), json=body) as answer:
                    assert answer.status == 204, (await answer.text(), guarded.refusals())
            async with session.post(f"{url}/ticket", headers=bearer()) as answer:
                ticket = (await answer.json())["ticket"]
            for query, headers in ((f"?ticket={ticket}", {}), ("", {"Cookie": f"exmail_bridge={token()}"})):
                async with session.get(f"{clicks}/mail/open{query}", headers=headers, allow_redirects=False) as answer:
                    assert answer.status == 302, (await answer.text(), guarded.refusals())
        # A mailbox that nobody has seen: the edge begins its epoch, and the worker is asked for its count.
        async with await open_ws(url, **bearer("ann@gzdev.com")) as browser:
            await browser.until("exmail.snapshot")
        for words in COMMANDS:
            await ordered(guarded, provider, *words)
        await followed_as_operator(guarded, provider, world)
    assert guarded.refusals() == []


async def followed_as_operator(guarded: Guarded, provider: Simulator, world: World) -> None:
    """``events``, which goes on until it is stopped."""
    environ = worker_environ(guarded.server.url, provider) | guarded.settings("operator")
    async with program("events", "--since", "0-0", environ=environ) as events:
        await until(lambda: any("following" in line["message"] for line in events.lines))
        world.deliver_mail(BOB)
        assert await events.stop() == 0


async def test_a_deaf_edge_may_report_it(guarded: Guarded) -> None:
    """The probe goes round, and a report is left for the worker."""
    pace = replace(QUICK, probe_s=0.05, deaf_s=0.3)
    with guarded.client("admin") as admin:
        async with (
            redis_proxy(guarded.server.url) as way,
            running_edge(way.url, pace, **guarded.settings("edge")) as (url, _),
            await let_in(url),
        ):
            way.deaf = True
            await until(lambda: admin.llen(KEYS.reports) >= 1)
    assert guarded.refusals() == []


FORBIDDEN = {
    "reader": [
        ("GET", KEYS.token),
        ("GET", KEYS.lease),
        ("GET", KEYS.ticket("0" * 64)),
        ("LRANGE", KEYS.orders, 0, -1),
        ("XRANGE", KEYS.audit, "-", "+"),
        ("XRANGE", KEYS.dead, "-", "+"),
        ("ZRANGE", KEYS.kicked, 0, -1),
        ("PUBLISH", KEYS.control_channel, ""),
        ("SCAN", 0),
        ("KEYS", "*"),
        ("XADD", KEYS.events, "*", "event", "{}"),
        ("XDEL", KEYS.events, "1-1"),
        ("XTRIM", KEYS.events, "MAXLEN", 0),
        ("XGROUP", "DESTROY", KEYS.events, "others"),
        ("CLIENT", "TRACKING", "ON", "BCAST"),
        ("XGROUP", "CREATE", KEYS.log(BOB), "mine", "0"),
        ("DEL", KEYS.state(BOB)),
        ("HSET", KEYS.state(BOB), "unread", 0),
        ("SET", KEYS.ver, 1),
        ("PUBLISH", "exmail:mail.new", "{}"),
        ("PUBLISH", KEYS.mailbox_channel(BOB), "{}"),
        ("SPUBLISH", KEYS.mailbox_channel(BOB, sharded=True), "{}"),
        ("SSUBSCRIBE", KEYS.probe_channel("x", sharded=True)),
        ("SUBSCRIBE", KEYS.inquiry_channel),
        ("PSUBSCRIBE", "exmail:*"),
        ("EVAL", "return 1", 0),
        ("CONFIG", "GET", "*"),
        ("FLUSHALL",),
    ],
    "edge": [
        ("SET", KEYS.lease, "9:mine"),
        ("PEXPIRE", KEYS.lease, 100_000),
        ("DEL", KEYS.lease),
        ("SET", KEYS.ver, 1),
        ("SET", KEYS.generation, 1),
        ("HSET", KEYS.upstream, "state", "connected"),
        ("HSET", KEYS.directory, BOB, "{}"),
        ("HSET", KEYS.slaves, "ceo@gzdev.com", BOB),
        ("SREM", KEYS.barred, BOB),
        ("ZREM", KEYS.moved, BOB),
        ("XADD", KEYS.events, "*", "event", "{}"),
        ("XRANGE", KEYS.events, "-", "+"),
        ("XRANGE", KEYS.audit, "-", "+"),
        ("XADD", KEYS.log(BOB), "*", "event", "{}"),
        ("GET", KEYS.token),
        ("LPUSH", KEYS.orders, "{}"),
        ("PUBLISH", "exmail:mail.new", "{}"),
        ("PUBLISH", KEYS.mailbox_channel(BOB), "{}"),
        ("SPUBLISH", KEYS.mailbox_channel(BOB, sharded=True), "{}"),
        ("PUBLISH", "exmail:system", "{}"),
        ("SUBSCRIBE", "exmail:mail.new"),
        ("EVAL", "return 1", 0),
        ("SCAN", 0),
        ("CONFIG", "GET", "*"),
    ],
    "signon": [
        ("XRANGE", KEYS.log(BOB), "-", "+"),
        ("HGETALL", KEYS.state(BOB)),
        ("XRANGE", KEYS.events, "-", "+"),
        ("XRANGE", KEYS.audit, "-", "+"),
        ("DEL", KEYS.audit),
        ("SET", KEYS.lease, "9:mine"),
        ("HSET", KEYS.slaves, "ceo@gzdev.com", BOB),
        ("ZADD", KEYS.kicked, 1, "sid:s"),
        ("ZREM", KEYS.moved, BOB),
        ("PUBLISH", KEYS.mailbox_channel(BOB), "{}"),
        ("SUBSCRIBE", KEYS.mailbox_channel(BOB)),
    ],
    "operator": [
        ("GET", KEYS.token),
        ("DEL", KEYS.state(BOB)),
        ("SET", KEYS.ver, 1),
        ("RPOP", KEYS.orders),
        ("XDEL", KEYS.audit, "1-1"),
        ("PUBLISH", "exmail:mail.new", "{}"),
    ],
    "worker": [
        ("GET", KEYS.ticket("0" * 64)),
        ("GET", KEYS.clicks(BOB)),
        ("SUBSCRIBE", KEYS.mailbox_channel(BOB)),
        ("SSUBSCRIBE", KEYS.mailbox_channel(BOB, sharded=True)),
        ("SUBSCRIBE", KEYS.inquiry_channel),
        ("GET", "{another}:ver"),
        ("FLUSHDB",),
        ("CONFIG", "SET", "appendonly", "no"),
        ("KEYS", "*"),
    ],
}


def test_what_nobody_needs_is_refused(guarded: Guarded) -> None:
    """By the rules, not by chance: each of these is asked and answered with NOPERM."""
    for user, commands in FORBIDDEN.items():
        for words in commands:
            with guarded.client(user) as client, pytest.raises(NoPermissionError):
                client.execute_command(*words)


def test_a_script_gives_an_edge_no_more_rights(guarded: Guarded) -> None:
    """It may load and run its own, over keys that it may name; what is within is looked at command by command."""
    with guarded.client("edge") as edge, guarded.client("admin") as admin:
        for text, key in (
            ("return redis.call('SET', KEYS[1], '9:mine')", KEYS.lease),
            ("return redis.call('HSET', KEYS[1], 'bob@gzdev.com', '{}')", KEYS.directory),
            ("return redis.call('PUBLISH', 'exmail:mail.new', '{}')", KEYS.lease),
        ):
            # Redis 7.0 says it in words of its own.
            refused = r"can't run this command|ACL failure in script|can't (access at least one of the keys|publish)"
            with pytest.raises(redis_sync.ResponseError, match=refused):
                edge.evalsha(edge.script_load(text), 1, key)
        assert admin.keys("*") == []


def test_a_reader_may_form_a_consumer_group(guarded: Guarded) -> None:
    """Create, read, acknowledge, take over, look where the group is, set it elsewhere, take a consumer out; listen to
    what is public; read counts, histories and the directory; ask for INFO, as ioredis does at its beginning."""
    with guarded.client("admin") as admin, guarded.client("reader") as reader:
        admin.xadd(KEYS.events, {"event": "{}"}, "1-1")
        admin.hset(KEYS.state(BOB), "unread", 3)
        assert reader.info()["loading"] == 0
        reader.xgroup_create(KEYS.events, "workflow", "0")
        [[_, [(entry, _)]]] = reader.xreadgroup("workflow", "one", {KEYS.events: ">"})
        assert reader.xpending(KEYS.events, "workflow")["pending"] == 1
        assert reader.xautoclaim(KEYS.events, "workflow", "two", 0)[1][0][0] == entry
        assert reader.xack(KEYS.events, "workflow", entry) == 1
        assert reader.xgroup_delconsumer(KEYS.events, "workflow", "one") == 0
        assert reader.xgroup_setid(KEYS.events, "workflow", "1-0")
        assert [group["last-delivered-id"] for group in reader.xinfo_groups(KEYS.events)] == [b"1-0"]
        assert reader.hget(KEYS.state(BOB), "unread") == b"3"
        assert reader.xrange(KEYS.log(BOB)) == []
        assert reader.xread({KEYS.events: "0"}, block=1)
        with reader.pubsub() as heard:
            heard.subscribe("exmail:mail.new", "exmail:system", KEYS.mailbox_channel(BOB))
            heard.psubscribe("exmail:mailbox:*")
            assert [heard.get_message(timeout=PATIENCE_S)["type"] for _ in range(4)] == ["subscribe"] * 3 + [
                "psubscribe"
            ]
    assert guarded.refusals() == []


def test_no_reader_learns_the_names_of_private_keys(guarded: Guarded) -> None:
    """Redis would tell whoever tracks keys by broadcast of each that is written, whatever he may read."""
    with guarded.client("admin") as admin, guarded.client("reader") as reader:
        client = reader.connection_pool.get_connection()
        try:
            client.send_command("HELLO", 3)
            client.read_response()
            client.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "")
            with pytest.raises(NoPermissionError):
                client.read_response()
            admin.set(KEYS.ticket("0" * 64), "bob")
            client.send_command("PING")
            # An invalidation would come first.
            assert client.read_response() in (b"PONG", "PONG")
        finally:
            client.disconnect()
            reader.connection_pool.release(client)


async def test_a_reader_may_follow_as_our_own_reader_does(guarded: Guarded) -> None:
    """What ``docs/events.md`` promises, with the code that the command ``events`` uses."""
    as_admin = guarded.server.url.replace("unix://", "unix://admin:password%20of%20admin@")
    async with leading_writer(as_admin) as (writer, _):
        await writer.commit([mail("1")])
    address = RedisAddress(guarded.server.url, "reader", lambda: "password of reader")
    async with StreamFollower(address, KEYS) as follower:
        await follower.start(BEGINNING)
        assert [entry.type for entry in await follower.read()] == ["exmail.mail.new"]
    assert guarded.refusals() == []


@pytest.mark.parametrize("binary", ["valkey-server", "redis-server"])
def test_the_file_is_taken(binary: str, require_binary: Callable[[str], str], tmp_path: Path) -> None:
    """By Valkey and by Redis; nobody is let in without a password."""
    with Guarded(tmp_path, Path(require_binary(binary))) as guarded:
        with guarded.client("admin") as admin:
            assert set(admin.acl_users()) == {*USERS, "default"}
        with redis_sync.Redis.from_url(guarded.server.url) as nobody, pytest.raises(redis_sync.AuthenticationError):
            nobody.ping()


async def test_a_replica_may_follow(tmp_path: Path) -> None:
    """As ``masteruser`` it gets everything, and may do nothing else."""
    port = free_port()
    with Guarded(tmp_path, port=port) as guarded:
        follows = {
            "replicaof": f"127.0.0.1 {port}",
            "masteruser": "replica",
            "masterauth": "password of replica",
        }
        with guarded.client("admin") as admin:
            # Otherwise it waits five seconds for more replicas that might begin with the first.
            admin.config_set("repl-diskless-sync-delay", "0")
            admin.set(KEYS.ver, 7)
        with EmbeddedServer(tmp_path / "replica", config=follows) as replica:
            with redis_sync.Redis.from_url(replica.url) as there:
                await until(lambda: there.get(KEYS.ver) == b"7")
            # In order it declines to end while it writes its first append-only file; it has nothing to lose.
            replica.kill()
        with guarded.client("replica") as client, pytest.raises(NoPermissionError):
            client.get(KEYS.ver)


def test_another_namespace_and_no_password_in_sight(tmp_path: Path) -> None:
    """Keys and channels are those of the namespace; hashes stand where the names stood."""
    text = users_file(tmp_path, "acme-1")
    assert "exmail" not in text
    assert "~{acme-1}:lease" in text
    assert "&acme-1:mail.new" in text
    assert "password of" not in text
    lines = text.splitlines()
    assert [line.split()[1] for line in lines] == ["admin", "default", *USERS[1:]]
    assert all(len(line.split()[3]) == 65 for line in lines if "default" not in line)
