"""The states of workers: each pair of a state and what happens next is run once, and the result remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bridge.journal import runs
from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalAway, JournalUnreached
from tests.model.actors import Actor, Item, View

News = tuple[Any, ...]
"""``("answered", answers)`` · ``("cut",)``: no answer · ``("unreached",)``: not even sent

``("refused", at_s)``: nobody listens there · ``("clock", at_s)``: as late as that · ``("ahead", by_s)``: its clock is
ahead of the server's by so much more · ``("tick",)``: time to renew · ``("wakes",)``: a pause is over."""


class WorkerStates:
    """All states that workers can be in, each with a number.

    Two histories lead to the same state if the writer and its coroutines remember the same; with ``exact`` they never
    do. ``asks``: each leader asks others what they remember. ``one_server``,
    ``together``: see Bounds.
    """

    def __init__(self, *, exact: bool = False, asks: bool = False, one_server: bool = False, together: int = 1) -> None:
        self._exact = exact
        self._options = {"asks": asks, "one_server": one_server, "together": together}
        # Every question goes to a gate, so this client never dials.
        self._undialled = RedisAddress("redis://127.0.0.1").client()
        self._loop = asyncio.new_event_loop()
        self._numbers: dict[Any, int] = {}
        self._histories: list[tuple[str, tuple[Item, ...], tuple[News, ...]]] = []
        self._views: list[View] = []
        self._next: dict[tuple[int, News], int] = {}

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, state: int) -> View:
        return self._views[state]

    def close(self) -> None:
        """Let go of the event loop."""
        self._loop.close()

    def begin(self, name: str, items: Sequence[Item]) -> int:
        """The state of a worker that has just started."""
        return self._play(name, tuple(items), ())

    def hear(self, state: int, *news: Any) -> int:
        """The state that a worker comes to rest in when it hears something."""
        known = self._next.get((state, news))
        if known is None:
            name, items, history = self._histories[state]
            known = self._next[state, news] = self._play(name, items, (*history, news))
        return known

    def _play(self, name: str, items: tuple[Item, ...], history: tuple[News, ...]) -> int:
        return self._loop.run_until_complete(self._played(name, items, history))

    async def _played(self, name: str, items: tuple[Item, ...], history: tuple[News, ...]) -> int:
        with _numbered_epochs(name) as epochs:
            actor = Actor(name, items, self._undialled, **self._options)
            try:
                await self._rest()
                for kind, *news in history:
                    if kind == "answered":
                        actor.gate.answer(news[0])
                    elif kind == "cut":
                        actor.gate.fail(JournalAway("cut"))
                    elif kind == "unreached":
                        actor.gate.fail(JournalUnreached("no connection"))
                    elif kind == "refused":
                        actor.refused(news[0])
                    elif kind == "clock":
                        actor.at_s = news[0]
                    elif kind == "ahead":
                        actor.ahead_s += news[0]
                    elif kind == "wakes":
                        actor.wake()
                    else:
                        actor.tick()
                    await self._rest()
                return self._note(actor, (*_memory(actor), len(epochs)), items, history)
            finally:
                for task in (*actor.tasks, *actor.writer._running):
                    task.cancel()
                await self._rest()

    async def _rest(self) -> None:
        """Let everything run until it waits for an answer. Only the loop knows whether anything can go on."""
        await asyncio.sleep(0)
        while self._loop._ready:  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0)

    def _note(self, actor: Actor, memory: Any, items: tuple[Item, ...], history: tuple[News, ...]) -> int:
        if actor.main.done():
            actor.main.result()
        view = View(
            waiting=tuple(request for request, _ in actor.gate.waiting),
            reports=tuple(actor.reports),
            leads=actor.leads and not actor.keeps,
            rests=actor.rests,
            done=actor.main.done(),
            watches=actor.writer._witness.saw_the_end,
        )
        name = (view, (actor.name, items, history) if self._exact else memory)
        if name not in self._numbers:
            self._numbers[name] = len(self._views)
            self._views.append(view)
            self._histories.append((actor.name, items, history))
        return self._numbers[name]


def _memory(actor: Actor) -> tuple[Any, ...]:
    """What a worker remembers: plain fields of the objects, and where each coroutine stands with which plain values.

    Floats are durations and times of day; the model has neither.
    """
    tasks = [task for task in (*actor.tasks, *actor.writer._running) if not task.done()]
    frames = sorted(tuple(_frames(task.get_coro())) for task in tasks)
    return (
        _plain(vars(actor)),
        _plain(vars(actor.writer)),
        _plain(vars(actor.writer._witness)),
        tuple(actor.writer._tried.items()),
        tuple(actor._items),
        tuple(frames),
    )


def _frames(coroutine: Any) -> Iterator[Any]:
    while coroutine is not None and getattr(coroutine, "cr_frame", None) is not None:
        frame = coroutine.cr_frame
        yield (frame.f_code.co_qualname, frame.f_lasti, _plain(frame.f_locals))
        coroutine = coroutine.cr_await


def _plain(values: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    kept = (None.__class__, bool, int, str, bytes)
    return tuple(sorted((name, repr(value)) for name, value in values.items() if isinstance(value, kept)))


@contextmanager
def _numbered_epochs(name: str) -> Iterator[list[str]]:
    """Epochs that are told apart by who gave them, as random ones would be, and the same in each replay."""
    given: list[str] = []

    def new_epochs(n: int) -> list[str]:
        given.extend(f"{name}{number:0{8 - len(name)}}" for number in range(len(given), len(given) + n))
        return given[len(given) - n :]

    kept, runs.new_epochs = runs.new_epochs, new_epochs
    try:
        yield given
    finally:
        runs.new_epochs = kept
