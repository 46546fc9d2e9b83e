"""What judges a long run: what grows is seen, what jumps about is not taken for it, and what is missing is noticed."""

from __future__ import annotations

import random

import pytest

from tests.bench.endurance import BOUNDS, people
from tests.bench.flatness import growth, is_flat
from tests.bench.visitors import stamp
from tests.support.stage import ANN, BOB, leading_writer, lost_messages, mail, running_edge
from tests.support.waiting import until

EVERY_S = 30.0


def readings(values: list[float]) -> list[tuple[float, float]]:
    return [(number * EVERY_S, value) for number, value in enumerate(values)]


@pytest.mark.parametrize("seed", range(20))
def test_what_jumps_about_is_flat(seed: int) -> None:
    """A series without a trend, however noisy, is no finding in nineteen of twenty cases and more."""
    dice = random.Random(seed)
    found = growth(readings([100 + dice.uniform(-5, 5) for _ in range(40)]))
    assert is_flat(found, share=0.03, least=1)


@pytest.mark.parametrize("seed", range(5))
def test_what_grows_is_seen_through_its_noise(seed: int) -> None:
    """A tenth in twenty minutes, with noise of a twentieth."""
    dice = random.Random(seed)
    found = growth(readings([100 + number / 4 + dice.uniform(-2.5, 2.5) for number in range(40)]))
    assert found.gained == pytest.approx(9.75, abs=2)
    assert not is_flat(found, share=0.03, least=1)


def test_what_is_small_may_grow_by_its_least() -> None:
    """Two tasks more are no leak; fifty are."""
    share, least = BOUNDS["tasks"]
    assert is_flat(growth(readings([20, 20, 21, 22])), share=share, least=least)
    assert not is_flat(growth(readings([20, 35, 50, 65])), share=share, least=least)


async def test_visitors_notice_what_is_missing(redis_url: str) -> None:
    """They come and go all the time, by both transports: every mail is told once, how late is measured, and what they
    are told anew after a loss is counted."""
    async with leading_writer(redis_url) as (writer, _), running_edge(redis_url) as (url, _):
        port = int(url.rpartition(":")[2])
        async with people(port, [BOB, ANN], churn=20.0) as visitors:
            for number in range(60):
                await writer.commit([mail(f"Z{number}", number, box, subject=stamp()) for box in (BOB, ANN)])

            async def told() -> bool:
                answer = await visitors.ask(tops=True, churn=0)
                return {top.partition("-")[2] for top in answer["tops"].values()} == {"60"}

            await until(told)
            report = await visitors.ask(report=True)
            assert (report["mails"], report["lost"], report["twice"], report["anew"]) == (120, 0, 0, 0)
            assert report["closed"] == {}
            assert report["p50_ms"] > 0
            # More than is kept is lost: whoever has his connection open is told to begin anew.
            async with lost_messages(writer):
                await writer.commit([mail(f"L{number}", number) for number in range(250)])
            await writer.commit([mail("Z99")])

            async def anew() -> bool:
                return (await visitors.ask(report=True))["anew"] == 1

            await until(anew)
