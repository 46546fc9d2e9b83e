"""All that can happen to two workers and Redis within bounds, each state once, the nearest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.model.actors import Request, Session
from tests.model.datasets import RECOLLECT, Asked, Datasets
from tests.model.outages import began_s, came_about, can_be_refused, last_look_s, outages
from tests.model.promises import (
    NUMBERED,
    Broken,
    Given,
    check_call,
    check_claim,
    check_dataset,
    check_kept,
    check_told,
    deposed_by,
    given_after,
    remembered,
)
from tests.model.state import Bounds, Seat, Server, State, Stray
from tests.model.states import ended_holder, is_claim, ordered, seated, trace_to
from tests.model.worker_states import WorkerStates


@dataclass(frozen=True, slots=True)
class Found:
    """A promise that broke, and the shortest way to it."""

    promise: str
    trace: tuple[str, ...]


class Explorer:
    """Explores from the empty Redis. ``exact`` tells states of workers apart by their whole history (for replay)."""

    def __init__(self, datasets: Datasets, bounds: Bounds, *, exact: bool = False) -> None:
        self.datasets = datasets
        self.workers = WorkerStates(
            exact=exact, asks=bounds.asks, one_server=bounds.one_server, together=bounds.together
        )
        self._bounds = bounds
        self._given: list[Given] = [{}]
        self._given_numbers: dict[frozenset[Any], int] = {frozenset(): 0}
        self._given_after: dict[tuple[int, int, int], int] = {}
        self._endings: dict[tuple[int, int, int], int] = {}
        self._sound: set[int] = set()
        self._recollections: dict[int, Any] = {}
        self.states = 0
        self.steps = 0

    def close(self) -> None:
        """Let go of the workers."""
        self.workers.close()

    def start(self) -> State:
        """Nobody has done anything yet."""
        bounds = self._bounds
        server = Server(0, self.datasets.empty, 0, None, frozenset())
        seats = [
            Seat(self.workers.begin(f"{'abc'[n]}1", items), 0, (), 1, bounds.ticks)
            for n, items in enumerate(bounds.items)
        ]
        return State(
            (server,),
            (server,),
            tuple(seats),
            (),
            bounds.crashes,
            bounds.cuts,
            bounds.expiries,
            bounds.failovers,
            bounds.returns,
            bounds.restarts,
            bounds.looks,
            0,
            frozenset(),
        )

    def explore(self, most: int | None = None) -> Found | None:
        """Visit every state, or ``most``; ``None``: every promise held in all of them."""
        start = self.start()
        # States are known by 64 bits of hash; of a million, two share them once in thirty million explorations.
        came_from: dict[int, tuple[int, str]] = {hash(start): (0, "")}
        waiting = deque([start])
        while waiting and (most is None or self.states < most):
            state = waiting.popleft()
            self.states += 1
            here = hash(state)
            try:
                self.check_ending(state)
            except Broken as broken:
                return Found(f"{broken} (found by who claims next)", trace_to(came_from, here))
            for action in self.actions(state):
                self.steps += 1
                try:
                    after = self.act(state, action)
                except Broken as broken:
                    return Found(str(broken), (*trace_to(came_from, here), action))
                there = hash(after)
                if there not in came_from:
                    came_from[there] = (here, action)
                    waiting.append(after)
        return None

    # -- what can happen

    def actions(self, state: State) -> Iterator[str]:
        """The names of all that can happen now."""
        newest = len(state.servers) - 1
        for n, seat in enumerate(state.seats):
            name, view = "abc"[n], self.workers[seat.state]
            here = state.servers[seat.server]
            assert here is not None
            if view.waiting and not here.stopped and not (seat.server < newest and is_claim(view.waiting[0])):
                yield name
                if is_claim(view.waiting[0]) and ended_holder(self.datasets[here.dataset].lease, state.seats):
                    yield f"{name}-over"
            if state.looks and can_be_refused(view, seat, here, self._bounds):
                yield f"{name}-refused"
            if seat.server < newest:
                yield f"{name}-moves"
            elif view.waiting and state.cuts:
                yield f"{name}-cut"
                if not seat.answers:
                    yield f"{name}-unreached"
            if view.done:
                continue
            if state.crashes:
                yield f"{name}-crash"
            if view.leads and seat.ticks:
                yield f"{name}-tick"
            if view.rests:
                yield f"{name}-wakes"
        for n in range(len(state.strays)):
            yield f"stray{n}"
        yield from outages(state, self._bounds, self.datasets)

    def act(self, state: State, action: str) -> State:
        """The state after that.

        Raises:
            Broken: a promise does not hold there.
        """
        name, _, step = action.partition("-")
        if name in ("a", "b", "c"):
            return self._tidy(getattr(self, f"_{step or 'step'}")(state, "abc".index(name)))
        if action.startswith("stray"):
            return self._tidy(self._stray(state, int(action[5:])))
        return self._tidy(came_about(state, action, self.datasets, self.workers))

    def _tidy(self, state: State) -> State:
        """Forget what can make no difference any more: then states are the same that look different."""
        newest = len(state.servers) - 1
        strays, servers, past = state.strays, state.servers, state.past
        if strays:
            strays = tuple(stray for stray in strays if self._matters(stray, servers[stray.server], newest))
        if newest and not state.returns:
            reached = {newest, *(seat.server for seat in state.seats), *(stray.server for stray in strays)}
            servers = tuple(each if n in reached else None for n, each in enumerate(servers))
        if not state.failovers and not state.restarts:
            past = past[-1:]
        # Only the order of grants matters, and only while a lease can run out.
        grants = sorted({each.granted for each in (*past, *servers) if each is not None}) if state.expiries else []
        rank = {granted: n for n, granted in enumerate(grants)}
        if any(each is not None and rank.get(each.granted, 0) != each.granted for each in (*past, *servers)):
            servers = tuple(each and each._replace(granted=rank.get(each.granted, 0)) for each in servers)
            past = tuple(each._replace(granted=rank.get(each.granted, 0)) for each in past)
        return state._replace(servers=servers, past=past, strays=strays)

    def _matters(self, stray: Stray, server: Server | None, newest: int) -> bool:
        """Whether what is still on its way can do anything: by an old lease or an old number it never will."""
        keys, arguments = stray.request.calls[0]
        if server is None or server.stopped or not keys:
            return False
        if arguments[0] == "claim":
            return stray.server == newest
        data = self.datasets[server.dataset]
        # Of the keys of a run ten are all calls', and three each one's.
        more = (len(keys) - 10) // 3 - 1 if arguments[0] == "record" else 0
        numbered = arguments[0] in NUMBERED
        return arguments[1] == data.lease and not (numbered and int(arguments[2]) + more <= data.commits)

    def _over(self, state: State, n: int) -> State:
        """A claim by who knows that the holder's process has ended."""
        here = state.servers[state.seats[n].server]
        assert here is not None
        return self._step(state, n, over=ended_holder(self.datasets[here.dataset].lease, state.seats))

    def _step(self, state: State, n: int, over: str = "") -> State:
        """The next call of the batch under way is applied; after the last one the worker has its answer."""
        seat = state.seats[n]
        request = self.workers[seat.state].waiting[0]
        keys, arguments = request.calls[len(seat.answers)]
        asked = (keys, (*arguments[:-1], over)) if over else (keys, arguments)
        answer, state = self._apply(state, seat.server, request.session, asked)
        if len(answers := (*seat.answers, answer)) < len(request.calls):
            return seated(state, n, seat._replace(answers=answers))
        heard = self.workers.hear(seat.state, "answered", answers)
        told = set(self.workers[heard].reports) - set(self.workers[seat.state].reports)
        state = seated(state, n, seat._replace(state=heard, answers=()))
        if told:
            state = state._replace(reports=state.reports | told)
            here = state.servers[seat.server]
            assert here is not None
            now = max(report.generation for report in told)
            of_now = frozenset(report for report in state.reports if report.generation == now)
            check_told(of_now, self.datasets[here.dataset], now)
        view = self.workers[heard]
        if not (view.done or view.waiting or view.rests):
            raise Broken("stuck: a worker waits for nothing")
        return state

    def _cut(self, state: State, n: int) -> State:
        return self._cut_off(state, n)._replace(cuts=state.cuts - 1)

    def _unreached(self, state: State, n: int) -> State:
        seat = state.seats[n]
        seat = seat._replace(state=self.workers.hear(seat.state, "unreached"))
        return seated(state, n, seat)._replace(cuts=state.cuts - 1)

    def _refused(self, state: State, n: int) -> State:
        seat = state.seats[n]
        seat = seat._replace(state=self.workers.hear(seat.state, "refused", last_look_s(seat.server)))
        return seated(state, n, seat)._replace(looks=state.looks - 1)

    def _moves(self, state: State, n: int) -> State:
        state = self._cut_off(state, n)
        return seated(state, n, self._timed(state.seats[n]._replace(server=len(state.servers) - 1)))

    def _timed(self, seat: Seat) -> Seat:
        """Where the clock counts, it is as late as it is there."""
        at_s = began_s(seat.server)
        return seat._replace(state=self.workers.hear(seat.state, "clock", at_s)) if self._bounds.one_server else seat

    def _tick(self, state: State, n: int) -> State:
        seat = state.seats[n]
        return seated(state, n, seat._replace(state=self.workers.hear(seat.state, "tick"), ticks=seat.ticks - 1))

    def _wakes(self, state: State, n: int) -> State:
        seat = state.seats[n]
        return seated(state, n, seat._replace(state=self.workers.hear(seat.state, "wakes")))

    def _crash(self, state: State, n: int) -> State:
        state = self._cut_off(state, n)
        life, ticks = state.seats[n].life + 1, state.seats[n].ticks
        born = self.workers.begin(f"{'abc'[n]}{life}", self._bounds.items_after_crash)
        seat = self._timed(Seat(born, len(state.servers) - 1, (), life, ticks))
        return seated(state, n, seat)._replace(crashes=state.crashes - 1)

    def _cut_off(self, state: State, n: int) -> State:
        """What is on its way and not applied may be applied later; the worker knows nothing of either."""
        seat = state.seats[n]
        waiting = self.workers[seat.state].waiting
        if not waiting:
            return state
        first = Request(waiting[0].session, waiting[0].calls[len(seat.answers) :])
        strays = [Stray(seat.server, request) for request in (first, *waiting[1:])]
        state = seated(state, n, seat._replace(state=self.workers.hear(seat.state, "cut"), answers=()))
        return state._replace(strays=ordered((*state.strays, *strays)))

    def _stray(self, state: State, n: int) -> State:
        stray = state.strays[n]
        (first, *others), session = stray.request.calls, stray.request.session
        strays = [*state.strays[:n], *state.strays[n + 1 :]]
        if others:
            strays.append(Stray(stray.server, Request(session, tuple(others))))
        _, state = self._apply(state, stray.server, session, first)
        return state._replace(strays=ordered(strays))

    # -- what comes of it

    def _apply(self, state: State, n: int, session: Session, asked: Asked) -> tuple[Any, State]:
        """One call on one server, judged."""
        server = state.servers[n]
        assert server is not None
        if asked[1][0] == RECOLLECT:
            return self._remembered(state.given), state
        answer, number = self.datasets.apply(server.dataset, server.run, asked, promoted=server.promoted)
        same = number == server.dataset
        before, after = self.datasets[server.dataset], self.datasets[number]
        check_call(asked, answer, before, after, same=same, deposed=session in server.deposed)
        if asked[1][0] == "claim" and answer[0] == 1:
            check_claim(asked, before, after, run=server.run, given=self._given[state.given])
            check_kept(asked, before, after, given=self._given[state.given], single=not server.promoted)
        self._check_sound(number)
        given = state.given if same else self._give(state.given, server.dataset, number)
        server = server._replace(dataset=number)
        if asked[1][0] in ("claim", "renew") and answer[0] == 1:
            newest = max(each.granted for each in (*state.past, *state.servers) if each is not None)
            server = server._replace(granted=newest + 1)
        if asked[1][0] == "claim" and answer[0] == 1:
            deposed = deposed_by(session, server.leader, server.deposed)
            if server.run < n and before.generation != after.generation:
                # A server that is used again: who led there meanwhile has followed another past, and a generation parts
                # the two. What this leadership kept is not his.
                deposed -= {session}
            server = server._replace(leader=session, deposed=deposed)
        return answer, self._served(state, n, server)._replace(given=given)

    def _served(self, state: State, n: int, server: Server) -> State:
        if server == state.servers[n]:
            return state
        servers = (*state.servers[:n], server, *state.servers[n + 1 :])
        if n < len(servers) - 1:
            return state._replace(servers=servers)
        past = (*state.past, server)
        if len(past) > self._bounds.lag + 2:
            # The first is what a restore of yesterday's brings back.
            past = (past[0], *past[-self._bounds.lag - 1 :])
        return state._replace(servers=servers, past=past)

    def _give(self, given: int, before: int, after: int) -> int:
        known = self._given_after.get((given, before, after))
        if known is None:
            new = given_after(self._given[given], self.datasets[before], self.datasets[after])
            known = self._given_numbers.setdefault(frozenset(new.items()), len(self._given))
            if known == len(self._given):
                self._given.append(new)
            self._given_after[given, before, after] = known
        return known

    def _remembered(self, given: int) -> tuple[int, tuple[tuple[str, tuple[str, int]], ...]]:
        """What somebody remembers who was given everything that was ever published."""
        known = self._recollections.get(given)
        if known is None:
            known = self._recollections[given] = remembered(self._given[given])
        return known

    def _check_sound(self, dataset: int) -> None:
        if dataset not in self._sound:
            check_dataset(self.datasets[dataset])
            self._sound.add(dataset)

    def check_ending(self, state: State) -> None:
        """Whatever happened: when it is over, a worker without memory can lead and commit, and nothing is broken."""
        if self._bounds.returns and not self._bounds.asks:
            # An old server again, and nobody is left who remembers: nobody can know.
            return
        dataset, run = state.past[-1].dataset, state.servers[-1]
        assert run is not None
        remembers = state.given if self._bounds.asks else 0
        ending = self._endings.get((dataset, run.run, remembers))
        if ending is None:
            ending = self._endings[dataset, run.run, remembers] = self._end(dataset, run.run, remembers)
        self._give(state.given, dataset, ending)
        check_told(state.reports, self.datasets[ending], self.datasets[ending].generation)

    def _end(self, dataset: int, run: int, given: int) -> int:
        dataset = self.datasets.without_lease(dataset)
        last = self.workers.begin("z1", ("mail",))
        for _ in range(10):
            if self.workers[last].done:
                self._check_sound(dataset)
                return dataset
            answers = []
            for asked in self.workers[last].waiting[0].calls:
                if asked[1][0] == RECOLLECT:
                    answers.append(self._remembered(given))
                    continue
                answer, dataset = self.datasets.apply(dataset, run, asked)
                answers.append(answer)
            last = self.workers.hear(last, "answered", tuple(answers))
        raise Broken("stuck: nobody can lead and commit any more")
