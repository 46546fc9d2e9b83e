"""``docs/samples``: what other services are built from loses nothing in silence, in Python and in Node.

The very files run as programs against a real server; Node's with the published ``ioredis``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bridge.journal.calls import Retention
from bridge.journal.made import Made
from bridge.journal.writer import Writer
from tests.docs.pages import ROOT, Page
from tests.support.guarded import Guarded
from tests.support.redis_proxy import RedisProxy, redis_proxy
from tests.support.samples import GROUP, SAMPLES, SPOKEN, Samples, as_user, ids, pending, samples_in, waits
from tests.support.stage import BOB, KEYS, leading_writer, lost_messages, mail
from tests.support.waiting import until


@pytest.fixture(params=SPOKEN)
def samples(request: pytest.FixtureRequest, require_binary: Callable[[str], str], tmp_path: Path) -> Samples:
    return samples_in(request.param, tmp_path, require_binary)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server that gives services the rights of ``deploy/redis/users.acl``, and no others."""
    with Guarded(tmp_path_factory.mktemp("guarded")) as guarded:
        yield guarded


@pytest.fixture
def redis_url(guarded: Guarded) -> Iterator[str]:
    """That server, empty, for its administrator; afterwards nobody was refused anything."""
    with guarded.client("admin") as admin:
        admin.client_kill_filter(skipme=True)
        admin.flushall()
        admin.script_flush()
        admin.acl_log_reset()
    yield as_user(guarded.server.url, "admin")
    assert guarded.refusals() == []


@pytest.fixture
async def way(redis_url: str, guarded: Guarded) -> AsyncIterator[RedisProxy]:
    """TCP, as services come, and what can be cut."""
    async with redis_proxy(guarded.server.url) as way:
        yield way


async def test_consumers_share_the_work_and_miss_nothing(samples: Samples, way: RedisProxy, redis_url: str) -> None:
    """Each event is worked on by one of them, nothing is told as missing, and nothing of before the group comes."""
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail("before")])
        await samples.create(way.url)
        async with samples.work(way.url, "one") as one, samples.work(way.url, "two") as two:
            await waits(redis, 2)
            for start in range(0, 60, 4):
                await writer.commit([mail(str(n)) for n in range(start, start + 4)])
            await until(lambda: len(one.done) + len(two.done) >= 60)
            await waits(redis, 2)
            assert await pending(redis) == 0
        assert sorted(one.done + two.done) == sorted((await ids(redis))[1:])
        assert one.said + two.said == []


async def test_what_was_trimmed_unread_is_told(samples: Samples, way: RedisProxy, redis_url: str) -> None:
    """Events that no consumer was given are gone; whoever reads next says between which."""
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail("before")])
        await samples.create(way.url)
        await writer.commit([mail(str(n)) for n in range(5)])
        await redis.xtrim(KEYS.events, maxlen=2, approximate=False)
        left = await ids(redis)
        async with samples.work(way.url) as one:
            await one.until_done(2)
            await waits(redis)
        assert one.done == left
        of = writer.generation
        assert one.said == [f"events may be missing: between {of}-0 and {of}-4"]


async def test_what_another_left_undone_is_taken_over(samples: Samples, way: RedisProxy, redis_url: str) -> None:
    """A consumer that is gone had taken three: they are worked on; of those trimmed meanwhile it is said."""
    async with leading_writer(redis_url) as (writer, redis):
        await samples.create(way.url)
        await writer.commit([mail(str(n)) for n in range(3)])
        await redis.xreadgroup(GROUP, "gone", {KEYS.events: ">"})
        await redis.xtrim(KEYS.events, maxlen=1, approximate=False)
        left = await ids(redis)
        async with samples.work(way.url, IDLE_MS="1") as one:
            await one.until_done(1)
            await waits(redis)
            assert await pending(redis) == 0
        assert one.done == left
        assert one.said == ["events may be missing: 2 that were taken and never finished have been trimmed since"]


@pytest.mark.parametrize("is_running", [True, False], ids=["while it ran", "while nobody ran"])
async def test_a_group_that_is_gone_is_told_and_begun_anew(
    samples: Samples, way: RedisProxy, redis_url: str, is_running: bool
) -> None:
    """FLUSHALL takes it along. Then everything that is there is read, and nothing waits for ever."""
    async with leading_writer(redis_url) as (writer, redis):
        await samples.create(way.url)
        await writer.commit([mail("0")])

        async def emptied() -> None:
            await redis.flushall()
            another = Writer(redis, KEYS, lease_s=60, retention=Retention())
            assert await another.claim() is not None
            await another.commit([mail("1"), mail("2")])

        if not is_running:
            await emptied()
        async with samples.work(way.url) as one:
            if is_running:
                await one.until_done(1)
                await waits(redis)
                await emptied()
            await one.until_said("the group was gone")
            await one.until_done(3 if is_running else 2)
        assert one.done[-2:] == await ids(redis)


async def test_a_new_generation_is_told(samples: Samples, way: RedisProxy, redis_url: str) -> None:
    """Redis went back, or privacy grew narrower: the group stays, and says that something may be gone."""
    async with leading_writer(redis_url) as (writer, redis):
        await samples.create(way.url)
        async with samples.work(way.url) as one:
            await writer.commit([mail("0"), mail("1")])
            await one.until_done(2)
            before = writer.generation
            await writer.begin_generation(Made("count", None, 1))
            await writer.commit([mail("2")])
            await one.until_done(3)
        assert one.done[2:] == await ids(redis)
        assert one.said == [f"events may be missing: between {before}-1 and {writer.generation}-0"]


async def test_an_outage_costs_nothing(samples: Samples, way: RedisProxy, redis_url: str) -> None:
    """Cut from Redis in the middle, the group goes on where it was."""
    async with leading_writer(redis_url) as (writer, redis):
        await samples.create(way.url)
        async with samples.work(way.url) as one:
            await writer.commit([mail("0")])
            await one.until_done(1)
            await waits(redis)
            way.cut()
            await writer.commit([mail("1")])
            await one.until_done(2)
        assert one.done == await ids(redis)
        assert not [line for line in one.said if "missing" in line]


QUICKER = {
    "group.py": {"socket_timeout=30": "socket_timeout=1", "BLOCK_MS = 10_000": "BLOCK_MS = 200"},
    "group.mjs": {"socketTimeout: 30_000": "socketTimeout: 1_000", "BLOCK_MS = 10_000": "BLOCK_MS = 200"},
    "pubsub.py": {"get_message(timeout=10)": "get_message(timeout=0.5)"},
    "pubsub.mjs": {"socketTimeout: 20_000": "socketTimeout: 1_000", "}), 10_000)": "}), 500)"},
}
"""The times of the samples, so short that a test need not wait for them."""


@pytest.mark.parametrize("name", ["group", "pubsub"])
async def test_a_deaf_way_is_noticed(
    samples: Samples, name: str, way: RedisProxy, redis_url: str, tmp_path: Path
) -> None:
    """A connection that is open and brings nothing is given up, and what comes afterwards comes."""
    file = f"{name}.{samples.language}"
    text = (SAMPLES / file).read_text()
    for long, short in QUICKER[file].items():
        assert long in text
        text = text.replace(long, short)
    (tmp_path / file).write_text(text)
    samples = replace(samples, folder=tmp_path)
    async with leading_writer(redis_url) as (writer, redis):
        await redis.xgroup_create(KEYS.events, GROUP, "$", mkstream=True)
        words = ("work", "one") if name == "group" else ()
        async with samples.running(way.url, name, *words) as one:
            await until(lambda: _listens(redis))
            await writer.commit([mail("0")])
            await one.until_done(1)
            way.black_hole = True
            await one.until_said("Redis is away")
            way.black_hole = False
            way.cut()
            said = len(one.said)
            if name == "pubsub":
                await until(lambda: any("before this" in line for line in one.said[said:]))
                await until(lambda: _listens(redis))
            await writer.commit([mail("1")])
            await one.until_done(2)


@pytest.mark.parametrize("name", ["group", "pubsub"])
async def test_redis_is_waited_for_from_the_start(
    samples: Samples, name: str, way: RedisProxy, redis_url: str, tmp_path: Path
) -> None:
    """A sample that is started while Redis is away does not end, however long that lasts."""
    file = f"{name}.{samples.language}"
    text = (SAMPLES / file).read_text()
    if samples.language == "mjs":
        opening = "new Redis(process.env.REDIS_URL, {"
        assert opening in text
        text = text.replace(opening, f"{opening} retryStrategy: () => 10,")
    else:
        assert "time.sleep(1)" in text
        text = text.replace("time.sleep(1)", "time.sleep(0.01)")
    (tmp_path / file).write_text(text)
    samples = replace(samples, folder=tmp_path)
    async with leading_writer(redis_url) as (writer, redis):
        await redis.xgroup_create(KEYS.events, GROUP, "$", mkstream=True)
        way.leave()
        async with samples.running(way.url, name, *(("work", "one") if name == "group" else ())) as one:
            await until(lambda: one.process.returncode is not None or len(one.said) > 60)
            assert one.process.returncode is None
            await way.listen()
            await until(lambda: _listens(redis))
            await writer.commit([mail("1")])
            await one.until_done(1)


async def _listens(redis: Redis) -> bool:
    return any(client["cmd"] in ("xread", "psubscribe", "ping") for client in await redis.client_list())


async def test_the_rights_of_a_reader_suffice(samples: Samples, tmp_path: Path) -> None:
    """As the user ``reader`` of ``deploy/redis/users.acl``, over TCP with its password in the URL."""
    (tmp_path / "server").mkdir()
    with Guarded(tmp_path / "server") as guarded:
        async with (
            leading_writer(as_user(guarded.server.url, "admin")) as (writer, _),
            redis_proxy(guarded.server.url) as way,
        ):
            as_reader = as_user(way.url, "reader")
            await samples.create(as_reader)
            async with samples.work(as_reader) as one, samples.running(as_reader, "pubsub") as heard:
                await heard.until_said("before this connection")
                await writer.commit([mail("1")])
                await one.until_done(1)
            assert guarded.refusals() == []


async def test_a_subscriber_says_what_it_did_not_hear(samples: Samples, way: RedisProxy, redis_url: str) -> None:
    """A lost message, a mailbox that began anew, and each connection: pub/sub alone tells of none of them."""
    async with leading_writer(redis_url) as (writer, redis), samples.running(way.url, "pubsub") as one:
        await one.until_said("before this connection")
        await until(lambda: _subscribed(redis))
        await writer.commit([mail("1"), mail("1", mailbox="ann@gzdev.com")])
        async with lost_messages(writer):
            await writer.commit([mail("2")])
        await writer.commit([mail("3")])
        await one.until_done(3)
        [first, lost, last] = [each for each in await ids(redis) if each.split("-")[0] == one.done[0].split("-")[0]]
        assert one.done[2] == last != lost
        await one.until_said(f"of /exmail/mailbox/{BOB} between {first} and {last}")
        await redis.flushall()
        another = Writer(redis, KEYS, lease_s=60, retention=Retention())
        assert await another.claim() is not None
        await another.commit([mail("4")])
        await one.until_said(f"of /exmail/mailbox/{BOB} between {last} and ")
        said = len(one.said)
        await redis.client_kill_filter(_type="pubsub")
        await until(lambda: any("before this connection" in line for line in one.said[said:]))


async def _subscribed(redis: Redis) -> bool:
    return await redis.pubsub_numpat() == 1


def test_the_pages_name_each_sample() -> None:
    """Whoever reads about Redis, the edge or embedding finds them, and none is there that no page names."""
    pages = [Page(ROOT / "docs" / name) for name in ("events.md", "client.md", "embedding.md")]
    linked = {link.removeprefix("samples/") for page in pages for link in page.links if "samples/" in link}
    assert linked == {path.name for path in SAMPLES.iterdir() if path.is_file()}
