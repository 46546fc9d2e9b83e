"""One state of everything, and the bounds of what can become of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.model.actors import Item, Report, Request, Session


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may go wrong, and what each worker has to commit.

    ``cuts``: a connection is lost, and what was on its way may still be applied later, or never; or none can be had.
    ``crashes``: a worker begins a new life, with ``items_after_crash`` to commit; whoever claims next may know that the
    former one has ended, and claim over its lease. ``expiries``: a lease runs out while
    its holder believes in it (it is paused, or its clock is slow). ``ticks``: renewals of each worker.

    ``failovers``: another server is promoted that lacks up to ``lag`` of the newest writes, or (``restores``) all of
    them; each worker finds it when it likes, until then it goes on with the old one. There nobody is given a lease any
    more: a master that has lost its replicas must stop writing before a lease has run out (``min-replicas-to-write``),
    or two leaders on two masters count on from the same position.

    ``returns``: an operator stops the server that counts and uses again one that was left, with its data of then; its
    own run id stands in them, so that it cannot know that it went back. ``asks``: somebody who was given all positions
    (an edge) is asked by each leader. ``backward``: the clock of each further server is behind the one before.

    ``one_server``: the workers are told that there is one place for the server; ``looks``: how often one of them finds
    that nobody listens there, when that is so. ``restarts``: the server ends, and another process takes its place, with
    ``lag`` and ``restores`` as above. Between two of its processes 1000 seconds pass, and a worker looks whether
    somebody listens until the next begins. Where a lease runs out its holder's clock shows that, unless it is the
    server's clock that ``jumps``. ``astray``: what stands between a worker and a server that runs may say that nobody
    listens there.

    ``together``: how many mails go into one run of the script, which is applied as a whole or not at all.
    """

    items: tuple[tuple[Item, ...], ...] = (("mails", "directory"), ("mail", "directory"))
    items_after_crash: tuple[Item, ...] = ("mail",)
    crashes: int = 1
    cuts: int = 1
    expiries: int = 1
    failovers: int = 1
    ticks: int = 1
    lag: int = 2
    restores: bool = True
    returns: int = 0
    asks: bool = False
    backward: bool = False
    one_server: bool = False
    restarts: int = 0
    looks: int = 0
    jumps: bool = False
    astray: bool = False
    together: int = 1


class Server(NamedTuple):
    """A server: its run id, what it holds, who claimed last there, and who must not write there any more.

    ``promoted``: it was a replica, and says so.
    ``granted``: leases that were claimed or renewed earlier have a lower number, and run out earlier. A lease has an
    absolute end, which a replica knows too: where it has run out on one server, it has on all.
    """

    run: int
    dataset: int
    granted: int
    leader: Session | None
    deposed: frozenset[Session]
    stopped: bool = False
    promoted: bool = False


class Seat(NamedTuple):
    """A worker: its state, its server, the answers to the batch under way, its life, and renewals left."""

    state: int
    server: int
    answers: tuple[Any, ...]
    life: int
    ticks: int


class Stray(NamedTuple):
    """Calls whose sender has lost the connection."""

    server: int
    request: Request


class State(NamedTuple):
    """Everything. ``past``: what a failover can go back to, the newest last; the last server is the one that counts."""

    servers: tuple[Server | None, ...]
    past: tuple[Server, ...]
    seats: tuple[Seat, ...]
    strays: tuple[Stray, ...]
    crashes: int
    cuts: int
    expiries: int
    failovers: int
    returns: int
    restarts: int
    looks: int
    given: int
    reports: frozenset[Report]
