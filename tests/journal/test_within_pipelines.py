"""What a server says within a pipeline means the same as without one, and is told without the command's values."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.journal.errors import OtherType, TakesNoWrites
from bridge.journal.reports import Deafness, Reports
from tests.support.stage import KEYS

REPORT = Deafness("edge-of-bob", 1, 2)


@pytest.fixture
def reports(redis: Any) -> Reports:
    return Reports(redis, KEYS)


@pytest.mark.parametrize(("setting", "word"), [("min-replicas-to-write", "NOREPLICAS"), ("maxmemory", "OOM")])
async def test_a_server_that_takes_no_writes_is_known_by_its_word(
    redis: Any, reports: Reports, setting: str, word: str
) -> None:
    """Whoever took it for a refusal ended; now he tries again."""
    await redis.config_set(setting, "1")
    try:
        with pytest.raises(TakesNoWrites) as failed:
            await reports.tell(REPORT)
    finally:
        await redis.config_set(setting, "0")
    assert failed.value.word == word
    assert "edge-of-bob" not in str(failed.value)
    assert str(failed.value).startswith(word)


async def test_a_key_of_another_type_is_known_too(redis: Any, reports: Reports) -> None:
    await redis.set(KEYS.reports, "somebody else's")
    with pytest.raises(OtherType, match="WRONGTYPE") as failed:
        await reports.tell(REPORT)
    assert "edge-of-bob" not in str(failed.value)
