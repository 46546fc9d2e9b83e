"""What is broken at the moment. Each fault is switched on and off while the simulator runs.

A fault is a fact that the endpoints and listeners ask about when they are about to speak; it does nothing itself.
Commands (cutting a connection) are methods of `Simulator`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from bridge.simulator.bell import PATIENCE_S, Bell
from bridge.simulator.faults.defects import Defect
from bridge.simulator.seeded import seeded

FaultValue = int | float | str | None


class Kind(StrEnum):
    """The faults, and what their ``value`` means."""

    ERRCODE = "errcode"
    """Calls are refused with this errcode: 1200, 1002, 10001, 1301 …"""
    HTTP_STATUS = "http-status"
    """Calls are answered with this HTTP status and a page of HTML: 500, 502; 200 as during maintenance."""
    ANSWER = "answer"
    """Calls are answered with this text as the whole body, whatever was asked; the status is 200."""
    RATE = "rate"
    """More than this many calls within a second are refused, with an errcode that no document has (45009)."""
    RATE_PAGE = "rate-page"
    """More than this many calls within a second are answered with status 200 and a page of HTML."""
    DELAY = "delay"
    """Calls are answered this many seconds later."""
    LOST = "lost"
    """Calls are carried out, and the connection breaks in place of the answer."""
    SILENT = "silent"
    """Half-open: the connection stays, nothing is answered and nothing is pushed. A connection on which a request went
    unanswered stays so: what comes after it could only be taken for its answer."""
    REFUSE = "refuse"
    """New TCP connections are refused; the open ones stay."""
    DRIP = "drip"
    """Answers and pushes come byte by byte, this many seconds apart."""
    RET = "ret"
    """A listen request is answered with this Ret instead of 0."""
    ANSWER_THEN_CLOSE = "answer-then-close"
    """A listen request is acknowledged, then the connection ends in order."""
    CUT_MID_DOCUMENT = "cut-mid-document"
    """The next push is cut in its middle and the connection ends."""
    MALFORMED = "malformed"
    """Mail pushes are spoilt; value is a `Defect`, without one it is any."""
    VER_SHIFT = "ver-shift"
    """A pushed Ver differs by this many milliseconds from what ``user/list`` says."""
    LIST_EMPTY = "list-empty"
    """``user/list`` lags behind: an empty delta with the asked Ver."""
    LIST_VER = "list-ver"
    """``user/list`` answers with this Ver (0, a small one, a negative, one of 19 digits); no value: without one."""
    LIST_VER_MOVES = "list-ver-moves"
    """The Ver of ``user/list`` grows with each answer, by this many milliseconds."""
    LIST_SHORT = "list-short"
    """``user/list`` leaves out this many lines at its end; its Count is what it was."""
    GET_LATE = "get-late"
    """``user/get`` says 1301 for this many seconds after an account was added."""


@dataclass(slots=True, eq=False)
class Fault:
    """One fault that is on, for endpoints that match the pattern, ``times`` more times (None: until switched off)."""

    kind: Kind
    endpoint: str = "*"
    value: FaultValue = None
    times: int | None = None
    chance: float = 1.0
    struck: int = 0

    @property
    def number(self) -> float:
        """The value of a kind that has a number; nothing is 0."""
        return float(self.value or 0)


class Faults:
    """The faults that are on. ``chance`` is drawn from a seeded source, so a run can be repeated."""

    __slots__ = ("_active", "_bell", "_fired", "_random", "_watchers", "made_up")

    def __init__(self, *, seed: int = 0) -> None:
        self._random = seeded(seed, "faults")
        self.made_up: set[int] = set()
        """Every Ver that ``LIST_VER_MOVES`` has answered: the truth may come to have the same one later."""
        self._active: list[Fault] = []
        self._fired: dict[Kind, int] = {}
        self._watchers: list[Callable[[], None]] = []
        self._bell = Bell()

    def on(
        self,
        kind: Kind | str,
        *,
        endpoint: str = "*",
        value: FaultValue = None,
        times: int | None = None,
        chance: float = 1.0,
    ) -> Fault:
        """Switch a fault on; it takes the place of one of the same kind for the same endpoints.

        ``endpoint`` is a name such as ``token``, ``listen``, ``user/get`` or a pattern such as ``user/*``; ``*`` is
        all of them, the token too. Of several that match, the one that was switched on first strikes.

        Raises:
            ValueError: there is no such kind, its value does not fit, or it would never strike.
        """
        if (times is not None and times < 1) or not 0 < chance <= 1:
            raise ValueError("a fault strikes at least once, with a chance above 0 and up to 1")
        _check_value(Kind(kind), value)
        fault = Fault(Kind(kind), endpoint, value, times, chance)
        self._active = [other for other in self._active if (other.kind, other.endpoint) != (fault.kind, endpoint)]
        self._active.append(fault)
        self._changed()
        return fault

    def off(self, kind: Kind | str, *, endpoint: str | None = None) -> None:
        """Switch off a kind of fault, for one pattern of endpoints or for all of them."""
        gone = Kind(kind)
        self._active = [
            fault for fault in self._active if fault.kind is not gone or endpoint not in (None, fault.endpoint)
        ]
        self._changed()

    def end(self, fault: Fault) -> None:
        """Switch off exactly this fault; nothing happens when it has ended already."""
        if fault in self._active:
            self._active.remove(fault)
            self._changed()

    def clear(self) -> None:
        """Everything works again."""
        self._active = []
        self._changed()

    @property
    def active(self) -> Sequence[Fault]:
        """The faults that are on, in the order of switching on."""
        return tuple(self._active)

    def has(self, kind: Kind) -> bool:
        """Whether such a fault is on, for any endpoint; this uses nothing up."""
        return any(fault.kind is kind for fault in self._active)

    def strike(self, kind: Kind, endpoint: str) -> Fault | None:
        """The fault that strikes now, if one does; this uses up one of its ``times``."""
        for fault in self._active:
            if fault.kind is not kind or not fnmatchcase(endpoint, fault.endpoint):
                continue
            if fault.chance < 1.0 and self._random.random() >= fault.chance:
                continue
            self._fired[kind] = self._fired.get(kind, 0) + 1
            fault.struck += 1
            if fault.times is not None:
                fault.times -= 1
                if fault.times <= 0:
                    self._active.remove(fault)
                    self._changed()
            self._bell.ring()
            return fault
        return None

    def struck(self, kind: Kind) -> int:
        """How often this kind has struck since the start."""
        return self._fired.get(kind, 0)

    async def wait(self, kind: Kind, n: int = 1, *, timeout_s: float = PATIENCE_S) -> None:
        """Return when this kind has struck at least ``n`` times.

        Raises:
            TimeoutError: not within ``timeout_s``.
        """
        await self._bell.until(lambda: self.struck(kind) >= n, timeout_s=timeout_s)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` whenever a fault is switched on or off."""
        self._watchers.append(watcher)

    def _changed(self) -> None:
        self._bell.ring()
        for watcher in tuple(self._watchers):
            watcher()


def _check_value(kind: Kind, value: FaultValue) -> None:
    # What is wrong would otherwise show when the fault strikes, far from who asked for it.
    match kind:
        case Kind.MALFORMED if value is not None:
            Defect(str(value))
        case Kind.ANSWER if not isinstance(value, str):
            raise ValueError(f"{kind} needs a text, not {value!r}")
        case (
            Kind.ERRCODE
            | Kind.HTTP_STATUS
            | Kind.DELAY
            | Kind.RET
            | Kind.VER_SHIFT
            | Kind.RATE
            | Kind.RATE_PAGE
            | Kind.LIST_VER_MOVES
            | Kind.LIST_SHORT
            | Kind.GET_LATE
        ):
            if not isinstance(value, int | float):
                raise ValueError(f"{kind} needs a number, not {value!r}")
        case Kind.DRIP if isinstance(value, str):
            raise ValueError(f"{kind} needs a number, not {value!r}")
        case _:
            pass
