"""Small questions about states of the model, and about ways to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.model.actors import Request
from tests.model.state import Seat, State, Stray


def ordered(strays: Sequence[Stray]) -> tuple[Stray, ...]:
    """Connections know no order among each other."""
    return tuple(strays) if len(strays) < 2 else tuple(sorted(strays, key=repr))


def is_claim(request: Request) -> bool:
    return request.calls[0][1][0] == "claim"


def ended_holder(lease: str, seats: Sequence[Seat]) -> str:
    """The lease, if its holder lives no more; else nothing."""
    alive = {f"{'abc'[n]}{seat.life}" for n, seat in enumerate(seats)}
    return "" if lease.partition(":")[2] in alive else lease


def seated(state: State, n: int, seat: Seat) -> State:
    return state._replace(seats=(*state.seats[:n], seat, *state.seats[n + 1 :]))


def trace_to(came_from: Mapping[int, tuple[int, str]], here: int) -> tuple[str, ...]:
    trace: list[str] = []
    while (step := came_from[here])[1]:
        trace.append(step[1])
        here = step[0]
    return tuple(reversed(trace))
