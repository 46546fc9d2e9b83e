"""Parties (部门): a tree of paths, and the writes to it that do not show yet (protocol 3.3.5).

The real server shows a party some 0.5–1 s after it accepted the write: clients add a party and wait before they put
somebody into it. So there are two trees. A write is judged by what was accepted before it, at once; everybody who
looks, ``user/sync`` with its PartyPath too, sees the tree of the writes that have become due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bridge.simulator.world.account import Action

Path = tuple[str, ...]

ROOT: Path = ()
MOST_LEVELS = 5
MOST_CHARACTERS = 64


class BadPath(ValueError):
    """This cannot be the path of a party."""


class PartyExists(ValueError):
    """The path is taken."""


class PartyInUse(ValueError):
    """The party has members, in it or below."""


class NoSuchParty(KeyError):
    """No party has this path."""


def parse(text: str) -> Path:
    """A path as it is written: '/' separates, one may stand in front, the root has no name.

    Raises:
        BadPath: an empty or too long level, or too many of them.
    """
    text = text.strip().removeprefix("/")
    path = tuple(text.split("/")) if text else ROOT
    if len(path) > MOST_LEVELS:
        raise BadPath(f"{text}: more than {MOST_LEVELS} levels")
    if any(not level.strip() or len(level) > MOST_CHARACTERS for level in path):
        raise BadPath(f"{text}: a level has 1 to {MOST_CHARACTERS} characters")
    return path


def write(path: Path) -> str:
    """A path as the provider writes it."""
    return "/".join(path)


def is_within(path: Path, party: Path) -> bool:
    """Whether ``path`` is the party or lies below it."""
    return path[: len(party)] == party


@dataclass(frozen=True, slots=True)
class PartyWrite:
    """One accepted ``party/sync``; only MOD has a ``src``."""

    action: Action
    dst: Path
    src: Path = ROOT

    def moved(self, path: Path) -> Path:
        """Where ``path`` is after this write."""
        if self.action is Action.MOD and is_within(path, self.src):
            return self.dst + path[len(self.src) :]
        return path

    def applied(self, paths: Iterable[Path]) -> dict[Path, None]:
        """The tree after this write, in the order of before."""
        match self.action:
            case Action.DEL:
                return {path: None for path in paths if not is_within(path, self.dst)}
            case Action.ADD:
                parents = (self.dst[:depth] for depth in range(1, len(self.dst) + 1))
                return dict.fromkeys([*paths, *parents])
            case Action.MOD:
                return {self.moved(path): None for path in paths}


class Parties:
    """The two trees. ``now`` gives epoch seconds."""

    __slots__ = ("_accepted", "_now", "_pending", "_visible")

    def __init__(self, *, now: Callable[[], float]) -> None:
        self._now = now
        self._accepted: dict[Path, None] = {}
        self._visible: dict[Path, None] = {}
        self._pending: deque[tuple[float, PartyWrite]] = deque()

    @property
    def paths(self) -> list[str]:
        """The parties that can be seen, as paths without the root, oldest first."""
        return [write(path) for path in self._visible]

    @property
    def pending(self) -> list[PartyWrite]:
        """What was accepted and does not show yet, oldest first."""
        return [waiting for _, waiting in self._pending]

    @property
    def due_in_s(self) -> float | None:
        """Seconds until the next write shows; None: there is none."""
        return max(0.0, self._pending[0][0] - self._now()) if self._pending else None

    def children(self, party: Path) -> list[str]:
        """The names of the parties right below, not those further down (protocol 3.3.6).

        Raises:
            NoSuchParty: it cannot be seen.
        """
        self.require(party)
        depth = len(party)
        return [path[depth] for path in self._visible if len(path) == depth + 1 and path[:depth] == party]

    def require(self, party: Path) -> None:
        """Make sure that a party can be seen; the root always can.

        Raises:
            NoSuchParty: it cannot.
        """
        if party != ROOT and party not in self._visible:
            raise NoSuchParty(write(party))

    def takes_members(self, party: Path) -> bool:
        """Whether somebody can be put into it now: it can be seen and is not about to be deleted."""
        return party == ROOT or (party in self._visible and self._fate(party) is not None)

    def accept(self, asked: PartyWrite, *, occupied: Iterable[Path], delay_s: float) -> None:
        """Judge a write by what was accepted before; it shows ``delay_s`` later, never before an older one.

        ``occupied`` are the visible paths that members are in. ADD makes the parents that are missing; DEL takes
        the empty parties below along; the new parent of a MOD must exist.

        Raises:
            BadPath: the root cannot be written to, and a party cannot move below itself or too deep.
            NoSuchParty: what shall be deleted or moved, or the new parent, does not exist.
            PartyExists: what shall be added, or moved to, does.
            PartyInUse: what shall be deleted has members.
        """
        match asked.action:
            case Action.ADD:
                self._judge_new(asked.dst)
            case Action.DEL:
                self._judge_old(asked.dst)
                if any(is_within(self._fate(path) or ROOT, asked.dst) for path in occupied):
                    raise PartyInUse(f"{write(asked.dst)} has members")
            case Action.MOD:
                self._judge_move(asked)
        self._accepted = asked.applied(self._accepted)
        newest_s = self._pending[-1][0] if self._pending else 0.0
        self._pending.append((max(newest_s, self._now() + delay_s), asked))

    def show(self, *, everything: bool = False) -> list[PartyWrite]:
        """Let the due writes show, or all that wait; returns them, oldest first."""
        shown = []
        while self._pending and (everything or self._pending[0][0] <= self._now()):
            _, due = self._pending.popleft()
            self._visible = due.applied(self._visible)
            shown.append(due)
        return shown

    def _judge_new(self, path: Path) -> None:
        if path == ROOT:
            raise BadPath("the root is not written to")
        if path in self._accepted:
            raise PartyExists(f"{write(path)} exists")

    def _judge_old(self, path: Path) -> None:
        if path == ROOT:
            raise BadPath("the root is not written to")
        if path not in self._accepted:
            raise NoSuchParty(write(path))

    def _judge_move(self, asked: PartyWrite) -> None:
        self._judge_old(asked.src)
        self._judge_new(asked.dst)
        if is_within(asked.dst, asked.src):
            raise BadPath(f"{write(asked.src)} cannot move below itself")
        if (parent := asked.dst[:-1]) != ROOT and parent not in self._accepted:
            raise NoSuchParty(write(parent))
        if max(len(asked.moved(path)) for path in self._accepted) > MOST_LEVELS:
            raise BadPath(f"more than {MOST_LEVELS} levels")

    def _fate(self, path: Path) -> Path | None:
        """Where a visible path will be when all writes show; None: one of them deletes it."""
        for waiting in self.pending:
            if waiting.action is Action.DEL and is_within(path, waiting.dst):
                return None
            path = waiting.moved(path)
        return path
