"""``directory`` and ``forget``: what an operator sees of the mirror, and orders a running worker to do."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bridge.commands.directory import COMMAND
from bridge.commands.leader import shown
from bridge.journal.connect import RedisAddress
from bridge.journal.mirror import Mirror
from bridge.simulator import Simulator
from tests.support.members import mirrored
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import BOB, KEYS, RunningWorker, Told, running_worker, simulating

ROOT = Path(__file__).parents[2]
SLAVE = "robert@gzdev.com"
USERS = 30


@dataclass(slots=True)
class Office:
    """A worker with a full mirror, and the program beside it."""

    url: str
    simulator: Simulator
    worker: RunningWorker
    told: Told

    async def run(self, *words: str) -> tuple[int, str, str]:
        return await run(self.url, *words)

    async def delete(self, n: int) -> list[str]:
        """Delete accounts at the provider, until they are held; their aliases in order."""
        gone = list(self.simulator.world.accounts)[-n:]
        for alias in gone:
            self.simulator.world.delete_user(alias)
        await until(lambda: self.worker.metric("directory_held") == n)
        return sorted(gone)


async def run(url: str, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the program."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", *words),
        cwd=ROOT,
        env={**kept, "PYTHONPATH": str(ROOT), "BRIDGE_REDIS_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def office(redis_url: str) -> AsyncIterator[Office]:
    client = RedisAddress(redis_url).client()
    told = Told(client)
    async with simulating(USERS) as simulator:
        simulator.world.modify_user(BOB, slaves=(SLAVE,), parties=("研发",))
        async with running_worker(redis_url, simulator) as worker:
            await told.wait("directory.synced")
            await simulator.listeners.wait_hearing()
            yield Office(redis_url, simulator, worker, told)
    await client.aclose()


async def test_accounts_are_listed_and_found(office: Office) -> None:
    """By a text in any field and in any case; as JSON one profile a line; nobody found is a failure, as with grep."""
    code, out, err = await office.run("directory", "list")
    assert (code, err) == (0, "")
    assert [line.split("\t")[0] for line in out.splitlines()] == sorted(office.simulator.world.accounts)
    for text in ("ROBERT@", "研发", "bob@GZ"):
        code, out, _ = await office.run("directory", "find", text, "--json")
        assert code == 0
        assert BOB in [json.loads(line)["alias"] for line in out.splitlines()]
    assert await office.run("directory", "find", "nobody-at-all") == (1, "", "exmail-bridge: no account holds that\n")


async def test_one_account_is_shown_by_any_address(office: Office) -> None:
    """With what the bridge knows beside the profile; one that is not there is named as deleted or unknown."""
    office.simulator.world.modify_user(BOB, open_type=2)
    await office.told.wait("directory.user.updated")
    code, out, _ = await office.run("directory", "show", SLAVE)
    facts = dict(line.split(None, 1) for line in out.splitlines() if " " in line.strip())
    assert code == 0
    assert (facts["alias"], facts["slaves"], facts["parties"], facts["enabled"]) == (BOB, SLAVE, "研发", "False")
    code, _, err = await office.run("directory", "show", "nobody@gzdev.com")
    assert code == 1
    assert "does not know it" in err
    office.simulator.world.delete_user(BOB)
    await office.told.wait("directory.user.deleted")
    code, _, err = await office.run("directory", "show", BOB)
    assert code == 1
    assert "it was deleted" in err


async def test_an_account_whose_profile_cannot_be_read_is_shown_by_name(office: Office) -> None:
    """In lists, as JSON, and alone; the others as ever."""
    await office.told.redis.hset(KEYS.directory, BOB, "odd secret")
    for words in (("list",), ("list", "--json"), ("show", BOB)):
        code, out, err = await office.run("directory", *words)
        assert code == 0
        assert BOB in out
        assert "odd" not in out + err
    code, out, _ = await office.run("directory", "list")
    assert len(out.splitlines()) == USERS


async def test_what_is_held_is_shown_and_released(office: Office) -> None:
    """The first twenty by name, the rest by number; then they are gone."""
    assert await office.run("directory", "held") == (0, "nothing is held\n", "")
    gone = await office.delete(25)
    code, out, _ = await office.run("directory", "held")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].startswith("25 accounts are gone")
    assert f"to {office.simulator.world.ver}" in lines[1]
    assert [line.split()[0] for line in lines[2:22]] == gone[:20]
    assert lines[22] == "  and 5 more"
    held = await Mirror(office.told.redis, KEYS).held()
    assert held is not None
    assert f"--release {held.digest} deletes them" in lines[23]
    code, out, err = await office.run("directory", "held", "--release", "0123456789ab")
    assert (code, out) == (1, "")
    assert "what is held has changed" in err
    assert len(await mirrored(office.told.redis)) == USERS
    assert await office.run("directory", "held", "--release", held.digest) == (0, "25 accounts deleted\n", "")
    assert len(await mirrored(office.told.redis)) == USERS - 25
    assert await office.run("directory", "held") == (0, "nothing is held\n", "")


async def test_what_is_refused_is_proposed_again_by_a_resync(office: Office) -> None:
    """Kept until then, and said so."""
    await office.delete(6)
    code, out, _ = await office.run("directory", "held", "--refuse")
    assert (code, out) == (0, "6 accounts kept; the next resync proposes them again\n")
    assert await office.told.redis.exists(KEYS.held) == 0
    code, out, _ = await office.run("directory", "resync")
    assert (code, out.splitlines()) == (
        0,
        ["0 added, 0 updated, 0 gone", "6 deletions are held; see `directory held`"],
    )
    assert len(await mirrored(office.told.redis)) == USERS


async def test_what_is_owed_is_shown(office: Office) -> None:
    """Who, since when, why, and whether he is barred meanwhile."""
    assert await office.run("directory", "owed") == (0, "nothing is owed\n", "")
    gone = list(office.simulator.world.accounts)[-1]
    office.simulator.faults.on("errcode", endpoint="user/get", value=1999)
    office.simulator.world.modify_user(BOB, name="Robert")
    office.simulator.world.delete_user(gone)
    await until(lambda: office.worker.metric("directory_owed") == 2)
    assert office.worker.metric("directory_owed_age_seconds") >= 0
    code, out, err = await office.run("directory", "owed")
    assert (code, err) == (0, "")
    told = {line.split("\t")[0]: line.split("\t")[2:] for line in out.splitlines()}
    assert told == {BOB: ["refused 1999", "as it was"], gone: ["said to be deleted, not confirmed", "barred"]}


async def test_a_mailbox_is_forgotten(office: Office) -> None:
    """By any address; nothing of it is left in Redis, and what may bring it back is said."""
    office.simulator.world.deliver_mail(BOB, subject="secret")
    await office.told.wait_mails(1)
    code, out, err = await office.run("forget", SLAVE)
    assert (code, err) == (0, "")
    assert out.startswith(f"{BOB} is forgotten")
    assert "brings it back" in out
    redis = office.told.redis
    assert BOB not in await mirrored(redis)
    assert not [key for key in await redis.keys("*") if BOB.encode() in key]
    assert not [entry for _, entry in await redis.xrange(KEYS.events) if BOB.encode() in entry[b"event"]]
    code, out, _ = await office.run("forget", BOB)
    assert (code, len(out.splitlines())) == (0, 1)


@pytest.mark.parametrize(
    "words",
    [("directory", "resync"), ("forget", BOB), ("directory", "held", "--release", "0123456789ab")],
    ids=" ".join,
)
async def test_without_a_worker_nothing_is_done(redis_url: str, words: tuple[str, ...]) -> None:
    """One clear line and exit code 1, at once."""
    client = RedisAddress(redis_url).client()
    await client.set(KEYS.held, '{"since":1,"from_ver":1,"to_ver":2,"kind":"full","why":"","aliases":["a@x.cn"]}')
    await client.aclose()
    assert await run(redis_url, *words) == (
        1,
        "",
        "exmail-bridge: no worker leads; start one, it alone changes what is stored\n",
    )


async def test_a_provider_that_is_away_is_said(office: Office) -> None:
    """The order fails, the worker goes on."""
    office.simulator.faults.on("http-status", endpoint="user/list", value=502)
    code, out, err = await office.run("directory", "resync")
    assert (code, out) == (1, "")
    assert err.startswith("exmail-bridge: the worker could not do it: ")
    assert office.worker.leads


async def test_redis_away_is_one_line(tmp_path: Path) -> None:
    """No traceback."""
    code, out, err = await run(f"unix://{tmp_path}/none.sock", "directory", "list")
    assert (code, out) == (1, "")
    assert err.startswith("exmail-bridge: Redis does not answer: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [("directory",), ("directory", "held", "--release", "a", "--refuse"), ("directory", "show", "nobody"), ("forget",)],
    ids=" ".join,
)
async def test_a_wrong_call_is_refused(redis_url: str, words: tuple[str, ...]) -> None:
    """Both decisions at once, no address, no action."""
    assert (await run(redis_url, *words))[0] == 2


def test_foreign_text_cannot_play_with_a_terminal() -> None:
    """A name with control or bidi characters is shown without them."""
    assert shown("Ann\x1b[2J\u202eeve 研发") == "Ann\ufffd[2J\ufffdeve 研发"
    assert COMMAND.name == "directory"
