"""Upgrades and the way back: these programs on data and with the ACL file of earlier releases, and those on ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.simulator import Simulator, World
from tests.support.browser_side import open_ws
from tests.support.follower import Follower
from tests.support.guarded import USERS, Guarded
from tests.support.processes import edge_environ, free_port, program, worker_environ
from tests.support.releases import Earlier, load, users_before
from tests.support.stage import ANN, BOB, KEYS, bearer, mail
from tests.support.waiting import PATIENCE_S, until

CARL, SLAVE = "carl@gzdev.com", "robert@gzdev.com"
RELEASES = ("first", "previous")


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    """The corporation whose data those are, Carl disabled as before."""
    world = World(7, users=1)
    for alias in (ANN, CARL):
        world.add_user(alias)
    world.modify_user(BOB, slaves=(SLAVE,))
    world.modify_user(CARL, open_type=2)
    async with await Simulator.start(world) as simulator:
        yield simulator


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as server:
        yield server


@asynccontextmanager
async def serving(guarded: Guarded, provider: Simulator) -> AsyncIterator[str]:
    """Worker and edge of this release, stopped in order at the end; the edge's URL."""
    url, port = guarded.server.url, free_port()
    async with (
        program("worker", environ=worker_environ(url, provider) | guarded.settings("worker")) as worker,
        program("edge", environ=edge_environ(url, port) | guarded.settings("edge")) as edge,
    ):
        await worker.ready()
        await edge.ready()
        await provider.listeners.wait_hearing(1)
        yield f"http://127.0.0.1:{port}"
        for each in (edge, worker):
            assert await each.stop() == 0, each.lines


def dump(client: Any) -> dict[bytes, Any]:
    return {key: client.dump(key) for key in client.scan_iter()}


def mail_ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["data"]["mail_id"] for event in events if event["type"] == "exmail.mail.new"]


def history(client: Any, mailbox: str) -> list[dict[str, Any]]:
    return [json.loads(fields[b"event"]) for _, fields in client.xrange(KEYS.log(mailbox))]


async def opened(url: str, mailbox: str, after: str) -> tuple[dict[str, Any], list[str]]:
    """A browser that comes back: its snapshot, and the ids of the two mails that follow."""
    async with await open_ws(url, f"/ws?after={after}", **bearer(mailbox)) as client:
        snapshot = (await client.until("exmail.snapshot")).data["data"]
        mails: list[str] = []
        while len(mails) < 2:
            [event] = await client.events(1)
            mails += [event["data"]["mail_id"]] if event["type"] == "exmail.mail.new" else []
        return snapshot, mails


@pytest.mark.parametrize("release", RELEASES)
async def test_what_earlier_releases_wrote_is_served(release: str, guarded: Guarded, provider: Simulator) -> None:
    """Browsers of before are resumed, counts and aliases stand, who was disabled then is barred now, mail goes on."""
    with guarded.client("admin") as admin:
        data = load(admin, release, ver=provider.world.ver)
        log = [fields["event"] for _, fields in data[KEYS.log(BOB)]["stream"]]
        epoch = data[KEYS.state(BOB)]["hash"]["epoch"]
        async with serving(guarded, provider) as url:
            for address in (BOB, SLAVE):
                snapshot, mails = await opened(url, address, f"{epoch}-1")
                assert (snapshot["resumed"], snapshot["mailbox"]) == (True, BOB)
                assert all(mail_id in event for mail_id, event in zip(mails, log[1:], strict=True))
            await until(lambda: bool(admin.sismember(KEYS.barred, CARL)))
            async with await open_ws(url, **bearer(CARL)) as client:
                assert await client.end() == 3507
            sent = [each.mail_id for each in provider.world.deliver_many(2, BOB)]
            snapshot, mails = await opened(url, BOB, f"{epoch}-3")
            assert (snapshot["resumed"], mails) == (True, sent)
        # What the client of this test says of itself is none of theirs.
    assert {each for each in guarded.refusals() if "setinfo" not in each} == set()


@pytest.mark.parametrize("words", [("worker",), ("edge",)])
async def test_the_file_of_before_is_told_which_line_it_lacks(
    words: tuple[str, ...], tmp_path: Path, guarded: Guarded, provider: Simulator
) -> None:
    """New programs under the previous release's users: one line and an end, and nothing is written."""
    guarded.file.write_text(users_before(tmp_path, guarded.passwords))
    with guarded.client("admin") as admin:
        load(admin, "previous", ver=provider.world.ver)
        # Some servers cut whoever is connected then.
        admin.acl_load()
    with guarded.client("admin") as admin:
        before = dump(admin)
        made_environ = worker_environ if words == ("worker",) else edge_environ
        where: Any = provider if words == ("worker",) else free_port()
        environ = made_environ(guarded.server.url, where) | guarded.settings(words[0])
        async with program(*words, environ=environ) as run:
            assert await run.ended() == 1
            [line] = [str(each) for each in run.lines if "lacks a right" in str(each)]
        assert "deploy/redis/users.acl" in line
        assert KEYS.moved in line
        assert dump(admin) == before


@pytest.mark.parametrize("release", RELEASES)
async def test_the_way_back(release: str, guarded: Guarded, provider: Simulator) -> None:
    """The scripts of before, on what these programs have written and under these users: they lead in the same
    generation, number on in the same epoch, know the mails that we published, and give browsers what follows."""
    with guarded.client("admin") as admin:
        data = load(admin, release, ver=provider.world.ver)
        epoch = data[KEYS.state(BOB)]["hash"]["epoch"]
        async with serving(guarded, provider):
            sent = [each.mail_id for each in provider.world.deliver_many(2, BOB)]
            await until(lambda: mail_ids(history(admin, BOB))[-2:] == sent)
            await until(lambda: bool(admin.sismember(KEYS.barred, CARL)))
        generation = int(admin.get(KEYS.generation))
        # A count may have been confirmed meanwhile, which is an event as well.
        seq = int(admin.hget(KEYS.state(BOB), "seq"))
    with guarded.client("worker") as worker, guarded.client("edge") as edge:
        earlier = Earlier(release, worker, edge)
        lease, commits, found = earlier.claim()
        assert found == generation
        assert earlier.record(mail(sent[1], 7), lease=lease, call=commits + 1)[:3] == [1, epoch.encode(), seq + 1]
        assert earlier.record(mail(sent[1], 7), lease=lease, call=commits + 2) == [2]
        assert earlier.record(mail("Z9", 8), lease=lease, call=commits + 3)[:3] == [1, epoch.encode(), seq + 2]
        answer = earlier.open(BOB, f"{epoch}-3")
        assert answer[1:4] == [epoch.encode(), seq + 2, b"8"]
        assert answer[5] == b"resumed"
        events = [json.loads(event) for event in answer[6]]
        assert mail_ids(events) == [*sent, "Z9"]
        assert [event["type"] for event in events[-2:]] == ["exmail.mail.unread", "exmail.mail.new"]
        assert earlier.open(SLAVE, "")[:2] == [2, BOB.encode()]
        if release == "previous":
            assert earlier.open(CARL, "") == [3]
        earlier.release_lease(lease)
    # What the client of this test says of itself is none of theirs.
    assert {each for each in guarded.refusals() if "setinfo" not in each} == set()


@pytest.mark.parametrize("release", RELEASES)
async def test_a_page_sees_no_seam(release: str, guarded: Guarded, provider: Simulator) -> None:
    """A browser that was there before, while the worker of before leads, then one of ours, then that of before again:
    each mail once, each position after the one before it, and nothing begins anew."""
    port = free_port()
    page = Follower(f"http://127.0.0.1:{port}", "websocket", BOB)
    with guarded.client("admin") as admin, guarded.client("worker") as worker, guarded.client("edge") as edge:
        epoch = load(admin, release, ver=provider.world.ver)[KEYS.state(BOB)]["hash"]["epoch"]
        page.position = f"{epoch}-1"
        earlier = Earlier(release, worker, edge)
        lease, commits, generation = earlier.claim()
        async with (
            program("edge", environ=edge_environ(guarded.server.url, port) | guarded.settings("edge")) as door,
            program(
                "worker", environ=worker_environ(guarded.server.url, provider) | guarded.settings("worker")
            ) as ours,
        ):
            await door.ready()
            looking = asyncio.create_task(page.run(), name="browser")
            assert earlier.record(mail("Z8", 7), lease=lease, call=commits + 1)[0] == 1
            await until(lambda: page.mail_ids[-1:] == ["Z8"])
            await ours.ready()
            earlier.release_lease(lease)
            await provider.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
            sent = [each.mail_id for each in provider.world.deliver_many(2, BOB)]
            await until(lambda: page.mail_ids[-2:] == sent)
            assert await ours.stop() == 0
            lease, commits, found = earlier.claim()
            assert earlier.record(mail("Z9", 8), lease=lease, call=commits + 1)[0] == 1
            await until(lambda: page.mail_ids[-1:] == ["Z9"])
            looking.cancel()
            earlier.release_lease(lease)
    assert found == generation
    assert [event["id"] for event in page.events] == [f"{epoch}-{seq}" for seq in range(2, 2 + len(page.events))]
    assert len(set(page.mail_ids)) == len(page.mail_ids)
    # Who was told nothing for long has come again.
    assert {snapshot["resumed"] for snapshot in page.snapshots} == {True}


def test_every_user_of_before_is_one_of_ours(tmp_path: Path) -> None:
    """Whoever loads our file locks out no program of before."""
    for user in USERS:
        (tmp_path / user).write_text("hush")
    names = {line.split()[1] for line in users_before(tmp_path, tmp_path).splitlines()}
    assert {"worker", "edge"} < names <= {*USERS, "default"}
