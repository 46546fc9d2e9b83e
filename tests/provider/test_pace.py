"""So many calls a second, and no more."""

from __future__ import annotations

import pytest

from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.pace import Pace
from tests.provider.bare_provider import BareProvider

COUNT = "/openapi/mail/newcount"


def test_turns_are_even_and_not_saved() -> None:
    """Each waits for those before it; what was not used is gone; without a rate nobody waits."""
    now_s = 100.0
    pace = Pace(20, now=lambda: now_s)
    assert [round(pace.turn_s(), 9) for _ in range(4)] == [0, 0.05, 0.1, 0.15]
    now_s += 10
    assert [round(pace.turn_s(), 9) for _ in range(2)] == [0, 0.05]
    assert {Pace(None).turn_s() for _ in range(100)} == {0}
    with pytest.raises(ValueError, match="more than 0"):
        Pace(0)


async def test_a_client_keeps_its_pace(provider: BareProvider, http) -> None:
    """Each request takes a turn, the ones that are repeated too; so that a provider that counts them says 1002 less."""
    client = ProviderClient(
        api_url=provider.url,
        auth_url=provider.url,
        client_id="admin",
        client_secret=lambda: "k",
        session=http,
        rate=1000,
        busy_wait_s=0,
    )
    turns: list[float] = []
    provider.will_answer(COUNT, b'{"errcode":"1002"}', b'{"errcode":"1200"}', b'{"NewCount":1}')
    taken = client._call._pace.turn_s
    client._call._pace.turn_s = lambda: turns.append(taken()) or turns[-1]
    assert await client.newcount("a@x") == 1
    assert len(turns) == len(provider.calls(COUNT)) == 3
