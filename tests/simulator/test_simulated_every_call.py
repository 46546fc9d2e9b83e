"""What holds for every call of the API: names in any case, the token in three places, GET and POST, faults."""

from __future__ import annotations

from urllib.parse import quote

import orjson
import pytest

from bridge.simulator.api.endpoints import ENDPOINTS

BOB = "bob@gzdev.com"
TEAM = "team@gzdev.com"
AMY = "amy@gzdev.com"
CALLS = {
    "mail/authkey": f"Alias={BOB}",
    "mail/newcount": f"Alias={BOB}",
    "user/get": f"Alias={BOB}",
    "user/list": "Ver=0",
    "user/check": f"Email={BOB}&Email={AMY}",
    "user/sync": f"Action=3&Alias={BOB}&Name=Robert&Slave=b1@gzdev.com&Slave=b2@gzdev.com",
    "user/swapalias": f"Alias={AMY}&SlaveAlias=a1@gzdev.com",
    "user/openwxtoken": f"Alias={BOB}",
    "user/closewxtoken": f"Alias={BOB}",
    "party/sync": "Action=2&DstPath=a/b",
    "party/list": "PartyPath=" + quote("广州研发中心"),
    "partyuser/list": "PartyPath=" + quote("广州研发中心/企业邮箱"),
    "group/add": f"Group_Name=New&Group_Admin=new@gzdev.com&Status=all&Members={BOB}&Members={AMY}",
    "group/delete": f"Group_Alias={TEAM}",
    "group/addmember": f"Group_Alias={TEAM}&Members={AMY}",
    "group/deletemember": f"Group_Alias={TEAM}&Members={BOB}",
    "group/addallowlist": f"Group_Alias={TEAM}&Allow_List=a1@gzdev.com",
    "group/delallowlist": f"Group_Alias={TEAM}&Allow_List={BOB}",
}
READING = {"mail/authkey", "mail/newcount", "user/get", "user/list", "user/check", "party/list", "partyuser/list"}


@pytest.fixture
async def simulator(simulate, world):
    """Whatever the calls need is there."""
    world.add_user(AMY, slaves=("a1@gzdev.com",))
    simulator = await simulate()
    group = {"address": TEAM, "status": "list", "members": [BOB], "allow_list": [BOB, AMY]}
    simulator.commands.do("make-group", group)
    return simulator


def respelt(body: str, spell) -> str:
    pairs = (pair.partition("=") for pair in body.split("&"))
    return "&".join(f"{spell(name)}={value}" for name, _, value in pairs)


async def outcome(wire, simulator, name: str, target: str, body: str, **how) -> str:
    wire.ask(target, body, **how)
    head, answer = await wire.answer()
    assert head.startswith("HTTP/1.1 200 OK\r\n")
    last = simulator.calls.of(name)[-1].outcome
    if last == "ok":
        assert bool(answer) is (name in READING)
    else:
        assert orjson.loads(answer)["errcode"] == last
    return last


def test_no_call_is_left_out():
    """The table of this file has every call that wants a token, but listen."""
    assert set(CALLS) == {each.name for each in ENDPOINTS.values() if each.needs_token} - {"listen"}


@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.swapcase])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", CALLS)
async def test_names_in_any_case_by_get_and_post(simulator, dial, name, method, spell):
    """A reading call answers JSON, a writing one nothing, however its parameters are spelt and sent."""
    wire, body = await dial(simulator), respelt(CALLS[name], spell)
    path = f"/openapi/{name}"
    target, sent = (f"{path}?{body}", "") if method == "GET" else (path, body)
    assert await outcome(wire, simulator, name, target, sent, method=method) == "ok"


@pytest.mark.parametrize("place", ["header", "form", "query", "nowhere"])
@pytest.mark.parametrize("name", CALLS)
async def test_token_in_three_places(simulator, dial, name, place):
    """Header, form and query are equally good, and without a token nothing is done (1200)."""
    wire = await dial(simulator)
    query = f"?Access_Token={wire.token}" if place == "query" else ""
    form = f"&ACCESS_TOKEN={wire.token}" if place == "form" else ""
    bearer = None if place == "header" else ""
    got = await outcome(wire, simulator, name, f"/openapi/{name}{query}", CALLS[name] + form, token=bearer)
    assert got == ("1200" if place == "nowhere" else "ok")


@pytest.mark.parametrize("name", CALLS)
async def test_faults_strike_every_call(simulator, dial, world, name):
    """An errcode, an HTTP status and silence, for this call alone; a refused write has changed nothing."""
    wire, before = await dial(simulator), orjson.dumps(world.truth())
    simulator.faults.on("errcode", endpoint=name, value=1002, times=1)
    assert await outcome(wire, simulator, name, f"/openapi/{name}", CALLS[name]) == "1002"
    simulator.faults.on("http-status", endpoint=name, value=502, times=1)
    wire.ask(f"/openapi/{name}", CALLS[name])
    assert (await wire.answer())[0].startswith("HTTP/1.1 502 ")
    simulator.faults.on("silent", endpoint=name, times=1)
    wire.ask(f"/openapi/{name}", CALLS[name])
    await simulator.calls.wait(name, outcome="silent")
    assert orjson.dumps(world.truth()) == before
    wire = await dial(simulator)
    assert await outcome(wire, simulator, name, f"/openapi/{name}", CALLS[name]) == "ok"
