"""A fault plan: which faults come when, in a file that may be changed while the simulator runs.

The same file gives the same schedule, jitter included, so that a failure can be reproduced. In TOML::

    seed = 7
    repeat_s = 60          # begin again after a minute; without it the plan is done once

    [[step]]
    at_s = 2.0             # seconds after the beginning
    jitter_s = 1.0         # up to this much later
    do = "cut"             # any command, with its arguments beside it
    how = "rst"

    [[step]]
    at_s = 5
    do = "fault"
    kind = "silent"
    endpoint = "listen"
    for_s = 10
"""

from __future__ import annotations

import asyncio
import logging
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson

from .commands import CommandRefused, Commands
from .seeded import seeded

log = logging.getLogger(__name__)


class PlanError(Exception):
    """The file is not a fault plan; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and when it is carried out: seconds after the beginning of the plan."""

    at_s: float
    command: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    jitter_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Steps; with ``repeat_s`` the plan begins again after that many seconds."""

    steps: tuple[Step, ...]
    seed: int = 0
    repeat_s: float | None = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a plan from a TOML or, by its name, a JSON file.

        Raises:
            PlanError: it cannot be read.
        """
        try:
            text = path.read_bytes()
            value = orjson.loads(text) if path.suffix == ".json" else tomllib.loads(text.decode())
            return cls.parse(value)
        except (OSError, ValueError) as error:
            raise PlanError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, value: object) -> Self:
        """Make a plan of what was read from the file.

        Raises:
            ValueError: it is not a plan.
        """
        if not isinstance(value, dict):
            raise ValueError("a plan is a table")
        repeat_s, steps = value.get("repeat_s"), value.get("step", [])
        if not isinstance(steps, list):
            raise ValueError("step is a list of tables")
        plan = cls(
            steps=tuple(_step(number, step) for number, step in enumerate(steps, 1)),
            seed=int(value.get("seed", 0)),
            repeat_s=None if repeat_s is None else _seconds("repeat_s", repeat_s),
        )
        if unknown := value.keys() - {"seed", "repeat_s", "step"}:
            raise ValueError(f"unknown key {min(unknown)}")
        if plan.repeat_s == 0:
            raise ValueError("repeat_s cannot be 0")
        return plan

    def schedule(self, turn: int = 0) -> list[tuple[float, str, Mapping[str, Any]]]:
        """The commands of one turn of the plan: seconds, command, arguments; earliest first."""
        random = seeded(self.seed, turn, "plan")
        due = [(step.at_s + random.random() * step.jitter_s, step.command, step.arguments) for step in self.steps]
        return sorted(due, key=lambda command: command[0])


async def follow(path: Path, commands: Commands, *, look_every_s: float = 0.5) -> None:
    """Carry out the file's plan until cancelled. When the file changes, every fault ends and the new plan begins.

    A changed file that is not a plan is logged, and the old plan goes on.

    Raises:
        PlanError: the file was not a plan from the start.
    """
    stamp, plan = _stamp(path), _read(path, commands)
    while True:
        performing = asyncio.create_task(_perform(plan, commands), name="simulator fault plan")
        try:
            plan, stamp = await _changed(path, commands, stamp, look_every_s=look_every_s)
        finally:
            performing.cancel()
            await asyncio.gather(performing, return_exceptions=True)
        commands.do("clear", {})
        log.info("fault plan changed", extra={"steps": len(plan.steps)})


async def _changed(path: Path, commands: Commands, stamp: object, *, look_every_s: float) -> tuple[FaultPlan, object]:
    while True:
        await asyncio.sleep(look_every_s)
        if (now := _stamp(path)) == stamp:
            continue
        stamp = now
        try:
            return _read(path, commands), stamp
        except PlanError as error:
            log.warning("fault plan not understood, the old one goes on", extra={"why": str(error)})


async def _perform(plan: FaultPlan, commands: Commands) -> None:
    now: Callable[[], float] = asyncio.get_running_loop().time
    begun_s, turn = now(), 0
    while True:
        for at_s, command, arguments in plan.schedule(turn):
            await asyncio.sleep(max(0.0, begun_s + at_s - now()))
            try:
                commands.do(command, arguments)
            except CommandRefused as refused:
                log.warning("fault plan step refused", extra={"why": str(refused)})
        if plan.repeat_s is None:
            return
        turn += 1
        begun_s += plan.repeat_s
        await asyncio.sleep(max(0.0, begun_s - now()))


def _read(path: Path, commands: Commands) -> FaultPlan:
    plan = FaultPlan.read(path)
    if unknown := {step.command for step in plan.steps} - commands.names:
        raise PlanError(f"{path}: there is no command {min(unknown)}")
    return plan


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _step(number: int, value: object) -> Step:
    if not isinstance(value, dict) or not isinstance(value.get("do"), str):
        raise ValueError(f"step {number}: 'do' names a command")
    return Step(
        at_s=_seconds(f"step {number}: at_s", value.get("at_s", 0)),
        command=value["do"],
        arguments={name: item for name, item in value.items() if name not in ("at_s", "jitter_s", "do")},
        jitter_s=_seconds(f"step {number}: jitter_s", value.get("jitter_s", 0)),
    )


def _seconds(name: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} is a number of seconds, not {value!r}")
    return float(value)
