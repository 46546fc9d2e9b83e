"""Fault plans: a seeded schedule in a file that may change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bridge.simulator import FaultPlan, Kind, PlanError, Simulator
from bridge.simulator.plan import follow
from tests.support.waiting import PATIENCE_S

PLAN = """
seed = 7

[[step]]
at_s = 5
do = "cut"
how = "rst"

[[step]]
at_s = 2
jitter_s = 10
do = "fault"
kind = "silent"
endpoint = "listen"
for_s = 3
"""
JSON_PLAN = """{"seed": 7, "step": [
    {"at_s": 5, "do": "cut", "how": "rst"},
    {"at_s": 2, "jitter_s": 10, "do": "fault", "kind": "silent", "endpoint": "listen", "for_s": 3}]}"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@asynccontextmanager
async def following(path: Path, simulator: Simulator) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(follow(path, simulator.commands, look_every_s=0.01))
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_toml_and_json_are_the_same_plan(tmp_path):
    """A plan may be written in either."""
    toml, json = write(tmp_path / "plan.toml", PLAN), write(tmp_path / "plan.json", JSON_PLAN)
    assert FaultPlan.read(toml) == FaultPlan.read(json)


def test_schedule_is_seeded(tmp_path):
    """The same seed has the same jitter, each turn its own; steps come in the order of their time."""
    plan = FaultPlan.read(write(tmp_path / "plan.toml", PLAN))
    assert plan.schedule() == plan.schedule()
    assert plan.schedule(0) != plan.schedule(1)
    for turn in range(10):
        times = [at_s for at_s, *_ in plan.schedule(turn)]
        assert times == sorted(times)
        silent_s = next(at_s for at_s, command, _ in plan.schedule(turn) if command == "fault")
        assert 2 <= silent_s <= 12


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("step = 3", "step"),
        ("seed = [", "Invalid value"),
        ("colour = 'red'", "unknown key colour"),
        ("repeat_s = 0", "repeat_s"),
        ("[[step]]\nat_s = 1", "step 1: 'do'"),
        ("[[step]]\ndo = 'cut'\nat_s = -1", "step 1: at_s"),
        ("[[step]]\ndo = 'cut'\nat_s = 'soon'", "step 1: at_s"),
        ("[[step]]\ndo = 'cut'\n[[step]]\ndo = 'dance'", "no command dance"),
    ],
)
async def test_what_is_no_plan_is_refused_at_the_start(simulate, tmp_path, text, why):
    """One clear error with the file's name, before anything is broken."""
    simulator = await simulate()
    path = write(tmp_path / "plan.toml", text)
    with pytest.raises(PlanError, match=why) as caught:
        await follow(path, simulator.commands)
    assert str(path) in str(caught.value)


async def test_missing_file_is_refused(simulate, tmp_path):
    """A plan that was asked for must be there."""
    simulator = await simulate()
    with pytest.raises(PlanError, match=r"none\.toml"):
        await follow(tmp_path / "none.toml", simulator.commands)


async def test_steps_are_done(simulate, dial, world, tmp_path):
    """A step switches a fault on, and off again after its time."""
    simulator = await simulate()
    wire = await dial(simulator)
    step = "[[step]]\ndo = 'fault'\nkind = 'errcode'\nvalue = 1002\nendpoint = 'user/list'\nfor_s = 1"
    async with following(write(tmp_path / "plan.toml", step), simulator):
        async with asyncio.timeout(PATIENCE_S):
            while "errcode" not in await wire.call("/openapi/user/list", "Ver=0"):
                pass
            assert simulator.calls.count("user/list", "1002") == 1
            while "errcode" in await wire.call("/openapi/user/list", "Ver=0"):
                pass
    assert not simulator.faults.active


async def test_plan_begins_again(simulate, dial, tmp_path):
    """With ``repeat_s`` the same things happen again and again."""
    simulator = await simulate()
    wire = await dial(simulator)
    plan = "repeat_s = 0.02\n[[step]]\ndo = 'fault'\nkind = 'errcode'\nvalue = 1002\ntimes = 1"
    async with following(write(tmp_path / "plan.toml", plan), simulator):
        async with asyncio.timeout(PATIENCE_S):
            while simulator.faults.struck(Kind.ERRCODE) < 3:
                await wire.call("/openapi/user/list", "Ver=0")


async def test_changed_file_is_read_again(simulate, dial, tmp_path, caplog):
    """A new plan ends the old one's faults; a file that is no plan any more is reported and changes nothing."""
    simulator = await simulate()
    wire = await dial(simulator)

    async def until(code: str | None) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (await wire.call("/openapi/user/list", "Ver=0")).get("errcode") != code:
                pass

    plan = "[[step]]\ndo = 'fault'\nkind = 'errcode'\nvalue = {}"
    path = write(tmp_path / "plan.toml", plan.format(1002))
    async with following(path, simulator):
        await until("1002")
        with caplog.at_level(logging.WARNING, "bridge.simulator.plan"):
            write(path, "[[[")
            async with asyncio.timeout(PATIENCE_S):
                while not caplog.records:
                    await wire.call("/openapi/user/list", "Ver=0")
        assert caplog.records[0].getMessage() == "fault plan not understood, the old one goes on"
        await until("1002")
        write(path, plan.format(10001))
        await until("10001")
        write(path, "seed = 1")
        await until(None)


async def test_a_step_that_does_not_fit_is_reported(simulate, tmp_path, caplog):
    """Wrong arguments of one step do not end the plan."""
    simulator = await simulate()
    steps = "[[step]]\ndo = 'fault'\nkind = 'gremlin'\n[[step]]\ndo = 'fault'\nkind = 'drip'\nat_s = 0.01"
    async with following(write(tmp_path / "plan.toml", steps), simulator):
        wire_free = asyncio.Event()
        simulator.faults.watch(wire_free.set)
        async with asyncio.timeout(PATIENCE_S):
            await wire_free.wait()
    assert [record.getMessage() for record in caplog.records] == ["fault plan step refused"]
    assert [fault.kind for fault in simulator.faults.active] == [Kind.DRIP]
