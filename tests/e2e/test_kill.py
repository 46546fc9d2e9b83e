"""kill -9 in mid-burst: the whole product as processes, the simulator's truth, and what browsers saw."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis as redis_sync

from bridge.simulator import Simulator, World
from tests.support.browser_side import open_ws
from tests.support.follower import Follower
from tests.support.processes import ROOT, Program, edge_environ, free_port, program, worker_environ
from tests.support.stage import BOB, KEYS, bearer
from tests.support.waiting import until


@asynccontextmanager
async def following(url: str, mailboxes: tuple[str, ...]) -> AsyncIterator[list[Follower]]:
    """A WebSocket and an SSE browser for each mailbox, all of them connected."""
    followers = [Follower(url, transport, mailbox) for mailbox in mailboxes for transport in ("websocket", "sse")]
    tasks = [asyncio.create_task(follower.run(), name="browser") for follower in followers]
    try:
        await until(lambda: all(follower.snapshots for follower in followers))
        yield followers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def stored_events(url: str) -> list[dict[str, Any]]:
    with redis_sync.Redis.from_url(url) as client:
        return [orjson.loads(fields[b"event"]) for _, fields in client.xrange(KEYS.events)]


def assert_in_order_and_once(follower: Follower) -> None:
    seqs = [int(event["sequence"]) for event in follower.events]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True
    assert len(set(follower.mail_ids)) == len(follower.mail_ids)
    assert all(snapshot["resumed"] for snapshot in follower.snapshots[1:])


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


async def test_an_edge_that_is_killed_in_mid_burst_costs_nobody_a_mail(redis_url: str, provider: Simulator) -> None:
    """Everything that was pushed reaches every browser exactly once and in order, over the restart."""
    port = free_port()
    environ = edge_environ(redis_url, port)
    async with program("worker", environ=worker_environ(redis_url, provider)) as worker:
        await worker.ready()
        await provider.listeners.wait_hearing(1)
        async with program("edge", environ=environ) as edge:
            await edge.ready()
            async with following(f"http://127.0.0.1:{port}", (BOB,)) as followers:
                for burst in range(20):
                    provider.world.deliver_many(10, BOB)
                    await asyncio.sleep(0)
                    if burst == 10:
                        await until(lambda: any(len(follower.events) > 20 for follower in followers))
                        await edge.kill()
                async with program("edge", environ=environ) as second:
                    await second.ready()
                    sent = [mail.mail_id for mail in provider.world.mails_of(BOB)]
                    await until(lambda: all(len(follower.mail_ids) == len(sent) for follower in followers))
                    for follower in followers:
                        assert follower.mail_ids == sent
                        assert_in_order_and_once(follower)


async def test_a_worker_that_is_killed_in_mid_burst_is_followed_by_another(redis_url: str, provider: Simulator) -> None:
    """What was committed arrives once and in order; the gap is announced; the counts are right after it."""
    port = free_port()
    environ = worker_environ(redis_url, provider)
    async with (
        program("worker", environ=environ) as first,
        program("edge", environ=edge_environ(redis_url, port)) as edge,
    ):
        await first.ready()
        await edge.ready()
        await provider.listeners.wait_hearing(1)
        async with (
            program("worker", environ=environ) as second,
            following(f"http://127.0.0.1:{port}", (BOB,)) as followers,
        ):
            await second.ready()
            for _ in range(10):
                provider.world.deliver_many(10, BOB)
                await asyncio.sleep(0)
            await until(lambda: any(len(follower.events) > 20 for follower in followers))
            # In one step: the standby follows within a fraction of a second, and this process may stand still.
            first.signal(signal.SIGKILL)
            lost = provider.world.deliver_many(30, BOB)
            await first.ended()
            await until(lambda: bool(second.said("listen session online")))
            late = [mail.mail_id for mail in provider.world.deliver_many(10, BOB)]
            await until(lambda: all(follower.mail_ids[-10:] == late for follower in followers))
            truth = provider.world.unread[BOB]
            await until(lambda: all(follower.unread == truth for follower in followers))

            stored = [event for event in stored_events(redis_url) if event["type"] == "exmail.mail.new"]
            committed = [event["data"]["mail_id"] for event in stored]
            for follower in followers:
                assert follower.mail_ids == committed
                assert_in_order_and_once(follower)
            sent = [mail.mail_id for mail in provider.world.mails_of(BOB)]
            assert committed == [mail_id for mail_id in sent if mail_id in set(committed)]
            assert set(committed) >= set(late)
            assert not {mail.mail_id for mail in lost} <= set(committed)
            kinds = [event["type"] for event in stored_events(redis_url)]
            assert "exmail.upstream.missed" in kinds
            assert kinds.count("exmail.leader.changed") == 2


async def test_a_worker_that_slept_past_its_lease_does_no_harm(redis_url: str, provider: Simulator) -> None:
    """SIGSTOP, another leads, SIGCONT: the fence refuses the sleeper, which stands by and can lead again."""
    environ = worker_environ(redis_url, provider)
    async with program("worker", environ=environ) as first:
        await first.ready()
        await until(lambda: bool(first.said("listen session online")))
        async with program("worker", environ=environ) as second:
            await second.ready()
            first.signal(signal.SIGSTOP)
            with redis_sync.Redis.from_url(redis_url) as client:
                # It has slept for as long as its lease lasts.
                client.delete(KEYS.lease)
            await until(lambda: bool(second.said("listen session online")))
            provider.world.deliver_many(20, BOB)
            first.signal(signal.SIGCONT)
            await until(lambda: bool(first.said("lease lost")))
            provider.world.deliver_many(5, BOB)
            sent = [mail.mail_id for mail in provider.world.mails_of(BOB)]

            def all_there() -> bool:
                stored = [e["data"]["mail_id"] for e in stored_events(redis_url) if e["type"] == "exmail.mail.new"]
                return stored == sent

            await until(all_there)
            assert await second.stop() == 0
            await until(lambda: len(first.said("leading")) == 2)


async def test_the_end_of_a_leader_is_known_at_once_on_its_host(redis_url: str, provider: Simulator) -> None:
    """Not its lease: that is far longer than this test waits. A standby leads, or whoever is started next."""
    environ = worker_environ(redis_url, provider, BRIDGE_WORKER_LEASE="300")
    async with program("worker", environ=environ) as first, program("worker", environ=environ) as second:
        await until(lambda: bool(first.said("listen session online") or second.said("listen session online")))
        leader, standby = (first, second) if first.said("leading") else (second, first)
        await standby.heard("standing by, another worker leads")
        await leader.kill()
        await standby.heard("listen session online")
        assert standby.said("the leader's process has ended, its lease is taken over")
        assert standby.said("leading")[0]["fence"] == 2
        provider.world.deliver_mail(BOB)
        await until(lambda: any(each["type"] == "exmail.mail.new" for each in stored_events(redis_url)))
        await standby.kill()
        async with program("worker", environ=environ) as third:
            await third.heard("listen session online")
            assert third.said("leading")[0]["fence"] == 3
            generation = standby.said("leading")[0]["generation"]
            assert third.said("leading")[0]["generation"] == generation


async def test_a_leader_that_is_stopped_is_not_taken_for_dead(redis_url: str, provider: Simulator) -> None:
    """It may wake; until its lease has run out others stand by, however often they look."""
    environ = worker_environ(redis_url, provider, BRIDGE_WORKER_LEASE="300")
    async with program("worker", environ=environ) as first:
        await first.heard("listen session online")
        first.signal(signal.SIGSTOP)
        async with program("worker", environ=environ) as second:
            await second.heard("standing by, another worker leads")
            with redis_sync.Redis.from_url(redis_url) as client:
                looked = scripts_run(client)
                await until(lambda: scripts_run(client) >= looked + 10)
            assert not second.said("leading")
            first.signal(signal.SIGCONT)
            assert await first.stop() == 0
            await second.heard("listen session online")


def scripts_run(client: redis_sync.Redis) -> int:
    """How many scripts were run; the one that stands by looks at the lease by one."""
    return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])


async def test_sigterm_hands_the_lease_over_at_once(redis_url: str, provider: Simulator) -> None:
    """Exit 0, and nobody waits for a lease to run out."""
    environ = worker_environ(redis_url, provider, BRIDGE_WORKER_LEASE="60")
    async with program("worker", environ=environ) as first:
        await until(lambda: bool(first.said("listen session online")))
        provider.world.deliver_many(50, BOB)
        assert await first.stop() == 0
    with redis_sync.Redis.from_url(redis_url) as client:
        assert client.get(KEYS.lease) is None
    async with program("worker", environ=environ) as second:
        await until(lambda: bool(second.said("listen session online")))


async def test_edge_processes_share_a_port_and_die_alone(redis_url: str, provider: Simulator) -> None:
    """--workers: one child killed, the others serve on, another one is started; SIGTERM ends all with 3001."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with program("worker", environ=worker_environ(redis_url, provider)) as worker:
        await worker.ready()
        async with program("edge", "--workers", "2", environ=edge_environ(redis_url, port)) as parent:
            await parent.ready()
            children = children_of(parent)
            assert len(children) == 2
            async with following(url, (BOB,)) as followers:
                signal_pid(children[0], signal.SIGKILL)
                await until(lambda: bool(parent.said("edge process died, starting another")))
                await provider.listeners.wait_hearing(1)
                sent = [mail.mail_id for mail in provider.world.deliver_many(20, BOB)]
                await until(lambda: all(follower.mail_ids == sent for follower in followers))
                await until(lambda: len(children_of(parent)) == 2)
            assert await parent.stop() == 0
            assert [pid for pid in children if alive(pid)] == []


async def test_an_edge_process_that_is_started_again_does_not_take_the_others_out_of_the_balancer(
    redis_url: str,
) -> None:
    """It may take long, or fail again and again, as where somebody else has its port."""
    async with program("edge", "--workers", "2", environ=edge_environ(redis_url, free_port())) as parent:
        await parent.ready()
        killed, serving = children_of(parent)
        signal_pid(killed, signal.SIGKILL)
        await until(lambda: bool({*children_of(parent)} - {killed, serving}))
        [beginner] = {*children_of(parent)} - {killed, serving}
        # Until then it is a copy of its parent, which waits for it.
        await until(lambda: words_of(beginner) not in (words_of(parent.pid), b""))
        signal_pid(beginner, signal.SIGSTOP)
        try:
            assert (await parent.admin("/readyz"))[0] == 200
        finally:
            signal_pid(beginner, signal.SIGCONT)
        await parent.ready()


@pytest.mark.parametrize("word", ["hello", "5", "{}"])
async def test_what_else_is_written_where_an_edge_process_reports_is_passed_over(
    redis_url: str, tmp_path: Path, word: str
) -> None:
    """An agent that is loaded into every Python of the machine says that it is there."""
    (tmp_path / "sitecustomize.py").write_text(f"print({word!r}, flush=True)\n")
    environ = edge_environ(redis_url, free_port(), PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
    async with program("edge", "--workers", "2", environ=environ) as parent:
        await parent.ready()
        assert not parent.said("edge process died, starting another")


async def test_a_parent_that_can_start_nobody_keeps_whom_it_has(redis_url: str) -> None:
    """A child died and there is no descriptor for the next one: the other child serves on, and so do both later."""
    port = free_port()
    async with program("edge", "--workers", "2", environ=edge_environ(redis_url, port)) as parent:
        await parent.ready()
        children = children_of(parent)
        soft, hard = resource.prlimit(parent.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(parent.pid, resource.RLIMIT_NOFILE, (3, hard))
        signal_pid(children[0], signal.SIGKILL)
        [line] = await parent.heard("edge process cannot be started")
        assert "Too many open files" in line["error"]
        assert children_of(parent) == children[1:]
        async with await open_ws(f"http://127.0.0.1:{port}", **bearer(BOB)) as browser:
            await browser.until("exmail.snapshot")
        resource.prlimit(parent.pid, resource.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: len(children_of(parent)) == 2)
        await parent.ready()
        assert children[1] in children_of(parent)


async def test_an_edge_process_that_hangs_is_noticed_and_replaced(redis_url: str) -> None:
    """Stopped, not dead: the parent is not ready, says which, and another serves in its place."""
    port = free_port()
    async with program("edge", "--workers", "2", environ=edge_environ(redis_url, port)) as parent:
        await parent.ready()
        children = children_of(parent)
        signal_pid(children[0], signal.SIGSTOP)

        async def named() -> bool:
            if parent.said("edge process hangs, it is ended"):
                # This test was not there to see it.
                return True
            status, text = await parent.admin("/readyz")
            return status == 503 and "has said nothing for" in text

        await until(named)
        await until(lambda: bool(parent.said("edge process hangs, it is ended")))
        await parent.ready()
        assert children[0] not in children_of(parent)
        assert children[1] in children_of(parent)


@pytest.fixture
def terminal() -> Iterator[int]:
    """The end of a terminal that a program has as its standard input."""
    ours, theirs = os.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


async def test_a_closed_terminal_ends_an_edge_as_orderly_as_a_stop(redis_url: str, terminal: int) -> None:
    """SIGHUP to a program with a terminal: browsers are told to come back, and it ends as it does otherwise."""
    port = free_port()
    async with program("edge", environ=edge_environ(redis_url, port), stdin=terminal) as edge:
        await edge.ready()
        async with await open_ws(f"http://127.0.0.1:{port}", **bearer()) as browser:
            await browser.frame()
            edge.signal(signal.SIGHUP)
            assert await browser.end() == 3001
        assert await edge.ended() == 0


async def test_an_edge_without_a_leader_is_ready_and_says_so(redis_url: str, provider: Simulator) -> None:
    """A pause of the worker must not empty the balancer; who asks is told, and a metric knows."""
    port = free_port()
    async with program("edge", environ=edge_environ(redis_url, port)) as edge:
        await edge.ready()

        async def told(words: str, seen: str) -> bool:
            status, text = await edge.admin("/readyz")
            _, metrics = await edge.admin("/metrics")
            return (
                status == 200
                and words in text
                and f'exmail_bridge_edge_leader_seen{{namespace="exmail"}} {seen}' in metrics
            )

        await until(lambda: told("ok\nno worker leads", "0.0"))
        async with program("worker", environ=worker_environ(redis_url, provider)) as worker:
            await worker.ready()
            await until(lambda: told("ok\n", "1.0"))


async def test_edge_children_end_with_a_killed_parent(redis_url: str) -> None:
    """kill -9 of the parent leaves no process behind that holds the port."""
    port = free_port()
    async with program("edge", "--workers", "2", environ=edge_environ(redis_url, port)) as parent:
        await parent.ready()
        children = children_of(parent)
        parent.process.kill()
        await parent.process.wait()
        await until(lambda: not any(alive(pid) for pid in children))
    async with program("edge", environ=edge_environ(redis_url, port)) as again:
        await again.ready()


def children_of(parent: Program) -> list[int]:
    with open(f"/proc/{parent.pid}/task/{parent.pid}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def words_of(pid: int) -> bytes:
    """The words with which a process was started; it has its parent's until it runs its own program."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def signal_pid(pid: int, number: signal.Signals) -> None:
    os.kill(pid, number)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
