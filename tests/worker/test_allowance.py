"""How many accounts are asked for at a time: as many as the provider lets us."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.provider.faults import Busy, ProviderError
from bridge.provider.members import Profile
from bridge.worker.allowance import FIRST, MOST, Allowance
from bridge.worker.profiles import Fetch
from tests.support.waiting import until

MANY = [f"u{number}@gzdev.com" for number in range(400)]


class Provider:
    """Answers when it is told to; says ``busy`` where more than ``limit`` calls are under way."""

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit
        self.under_way = self.most = self.asked = 0
        self.may_answer = asyncio.Event()

    async def account(self, alias: str) -> Profile:
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.under_way > self.limit:
                raise Busy("1002", "busy", "user/get")
            await self.may_answer.wait()
            await asyncio.sleep(0)
            return Profile(alias, "Bob", 1, (), "", "", "", "", (), 1, 1)
        finally:
            self.under_way -= 1


def fetch(provider: Any, allowance: Allowance) -> Fetch:
    return Fetch(provider, frozenset({"name"}), allowance, MANY)


async def test_it_begins_carefully_and_doubles_with_each_round_of_answers() -> None:
    """Eight, until the first answer; then as many as it may be, and never more."""
    provider, allowance = Provider(), Allowance()
    reading = fetch(provider, allowance)
    running = asyncio.create_task(reading.run())
    await until(lambda: provider.under_way == FIRST)
    provider.may_answer.set()
    await running
    assert len(reading.found) == provider.asked == len(MANY)
    assert (provider.most, allowance.now) == (MOST, MOST)


@pytest.mark.parametrize("limit", [1, 5, 20, 40])
async def test_a_limit_is_found_and_kept_to(limit: int) -> None:
    """Each refusal ends a run, which goes on later with half as many; few calls are refused, and nobody is left out."""
    provider, allowance = Provider(limit), Allowance()
    provider.may_answer.set()
    reading, refused = fetch(provider, allowance), 0
    while len(reading.found) < len(MANY):
        try:
            await reading.run()
        except Busy:
            refused += 1
    assert not reading.unread
    assert allowance.now <= limit + 1
    assert refused <= 1 + len(MANY) // 10


def test_what_was_not_made_use_of_says_nothing_of_more() -> None:
    """One call after the other is answered all day: that the provider would take them all at once is not known."""
    allowance = Allowance()
    for _ in range(1000):
        allowance.answered(1)
    assert allowance.now == FIRST


def test_after_trouble_it_grows_by_one_in_ten_rounds() -> None:
    """From half of what was under way, or a provider that takes few calls would refuse every other one."""
    allowance = Allowance()
    for _ in range(200):
        allowance.answered(MOST)
    assert allowance.now == MOST
    allowance.troubled(MOST)
    assert allowance.now == MOST // 2
    for _ in range(MOST // 2 * 10):
        assert allowance.now == MOST // 2
        allowance.answered(MOST)
    assert allowance.now == MOST // 2 + 1


@given(st.lists(st.booleans(), max_size=400))
def test_whatever_happens_it_stays_within_its_bounds(answers: list[bool]) -> None:
    """At least one call may be made, or nothing would ever be learnt again."""
    allowance = Allowance()
    for answered in answers:
        if answered:
            allowance.answered(allowance.now)
        else:
            allowance.troubled(allowance.now)
        assert 1 <= allowance.now <= MOST


async def test_the_first_of_many_faults_ends_a_run_and_the_others_are_awaited() -> None:
    """What is under way then is cancelled before the run ends: nothing goes on behind its back."""
    provider, allowance = Provider(limit=0), Allowance()
    with pytest.raises(ProviderError, match="busy"):
        await fetch(provider, allowance).run()
    assert provider.under_way == 0


async def test_trouble_and_a_cancellation_in_one_moment_are_a_cancellation() -> None:
    """Whoever took it for the provider's trouble would ask for everybody again, and never end."""

    class Busying(Provider):
        async def account(self, alias: str) -> Profile:
            reading.cancel()
            raise Busy("1002", "busy", "user/get")

    reading = asyncio.create_task(fetch(Busying(), Allowance()).run())
    await asyncio.wait([reading])
    assert reading.cancelled()
