"""Answers that no document has: the worker goes on, whatever the provider says."""

from __future__ import annotations

import json

import pytest

from bridge.simulator import Kind
from tests.support.workers import BOB, Told, running_worker, simulating


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("life", [{}, {"expires_in": -1}, {"expires_in": 10**16}, {"expires_in": "soon"}], ids=str)
async def test_a_token_with_an_odd_life_is_used(redis_url: str, told: Told, life: dict[str, object]) -> None:
    """One that nobody can store, or none at all: the worker listens, and another worker finds the token."""
    async with simulating(2) as simulator:
        token = simulator.world.tokens.issue()
        simulator.faults.on(Kind.ANSWER, endpoint="token", value=json.dumps({"access_token": token, **life}))
        async with running_worker(redis_url, simulator):
            await told.wait("upstream.connected")
            simulator.world.deliver_mail(BOB)
            await told.wait("mail.new")
        async with running_worker(redis_url, simulator):
            await told.wait("upstream.connected", 2)
        assert simulator.calls.count("token") == 1


@pytest.mark.parametrize(
    "answer",
    [
        *("<html>", "", "null", nested(600), nested(5000), '{"message":"blocked"}', '{"errcode":null}'),
        *('{"Alias":"bob@gzdev.com","PartyList":' + nested(600) + "}", '{"error":"server_error"}', "[1e400]"),
    ],
    ids=lambda answer: answer[:30],
)
async def test_answers_of_any_shape_end_nothing(redis_url: str, told: Told, answer: str) -> None:
    """Mails go on, and what could be asked again is right afterwards."""
    async with simulating(2) as simulator, running_worker(redis_url, simulator):
        await told.wait("directory.synced")
        await told.wait("upstream.connected")
        await simulator.listeners.wait_hearing()
        for endpoint in ("user/get", "user/list", "mail/newcount"):
            simulator.faults.on(Kind.ANSWER, endpoint=endpoint, value=answer, times=1)
        simulator.world.modify_user(BOB, name="Robert")
        await simulator.faults.wait(Kind.ANSWER, 1)
        simulator.world.deliver_mail(BOB)
        await told.wait("mail.new")
