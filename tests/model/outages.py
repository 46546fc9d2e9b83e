"""What befalls servers: leases run out, replicas are promoted, old ones are used again, processes end and begin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.model.actors import LEASE_S, View
from tests.model.datasets import CLOCK_STEP_S, Datasets
from tests.model.state import Bounds, Seat, Server, State
from tests.model.states import is_claim, seated
from tests.model.worker_states import WorkerStates

_LOOK_S: Final = 100


def began_s(server: int) -> int:
    """The clock where the server with this number has just begun."""
    return CLOCK_STEP_S * (server + 1)


def last_look_s(server: int) -> int:
    """The clock where this server has ended, and the next begins within half a lease."""
    return began_s(server) + _LOOK_S


def outages(state: State, bounds: Bounds, datasets: Datasets) -> Iterator[str]:
    """The names of all that can befall a server now."""
    if state.expiries:
        for n, server in enumerate(state.servers):
            if server is not None and datasets[server.dataset].lease:
                yield f"expiry{n}"
                if bounds.jumps:
                    yield f"jump{n}"
    lags = range(min(bounds.lag, len(state.past) - 1) + 1)
    if state.failovers:
        yield from (f"failover{lag}" for lag in lags)
        if bounds.restores:
            yield "restore"
    if state.restarts:
        yield from (f"restart{lag}" for lag in lags)
        if bounds.restores:
            yield "olddump"
    if state.returns:
        yield from (f"return{n}" for n, server in enumerate(state.servers[:-1]) if server is not None)


def can_be_refused(view: View, seat: Seat, here: Server, bounds: Bounds) -> bool:
    """Whether a worker that asks may find that nobody listens.

    Who only waits to lead may too, and learns nothing of it. Whoever has found it finds it again and again.
    """
    asks = bool(view.waiting) and not is_claim(view.waiting[0]) and not seat.answers
    return asks and not view.watches and (here.stopped or bounds.astray)


def came_about(state: State, action: str, datasets: Datasets, workers: WorkerStates) -> State:
    """The state after what befalls a server."""
    number = int(action[-1]) if action[-1].isdigit() else 0
    if action.startswith(("expiry", "jump")):
        return _expired(_noticed(state, number, action, datasets, workers), number, datasets)
    if action.startswith("return"):
        return _used_again(state, number)
    past = state.past[:1] if action in ("restore", "olddump") else state.past[: len(state.past) - number]
    if action.startswith(("restart", "olddump")):
        *others, ended = state.servers
        assert ended is not None
        begun = past[-1]._replace(run=len(state.servers))
        servers = (*others, ended._replace(stopped=True), begun)
        return state._replace(servers=servers, past=past, restarts=state.restarts - 1)
    promoted = past[-1]._replace(run=len(state.servers), promoted=True)
    return state._replace(servers=(*state.servers, promoted), past=past, failovers=state.failovers - 1)


def _noticed(state: State, number: int, action: str, datasets: Datasets, workers: WorkerStates) -> State:
    """The holder's clock is as much later as the lease was long; or it is the server's clock that jumped over it.

    Who watches the place of a server that has ended goes on to: the time that passes is the same for all.
    """
    server = state.servers[number]
    assert server is not None
    holder = datasets[server.dataset].lease.partition(":")[2]
    for n, seat in enumerate(state.seats):
        if f"{'abc'[n]}{seat.life}" == holder and not workers[seat.state].watches:
            by_s = LEASE_S if action.startswith("expiry") else -LEASE_S
            state = seated(state, n, seat._replace(state=workers.hear(seat.state, "ahead", by_s)))
    return state


def _expired(state: State, n: int, datasets: Datasets) -> State:
    server = state.servers[n]
    assert server is not None

    def later(each: Server) -> Server:
        if each.granted > server.granted:
            return each
        return each._replace(dataset=datasets.without_lease(each.dataset))

    return state._replace(
        servers=tuple(each and later(each) for each in state.servers),
        past=tuple(later(each) for each in state.past),
        expiries=state.expiries - 1,
    )


def _used_again(state: State, n: int) -> State:
    """A server that was left counts again. Whoever had stayed with it is where he was; one place, one process."""
    again, newest = state.servers[n], len(state.servers)
    stopped = state.servers[-1]
    assert again is not None
    assert stopped is not None
    again = again._replace(stopped=False)
    kept = [stray for stray in state.strays if stray.server != newest - 1]
    return state._replace(
        servers=(*state.servers[:n], None, *state.servers[n + 1 : -1], stopped._replace(stopped=True), again),
        past=(state.past[0], again),
        seats=tuple(seat._replace(server=newest) if seat.server == n else seat for seat in state.seats),
        strays=tuple(stray._replace(server=newest) if stray.server == n else stray for stray in kept),
        returns=state.returns - 1,
    )
