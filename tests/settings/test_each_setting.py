"""Each setting of ``docs/settings.md`` at its least, its greatest and between: the effect that its line tells."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bridge.journal.connect import RedisAddress
from bridge.settings.table import TABLE
from tests.settings.each import edge_rows, journal_rows, sign_in_rows, worker_rows
from tests.settings.each.bench import FREE, Bench
from tests.support.processes import free_port

ROWS = journal_rows.ROWS | worker_rows.ROWS | edge_rows.ROWS | sign_in_rows.ROWS
NUMBERS = [name for name, row in ROWS.items() if all(re.fullmatch(r"[0-9.]+", value) for value in row.values)]


@pytest.fixture
async def bench(redis_url: str, tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        redis = RedisAddress(redis_url).client()
        stack.push_async_callback(redis.aclose)
        yield Bench(redis_url, redis, tmp_path, stack)


def test_each_setting_has_a_row() -> None:
    """A new one needs its own, and one that is taken away has none any more."""
    assert set(ROWS) == {setting.variable for setting in TABLE}


@pytest.mark.parametrize("variable", NUMBERS)
def test_least_and_greatest_are_the_bounds(variable: str) -> None:
    """One step beyond either is refused."""
    [setting] = [setting for setting in TABLE if setting.variable == variable]
    least, *_, greatest = ROWS[variable].values
    for value in ROWS[variable].values:
        setting.read(value)
    step = 0.01 if "." in "".join(ROWS[variable].values) else 1
    for beyond in (float(least) - step, float(greatest) + step):
        with pytest.raises(ValueError, match="must be a"):
            setting.read(f"{beyond:.2f}" if step < 1 else f"{beyond:.0f}")


@pytest.mark.parametrize(
    ("variable", "value"),
    [pytest.param(name, value, id=f"{name}-{value[:20]}") for name, row in ROWS.items() for value in row.values],
)
async def test_its_effect_is_seen(bench: Bench, variable: str, value: str) -> None:
    """With real parts, as the programs make them of the settings."""
    await ROWS[variable].see(bench, value.replace(FREE, str(free_port())))
