"""The pause that all calls of a run share, with a clock of its own."""

from __future__ import annotations

import pytest

from bridge.commands.api.pause import MOST_S, GaveUp, Pause
from bridge.provider.faults import Busy, CallerFault, ProviderAway, ProviderError, ProviderRefused

BUSY = Busy("1002", "", "user/get")
LIMIT = ProviderRefused("45009", "", "user/get")


class Provider:
    """Says what stands in ``answers``, then "yes"; its clock stands still but for those who wait."""

    def __init__(self, *answers: ProviderError, rate: float = 10, wait_s: float = 100) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.asked_at: list[float] = []
        self.is_alive = True
        self.pause = Pause(rate=rate, wait_s=wait_s, probe=self._probe, clock=lambda: self.now, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds

    async def _probe(self) -> None:
        if not self.is_alive:
            raise LIMIT

    async def call(self) -> str:
        self.asked_at.append(round(self.now, 3))
        if self.answers:
            raise self.answers.pop(0)
        return "yes"


async def test_turns_are_even() -> None:
    """So many a second, the first at once."""
    provider = Provider(rate=4)
    for _ in range(3):
        assert await provider.pause.ask(provider.call) == "yes"
    assert provider.asked_at == [0, 0.25, 0.5]


async def test_each_pause_is_twice_as_long_and_slows_down() -> None:
    """Half a second, one, two, thirty at most; an answer begins anew, and calls come more slowly for a while."""
    provider = Provider(*[BUSY] * 4, rate=10)
    await provider.pause.ask(provider.call)
    assert provider.asked_at == [0, 0.5, 1.5, 3.5, 7.5]
    await provider.pause.ask(provider.call)
    assert 1.5 < provider.asked_at[-1] - provider.asked_at[-2] <= 1.6
    for _ in range(200):
        await provider.pause.ask(provider.call)
    assert provider.asked_at[-1] - provider.asked_at[-2] == pytest.approx(0.1)
    patient = Provider(*[BUSY] * 10, wait_s=1000)
    await patient.pause.ask(patient.call)
    assert patient.asked_at[-1] - patient.asked_at[-2] == MOST_S


async def test_it_is_waited_for_as_long_as_was_said() -> None:
    """The last attempt is at the end of that time; an answer in between begins it anew."""
    provider = Provider(*[ProviderAway("user/get", "no")] * 9, wait_s=10)
    with pytest.raises(GaveUp) as gave_up:
        await provider.pause.ask(provider.call)
    assert provider.asked_at[-1] == 10
    assert isinstance(gave_up.value.error, ProviderAway)
    provider = Provider(*[BUSY] * 3, wait_s=10)
    for _ in range(9):
        await provider.pause.ask(provider.call)
        provider.answers = [BUSY] * 3
    assert provider.now > 10


async def test_calls_that_were_under_way_share_one_pause() -> None:
    """Eight that are put off at once are one sign, not eight."""
    provider = Provider()
    began = [await provider.pause.turn() for _ in range(8)]
    for each in began:
        provider.pause.put_off(BUSY, began=each)
    begun = provider.now
    assert await provider.pause.turn() - begun == pytest.approx(0.5)


async def test_what_may_mean_the_row_or_everybody() -> None:
    """Asked again; where the provider answers all else it is the row's own, else everybody waits."""
    provider = Provider(*[LIMIT] * 9)
    with pytest.raises(ProviderRefused):
        await provider.pause.ask(provider.call)
    assert len(provider.asked_at) == 4
    provider = Provider(*[LIMIT] * 6)
    provider.is_alive = False
    assert await provider.pause.ask(provider.call) == "yes"
    assert len(provider.asked_at) == 7


async def test_what_is_certainly_the_callers_is_told_at_once() -> None:
    """Asking again does not help."""
    provider = Provider(CallerFault("1310", "", "user/sync"))
    with pytest.raises(CallerFault):
        await provider.pause.ask(provider.call)
    assert provider.asked_at == [0]


def test_rows_left_open_alike_are_counted_until_one_is_settled() -> None:
    """Three in succession; answers to other questions in between mean nothing."""
    pause = Provider().pause
    for _ in range(2):
        pause.left_open(LIMIT)
        pause.answered()
    pause.settled()
    pause.left_open(LIMIT)
    pause.left_open(ProviderRefused("45010", "", "user/sync"))
    pause.left_open(LIMIT)
    pause.left_open(LIMIT)
    with pytest.raises(GaveUp):
        pause.left_open(LIMIT)
