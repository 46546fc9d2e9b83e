"""What departments shall be, what they are, and the steps from one to the other, in an order that works. Pure.

Rows are about the tree as it was before the run, and what they want can be seen in the tree afterwards; so a run that
was stopped can be started again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bridge.commands.api.ending import Ending
from bridge.commands.api.report import Result
from bridge.commands.api.sheet import Fault
from bridge.commands.api.wanted import Change
from bridge.provider.bizmail.endpoints import PARTY_ADD, PARTY_DELETE, PARTY_MOVE
from bridge.provider.bizmail.form import fill
from bridge.provider.faults import BadParameter
from bridge.provider.members import Action

Kind = Literal["add", "move", "delete", "unchanged"]


@dataclass(frozen=True, slots=True)
class Department:
    """One department as a row wants it: there, or not (``DEL``), or moved from ``source`` (``MOD``)."""

    line: int
    path: str
    action: Action
    source: str = ""

    @property
    def name(self) -> str:
        """By which the row is told: the path that it has before the run."""
        return self.source or self.path

    def done(self, kind: Kind) -> Result:
        """The result of a row that was done, or would be."""
        changes = (Change("party", (self.source,), (self.path,)),) if kind == "move" else ()
        return Result(self.line, self.name, kind, changes=changes)

    def refused(self, why: str, ending: Ending = Ending.REFUSED) -> Result:
        """The result of a row that cannot be done."""
        return Result(self.line, self.name, ending=ending, error=why)


@dataclass(slots=True)
class Plan:
    """What a run would do: each row with its step, or with why there is none, in the order of the run.

    ``disappearing``: how many departments are deleted, with those below.
    """

    steps: list[tuple[Department, Kind | Result]] = field(default_factory=list)
    disappearing: int = 0


@dataclass(slots=True)
class Failed:
    """The rows that were not done: what depends on one of them is left alone."""

    paths: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)

    def add(self, row: Department) -> None:
        """This one was not done."""
        if row.action is not Action.DEL:
            self.paths[row.path] = row.line
        if row.source:
            self.sources[row.source] = row.line

    def needed_by(self, row: Department) -> str:
        """Why a row has to be left alone; ``""`` if nothing that it needs has failed.

        A department below one that was not moved would make another of that name. Who was to be moved out of a
        department would be deleted with it.
        """
        if row.action is Action.DEL:
            lines = [line for source, line in self.sources.items() if is_within(source, row.path)]
        else:
            lines = [self.paths[path] for path in _above(row.path) if path in self.paths]
        return f"left alone, because line {lines[0]} was not done" if lines else ""


def is_within(path: str, other: str) -> bool:
    """Whether a department is the other one or lies below it."""
    return path == other or path.startswith(f"{other}/")


def _above(path: str) -> Iterator[str]:
    """The departments above one, from the top."""
    levels = path.split("/")
    return ("/".join(levels[:depth]) for depth in range(1, len(levels)))


def department_of(line: int, values: Mapping[str, object], action: Action | None) -> Department:
    """The department that a row wants, every value checked. Without an action it shall be there, moved if the row says
    from where.

    Raises:
        BadParameter: a value breaks a rule of the document.
    """
    source = values.get("source")
    action = action or (Action.ADD if source is None else Action.MOD)
    if action is Action.MOD:
        form = dict(fill(PARTY_MOVE, {"source": source, "target": values.get("party")}))
        if is_within(form["DstPath"], form["SrcPath"]):
            raise BadParameter("DstPath", "must be another path, and not below SrcPath", PARTY_MOVE.section)
        return Department(line, form["DstPath"], action, form["SrcPath"])
    endpoint = PARTY_ADD if action is Action.ADD else PARTY_DELETE
    if source is not None:
        raise BadParameter("SrcPath", "goes with MOD only", endpoint.section)
    return Department(line, dict(fill(endpoint, {"party": values.get("party")}))["DstPath"], action)


def conflicts(rows: Iterable[Department]) -> list[Fault]:
    """Rows that contradict each other, or of which one makes it unclear what the other means."""
    rows = list(rows)
    paths: dict[str, int] = {}
    moved: dict[str, int] = {}
    deleted = {row.path: row.line for row in rows if row.action is Action.DEL}
    faults = []
    for row in rows:
        for seen, path in ((paths, row.path), (moved, row.source)):
            if path and seen.setdefault(path, row.line) != row.line:
                faults.append(Fault(row.line, f"{path} stands in line {seen[path]} too"))
    for row in rows:
        for path in filter(None, (row.path, row.source)):
            for other in (*_above(path), path):
                if (line := moved.get(other, row.line)) != row.line:
                    faults.append(
                        Fault(row.line, f"{path} is in {other}, which line {line} moves; do one after the other")
                    )
        for other in () if row.action is Action.DEL else (*_above(row.path), row.path):
            if (line := deleted.get(other, row.line)) != row.line:
                faults.append(Fault(row.line, f"{row.path} is in {other}, which line {line} deletes"))
    first: dict[int | None, Fault] = {}
    for fault in faults:
        first.setdefault(fault.line, fault)
    return sorted(first.values(), key=lambda fault: fault.line or 0)


def ordered(rows: Iterable[Department]) -> list[Department]:
    """The order of a run: what is added or moved from the top down, since the one above has to be there; then what is
    deleted from the bottom up, when all have been moved out of it."""

    def place(row: Department) -> tuple[bool, int, int]:
        deletes = row.action is Action.DEL
        depth = row.path.count("/")
        return deletes, -depth if deletes else depth, row.line

    return sorted(rows, key=place)


def plan_of(rows: Sequence[Department], there: Iterable[str]) -> Plan:
    """Compare what is wanted with the departments that are there."""
    plan, failed, tree = Plan(), Failed(), set(there)
    for row in ordered(rows):
        why = failed.needed_by(row)
        step = row.refused(why) if why else _step(row, tree)
        plan.steps.append((row, step))
        if isinstance(step, Result):
            failed.add(row)
        elif step == "add":
            tree.update((*_above(row.path), row.path))
        elif step == "move":
            moving = {path for path in tree if is_within(path, row.source)}
            tree -= moving
            tree |= {row.path + path[len(row.source) :] for path in moving}
        elif step == "delete":
            gone = {path for path in tree if is_within(path, row.path)}
            tree -= gone
            plan.disappearing += len(gone)
    return plan


def _step(row: Department, there: set[str]) -> Kind | Result:
    is_there = row.path in there
    if row.action is Action.DEL:
        return "delete" if is_there else "unchanged"
    if row.action is Action.ADD:
        return "unchanged" if is_there else "add"
    if row.source not in there:
        return "unchanged" if is_there else row.refused("there is no such department", Ending.NOT_FOUND)
    if is_there:
        return row.refused(f"{row.path} is there already")
    if missing := [path for path in _above(row.path) if path not in there]:
        return row.refused(f"there is no department {missing[0]}; a row of its own adds it")
    return "move"
