"""Tokens: protocol 2.3, and what is not written there."""

from __future__ import annotations

import base64

import pytest

from bridge.simulator import World

TOKEN = "/cgi-bin/token"


def credentials(world: World) -> str:
    return f"client_id={world.client_id}&client_secret={world.client_secret}"


async def test_form_as_in_the_document(simulate, dial, world):
    """The form of the document's first example; the answer has its four members and types."""
    wire = await dial(await simulate())
    answer = await wire.call(TOKEN, f"grant_type=client_credentials&{credentials(world)}", token="")
    assert list(answer) == ["access_token", "token_type", "expires_in", "refresh_token"]
    assert (answer["token_type"], answer["expires_in"], answer["refresh_token"]) == ("Bearer", 86400, "")
    assert world.tokens.good == (answer["access_token"],)


async def test_basic_as_in_the_document(simulate, dial, world):
    """The document's second example: Basic, and only the grant type in the body."""
    wire = await dial(await simulate())
    basic = base64.b64encode(f"{world.client_id}:{world.client_secret}".encode()).decode()
    answer = await wire.call(TOKEN, "grant_type=client_credentials", f"Authorization: Basic {basic}", token="")
    assert world.tokens.accepts(answer["access_token"])


async def test_get_with_a_query_in_any_case(simulate, dial, world):
    """GET works as POST does, and parameter names may have any case."""
    wire = await dial(await simulate())
    query = credentials(world).replace("client_id", "Client_Id").replace("client_secret", "CLIENT_SECRET")
    answer = await wire.call(f"{TOKEN}?{query}", method="GET", token="")
    assert world.tokens.accepts(answer["access_token"])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("grant_type=client_credentials", "invalid_request"),
        ("client_id=simulated", "invalid_request"),
        ("client_id=simulated&client_secret=wrong", "invalid_client"),
        ("client_id=other&client_secret={secret}", "invalid_client"),
        ("grant_type=password&client_id=simulated&client_secret={secret}", "invalid_request"),
    ],
)
async def test_wrong_credentials_get_nothing(simulate, dial, world, body, error):
    """A refusal is HTTP 200 with an errcode, both values strings."""
    wire = await dial(await simulate())
    answer = await wire.call(TOKEN, body.format(secret=world.client_secret), token="")
    assert answer == {"errcode": "1001", "error": error}


async def test_secrets_stay_out_of_the_log(simulate, dial, world):
    """The log of calls knows who asked, not with what."""
    simulator = await simulate()
    wire = await dial(simulator)
    answer = await wire.call(TOKEN, credentials(world), token="")
    await wire.call(f"/openapi/user/list?ver=0&access_token={answer['access_token']}", token="")
    logged = repr(list(simulator.calls))
    assert world.client_secret not in logged
    assert answer["access_token"] not in logged
    assert world.client_id in logged


async def test_bad_missing_and_expired_tokens_are_the_same(simulate, dial, world):
    """1200 does not say what is wrong."""
    wire = await dial(await simulate())
    refusal = {"errcode": "1200", "error": "invalid_token"}
    assert await wire.call("/openapi/user/list", "Ver=0", token="") == refusal
    assert await wire.call("/openapi/user/list", "Ver=0", token="wrong") == refusal
    world.expire_tokens()
    assert await wire.call("/openapi/user/list", "Ver=0") == refusal


@pytest.mark.parametrize("place", ["header", "form", "query"])
async def test_token_in_all_three_places(simulate, dial, world, place):
    """Header, form field and query parameter are equally good."""
    wire = await dial(await simulate())
    query = f"?access_token={wire.token}" if place == "query" else ""
    form = f"&ACCESS_TOKEN={wire.token}" if place == "form" else ""
    answer = await wire.call(f"/openapi/user/list{query}", f"Ver=0{form}", token=None if place == "header" else "")
    assert answer["Count"] == 4


def test_a_new_token_kills_the_old_or_does_not():
    """Both have been imagined, so both can be had."""
    world = World(1)
    first, second = world.tokens.issue(), world.tokens.issue()
    assert world.tokens.good == (second,)
    world.tokens.kills_old = False
    third = world.tokens.issue()
    assert world.tokens.good == (second, third)
    assert not world.tokens.accepts(first)


def test_a_token_lives_as_long_as_was_said():
    """``expires_in`` is obeyed by the one who said it."""
    clock = [1000.0]
    world = World(1, now=lambda: clock[0])
    world.tokens.expires_in_s = 60
    token = world.tokens.issue()
    clock[0] = 1059.9
    assert world.tokens.accepts(token)
    clock[0] = 1060.0
    assert not world.tokens.accepts(token)
