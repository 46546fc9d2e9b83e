"""The feed repairs itself: whatever fails while it does so, nothing is left out and nobody is forgotten."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bridge.edge.feed import Opening, Pace
from bridge.edge.tail import Tail
from bridge.events import Position
from bridge.journal.calls import Announce
from bridge.journal.errors import JournalAway, JournalError, TakesNoWrites
from bridge.journal.reader import OpenRequest
from bridge.journal.standing import Standings
from tests.edge.test_hub import NoLoader
from tests.support.bare_edge import STILL, bare_edge, heard
from tests.support.browser_side import open_ws
from tests.support.redis_proxy import redis_proxy
from tests.support.stage import ANN, BOB, KEYS, QUICK, bearer, leading_writer, let_in, lost_messages, mail, running_edge
from tests.support.waiting import until

from .conftest import ids
from .test_endings import SilentKeys

pytestmark = pytest.mark.usefixtures("by_each_channel")

ALONE = Pace(probe_s=0.05, deaf_s=0.3, tops_s=3600, reconnect_s=0.02)


async def calls(redis: Any, command: str) -> int:
    """How often the server was asked that so far."""
    found: int = (await redis.info("commandstats")).get(f"cmdstat_{command}", {}).get("calls", 0)
    return found


async def test_a_mailbox_that_is_being_opened_is_not_idle(redis_url: str) -> None:
    """However long a handshake takes: the connection joins a tail that is still fed."""
    pace = replace(STILL, idle_s=0.02)
    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url, pace) as edge:
        opening = await edge.open()
        for _ in range(3):
            # Another mailbox that nobody looks at goes, so the round has been.
            edge.feed.opened((await edge.open(ANN)).tail)
            await until(lambda: all(tail.mailbox != ANN for tail in edge.feed._tails.values()))
        _, peer = await edge.join(opening)
        await writer.commit([mail("Z1")])
        assert b"Z1" in await heard(peer, b"Z1")


async def test_an_answer_of_another_epoch_sends_the_tail_to_the_journal(redis_url: str) -> None:
    """Pub/sub lost all of the new epoch: the next opening knows of it, and who is there begins anew."""
    async with leading_writer(redis_url) as (writer, redis), bare_edge(redis_url) as edge:
        await writer.commit([mail("Z1")])
        _, peer = await edge.join(await edge.open())
        await heard(peer, b"Z1")
        async with lost_messages(writer):
            await redis.set(KEYS.commits, 0)
            await writer.commit([mail("Z2", 7)])
        await edge.join(await edge.open())
        told = await heard(peer, b"Z2")
        assert b'"reason":"epoch"' in told


async def test_an_answer_that_live_entries_overtook_gives_nothing_twice(redis_url: str) -> None:
    """The feed was late, and the journal said of its position that it is too old; then all came in order after all."""
    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url, history_events=2) as edge:
        await writer.commit([mail("Z1")])
        opening = await edge.open()
        _, peer = await edge.join(opening)
        await heard(peer, b"Z1")
        asked = opening.tail.position
        assert asked is not None
        await writer.commit([mail(f"Z{number}") for number in range(2, 6)])
        [late] = await edge.reader.open([OpenRequest(BOB, asked)])
        assert late.status == "expired"
        await writer.commit([mail("Z6")])
        await heard(peer, b"Z6")
        edge.feed._loader._mend(opening.tail, asked, late, opening.tail.cursors)
        await writer.commit([mail("Z7")])
        told = await heard(peer, b"Z7")
        assert b"expired" not in told
        assert b"Z6" not in told


async def test_a_position_that_is_ahead_waits_for_the_leader_who_finds_out(redis_url: str) -> None:
    """Its mailbox begins anew once, with the new generation, and not on its own account before."""
    async with (
        leading_writer(redis_url) as (writer, redis),
        bare_edge(redis_url, replace(STILL, ahead_s=3600)) as edge,
    ):
        [before] = await writer.commit([mail("Z1")])
        opening = asyncio.create_task(edge.open(after=Position(before.epoch, 30)))
        await until(lambda: edge.feed._loader.waited > 0)
        await redis.set(KEYS.commits, 0)
        [after] = await writer.commit([mail("Z2")])
        opened = (await opening).opened
        assert (opened.status, opened.ahead, opened.top.epoch) == ("epoch", False, after.epoch)


async def test_a_position_that_is_ahead_waits_no_longer_than_it_may(redis_url: str) -> None:
    """Nobody finds out: then its mailbox begins anew, alone; and later at once, for who shows what nobody gave."""
    async with (
        leading_writer(redis_url) as (writer, _),
        bare_edge(redis_url, replace(STILL, ahead_s=0.1)) as edge,
    ):
        [bob] = await writer.commit([mail("Z1")])
        opened = (await edge.open(after=Position(bob.epoch, 30))).opened
        assert (opened.status, opened.ahead, opened.top.seq) == ("epoch", True, 0)
        waited = edge.feed._loader.waited
        again = (await edge.open(after=Position(opened.top.epoch, 30))).opened
        assert (again.status, again.ahead) == ("epoch", True)
        assert edge.feed._loader.waited == waited


async def test_who_is_there_waits_longer_for_the_leader_who_finds_out(redis_url: str) -> None:
    """He waits for no answer, as one at the door does: his mailbox begins anew once, however late the leader comes."""
    async with (
        leading_writer(redis_url) as (writer, redis),
        bare_edge(redis_url, replace(STILL, ahead_s=0.01, ahead_open_s=3600)) as edge,
    ):
        await writer.commit([mail("Z1"), mail("Z2")])
        opening = await edge.open()
        _, peer = await edge.join(opening)
        await heard(peer, b"Z2")
        # The server has a state of before Z2.
        await redis.hset(KEYS.state(BOB), "seq", 1)
        edge.feed._loader.gap(opening.tail, "top")
        await until(lambda: edge.feed._loader.waited > 2)
        await redis.set(KEYS.commits, 0)
        await writer.commit([mail("Z3")])
        told = await heard(peer, b"Z3")
        assert told.count(b'"reason":"epoch"') == 1


async def test_on_a_server_that_takes_no_writes_only_what_is_new_waits(redis_url: str) -> None:
    """Who opens a mailbox that nobody has seen is told to come later, and nobody else; who looks at one that would have
    to begin anew stays, and is shown it once that can be stored."""
    async with leading_writer(redis_url) as (writer, redis), bare_edge(redis_url) as edge:
        await writer.commit([mail("Z1"), mail("A1", mailbox=ANN)])
        ann = await edge.open(ANN)
        _, peer = await edge.join(ann, mailbox=ANN)
        await heard(peer, b"A1")
        generation = int(await redis.get(KEYS.generation))
        await redis.hset(KEYS.state(ANN), "generation", generation - 1)
        await redis.config_set("min-replicas-to-write", "1")
        try:
            edge.feed._loader.gap(ann.tail, "top")
            bob, nobody = await asyncio.gather(edge.open(BOB), edge.open("new@gzdev.com"), return_exceptions=True)
            assert isinstance(bob, Opening)
            assert isinstance(nobody, TakesNoWrites)
            assert edge.feed._loader.waited >= 1
            assert ann.tail.cursors
        finally:
            await redis.config_set("min-replicas-to-write", "0")
        assert b'"reason":"epoch"' in await heard(peer, b"epoch")


async def test_a_connection_lost_before_the_first_answer_is_a_gap_too(redis_url: str) -> None:
    """What was published between the journal's answer and the new connection was heard by nobody."""
    tail = Tail(BOB, NoLoader())
    async with bare_edge(redis_url) as edge:
        edge.feed._loader.gap(tail, "reconnect")
        opened = (await edge.open()).opened
    assert not tail.adopt(opened)
    assert tail.adopt(opened)
    assert Tail(BOB, NoLoader()).adopt(opened)


async def test_a_comparison_that_failed_is_made_again(redis_url: str) -> None:
    """Though nothing was written since: it has compared nothing yet."""
    pace = replace(QUICK, tops_s=0.02)
    async with (
        leading_writer(redis_url) as (writer, redis),
        running_edge(redis_url, pace) as (url, _),
        await open_ws(url, **bearer()) as client,
    ):
        await client.frame()
        await redis.set(KEYS.slaves, "of another type")
        async with lost_messages(writer):
            await writer.commit([mail("Z1")])
        before = await calls(redis, "smismember")

        async def tried_again() -> bool:
            return await calls(redis, "smismember") >= before + 3

        await until(tried_again)
        await redis.delete(KEYS.slaves)
        assert ids(await client.events(1)) == ["Z1"]


async def test_a_probe_that_cannot_be_sent_says_nothing(redis_url: str) -> None:
    """Redis takes no probe for longer than a deaf connection is borne: it is not ready, and not deaf."""
    asked: list[Any] = []
    async with (
        redis_proxy(redis_url) as way,
        leading_writer(redis_url) as (writer, _),
        running_edge(way.url, ALONE, tell_health=asked.append) as (url, metrics),
        await let_in(url) as client,
    ):
        [health] = asked

        def counted() -> list[float | None]:
            names = ("feed_deaf_total", "feed_reconnects_total")
            return [metrics.registry.get_sample_value(f"exmail_bridge_{name}") for name in names]

        await until(lambda: health() is None)
        before = counted()
        way.closed = True
        way.cut(but_pubsub=True)
        await until(lambda: health() == ("feed", "the pub/sub probe did not come back"))
        # Through the connection that is neither deaf nor lost.
        await writer.commit([mail("Z1")])
        assert ids(await client.events(1)) == ["Z1"]
        way.closed = False
        await until(lambda: health() is None)
        assert counted() == before


async def test_a_gap_waits_while_redis_is_away(redis_url: str) -> None:
    """The question failed; it is asked again, without a next message. Who comes meanwhile is told so, and not kept
    waiting for the channel of his mailbox."""
    async with (
        redis_proxy(redis_url) as way,
        leading_writer(redis_url) as (writer, _),
        bare_edge(way.url) as edge,
    ):
        _, peer = await edge.join(await edge.open())
        await heard(peer, b"snapshot")
        way.closed = True
        way.cut(but_pubsub=True)
        async with lost_messages(writer):
            await writer.commit([mail("Z1")])
        await writer.commit([mail("Z2")])
        await until(lambda: edge.count("feed_gaps_total", kind="seq") >= 1)
        # The question has failed more than once: whoever comes now comes between two tries.
        await until(lambda: way.turned_away >= 2)
        with pytest.raises(JournalAway):
            await edge.open(ANN)
        way.closed = False
        told = await heard(peer, b"Z1", b"Z2")
        assert told.index(b"Z1") < told.index(b"Z2")


async def test_rights_that_are_taken_away_for_a_while_end_nothing(redis_url: str) -> None:
    """Users are being changed: who asks is told to come later, and the edge goes on."""
    async with leading_writer(redis_url) as (writer, redis), bare_edge(redis_url) as edge:
        _, peer = await edge.join(await edge.open())
        await heard(peer, b"snapshot")
        await redis.execute_command("ACL", "SETUSER", "default", "-evalsha")
        try:
            with pytest.raises(JournalError):
                await edge.open(ANN)
            with pytest.raises(JournalError):
                await edge.open(ANN)
        finally:
            await redis.execute_command("ACL", "SETUSER", "default", "+evalsha")
        await edge.join(await edge.open(ANN), mailbox=ANN)
        await writer.commit([mail("Z1")])
        assert b"Z1" in await heard(peer, b"Z1")


async def test_a_state_that_changed_during_a_handshake_is_told(redis_url: str) -> None:
    """The snapshot is of before, and everybody else has heard of it already."""
    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url) as edge:
        await until(lambda: edge.feed.news.number > 0)
        opening = await edge.open()
        before = edge.feed.news.number
        event = Announce(mail("x").event, {"state": "connected", "since": "5", "why": "it listens"})
        await writer.commit([event])
        edge.feed.news.look()
        await until(lambda: edge.feed.news.number > before)
        _, peer = await edge.join(opening)
        told = await heard(peer, b"it listens")
        assert told.index(b"exmail.snapshot") < told.index(b'{"type":"exmail.upstream"')
        _, late = await edge.join(await edge.open())
        assert b'{"type":"exmail.upstream"' not in await heard(late, b"snapshot")


@pytest.mark.parametrize("kick", [{"mailbox": BOB}, {"session": "s-1"}], ids=["its mailbox", "its session"])
async def test_a_kick_during_a_handshake_ends_it_as_soon_as_it_has_joined(redis_url: str, kick: dict[str, str]) -> None:
    """The round went by before it was there; nobody slips through between the answer and the socket."""
    async with leading_writer(redis_url), bare_edge(redis_url) as edge:
        await edge.join(await edge.open())
        opening = await edge.open(session="s-1")
        before = edge.rounds.number
        await edge.standings.kick(**kick, kept_s=60)
        await until(lambda: edge.rounds.number > before)
        cursor, _ = await edge.join(opening, session="s-1")
        await until(lambda: cursor.connection.code == 3503)


@pytest.mark.parametrize("kick", [{"mailbox": BOB}, {"session": "s-1"}], ids=["its mailbox", "its session"])
async def test_a_kick_that_cannot_be_looked_at_now_is_looked_at_later(redis_url: str, kick: dict[str, str]) -> None:
    """It was heard, and Redis did not answer what it means: the round is made again, by itself."""
    async with (
        redis_proxy(redis_url) as way,
        leading_writer(redis_url) as (_, redis),
        bare_edge(way.url) as edge,
    ):
        cursor, _ = await edge.join(await edge.open(session="s-1"), session="s-1")
        await until(lambda: edge.rounds.number > 0)
        way.closed = True
        way.cut(but_pubsub=True)
        before = edge.rounds.number
        await Standings(redis, KEYS).kick(**kick, kept_s=60)
        await until(lambda: edge.rounds.number > before + 1)
        assert cursor.connection.code == 0
        way.closed = False
        await until(lambda: cursor.connection.code == 3503)


async def test_a_flood_on_the_channel_keeps_no_kick_from_being_heard(redis_url: str) -> None:
    """Names beyond a bound are not kept; everybody is looked at instead."""
    async with leading_writer(redis_url) as (_, redis), bare_edge(redis_url) as edge:
        cursor, _ = await edge.join(await edge.open(session="s-1"), session="s-1")
        await until(lambda: edge.rounds.number > 0)
        await Standings(redis, SilentKeys("exmail")).kick(session="s-1", kept_s=60)
        for number in range(300):
            edge.rounds.kicked(b"sid:%d" % number)
        edge.rounds.kicked(b"sid:s-1")
        await until(lambda: cursor.connection.code == 3503)


async def test_an_answer_that_a_new_snapshot_overtook_is_thrown_away(redis_url: str) -> None:
    """It belongs to what the client was told to throw away."""
    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url) as edge:
        await writer.commit([mail("Z1"), mail("Z2")])
        opening = await edge.open()
        cursor, peer = await edge.join(opening)
        await heard(peer, b"snapshot")
        epoch = opening.opened.top.epoch
        asked = Position(epoch, 0)
        old = (await edge.open(after=asked)).opened
        assert old.status == "resumed"
        cursor._reading = True
        cursor.restart(opening.opened)
        cursor.read(old, asked)
        await writer.commit([mail("Z3")])
        told = await heard(peer, b"Z3")
        assert told.count(b'"id":"%b-1"' % epoch.encode()) == 1, "in the snapshot's recent mails alone"


async def test_whoever_comes_after_the_end_is_sent_on(redis_url: str) -> None:
    """While the others are sent away: a shutting process takes nobody in."""
    async with bare_edge(redis_url) as edge:
        assert not edge.hub.closing
        edge.hub.end_all(3001)
        assert edge.hub.closing
