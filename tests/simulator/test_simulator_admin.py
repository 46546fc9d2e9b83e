"""The admin surface, by which a test in another process drives the simulator."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.simulator import Framing, Kind, SecondListener
from bridge.simulator.admin import Admin
from bridge.simulator.wire.request import Request


async def post(wire, command: str, **arguments: Any) -> Any:
    return (await wire.call(f"/simulator/{command}", orjson.dumps(arguments).decode(), token=""))["done"]


async def refused(wire, command: str, body: str) -> tuple[str, str]:
    wire.ask(f"/simulator/{command}", body, token="")
    head, answer = await wire.answer()
    return head.split(" ")[1], orjson.loads(answer)["error"]


async def test_the_world_can_be_driven(simulate, dial, world):
    """Mail, burst, reading and accounts, each answered with what came of it."""
    wire = await dial(await simulate())
    mail = await post(wire, "mail", mailbox="bob@gzdev.com", subject="中")
    assert mail == {
        "mailbox": "bob@gzdev.com",
        "mail_id": world.mails[-1].mail_id,
        "unread": world.unread["bob@gzdev.com"],
        "pushed": False,
    }
    assert world.mails[-1].subject == "中"
    assert await post(wire, "burst", n=5) == {"mails": 5, "pushed": 0}
    assert await post(wire, "read", mailbox="bob@gzdev.com") == {"mailbox": "bob@gzdev.com", "unread": 0}
    await post(wire, "add-user", alias="new@gzdev.com", slaves=["n@gzdev.com"])
    assert world.accounts["new@gzdev.com"].slaves == ("n@gzdev.com",)
    await post(wire, "modify-user", alias="new@gzdev.com", tel="1")
    await post(wire, "delete-user", alias="new@gzdev.com")
    assert "new@gzdev.com" not in world.accounts


async def test_roster_can_be_driven(simulate, dial, world):
    """Parties and groups by no rule and at once, a swapped alias, and a key as short-lived as a test wants."""
    simulator = await simulate()
    wire = await dial(simulator)
    assert (await post(wire, "make-party", path="a/b"))["parties"][-2:] == ["a", "a/b"]
    assert (await post(wire, "move-party", src="a", dst="c"))["parties"][-2:] == ["c", "c/b"]
    assert "c" not in (await post(wire, "delete-party", path="c"))["parties"]
    await wire.done("/openapi/party/sync", "action=2&dstpath=later")
    await post(wire, "settle")
    assert "later" in world.roster.parties.paths
    group = await post(wire, "make-group", address="g@gzdev.com", name="G", status="list", allow_list=["x@y.com"])
    assert (group["status"], group["allow_list"]) == ("list", ["x@y.com"])
    await post(wire, "delete-group", address="g@gzdev.com")
    assert not world.roster.groups.all
    await post(wire, "modify-user", alias="bob@gzdev.com", slaves=["b1@gzdev.com"])
    await post(wire, "swap-alias", alias="bob@gzdev.com", slave="b1@gzdev.com")
    key = await post(wire, "auth-key", user="b1@gzdev.com", life_s=0)
    assert world.auth_keys.redeem("b1@gzdev.com", key["auth_key"]) == "expired"
    await post(wire, "rules", party_delay_s=0, auth_key_life_s=1)
    assert (simulator.rules.party_delay_s, simulator.rules.auth_key_life_s) == (0, 1)


async def test_faults_and_settings_can_be_driven(simulate, dial, world):
    """Faults on and off, dialect and rules by name, tokens, traffic, and cutting."""
    simulator = await simulate()
    wire = await dial(simulator)
    assert await post(wire, "fault", kind="errcode", value=1002, times=3) == {"active": ["errcode"]}
    assert await post(wire, "fault", kind="errcode", on=False) == {"active": []}
    await post(wire, "fault", kind="silent", endpoint="listen")
    await post(wire, "clear")
    assert not simulator.faults.has(Kind.SILENT)
    await post(wire, "dialect", framing="stream-chunked", separator="\n", content_type=None)
    assert (simulator.dialect.framing, simulator.dialect.content_type) == (Framing.STREAM_CHUNKED, None)
    await post(wire, "rules", second_listener="both", crashed_hold_s=3)
    assert simulator.rules.second_listener is SecondListener.BOTH
    assert await post(wire, "traffic", rate_per_s=0.001, paused=True) == {"rate_per_s": 0.001, "paused": True}
    listener = await dial(simulator)
    await listener.ask_listen(world.ver)
    await simulator.listeners.wait()
    await post(wire, "push", text='{"hello":1}')
    await post(wire, "push-errcode", code=1002)
    assert await post(wire, "cut", how="fin") == 1
    text = await listener.read_to_end()
    assert text.index(b'{"hello":1}') < text.index(b'"1002"')
    await post(wire, "expire-tokens")
    assert world.tokens.good == ()


async def test_views(simulate, dial, world):
    """The truth, the calls and the state as JSON."""
    simulator = await simulate()
    wire = await dial(simulator)
    await wire.call("/openapi/user/list", "Ver=0")
    truth = await wire.call("/simulator/truth", method="GET", token="")
    assert truth["ver"] == world.ver
    calls = await wire.call("/simulator/calls", method="GET", token="")
    assert [(call["endpoint"], call["outcome"]) for call in calls] == [("user/list", "ok")]
    state = await wire.call("/simulator/state", method="GET", token="")
    assert (state["listeners"], state["connections"], state["dialect"]["framing"]) == (0, 1, "same-socket")


@pytest.mark.parametrize(
    ("command", "body", "status", "why"),
    [
        ("dance", "{}", "404", "no command dance"),
        ("mail", "[1]", "400", "object"),
        ("mail", "{", "400", "JSON"),
        ("mail", '{"mailbox":"no@gzdev.com"}', "400", "no@gzdev.com"),
        ("mail", '{"colour":1}', "400", "colour"),
        ("fault", '{"kind":"gremlin"}', "400", "gremlin"),
        ("dialect", '{"framing":"morse"}', "400", "morse"),
        ("dialect", '{"indented":"yes"}', "400", "indented"),
        ("dialect", '{"colour":1}', "400", "colour"),
        ("traffic", '{"rate_per_s":-1}', "400", "negative"),
        ("cut", '{"how":"softly"}', "400", "softly"),
        ("make-party", '{"path":"a//b"}', "400", "level"),
        ("delete-party", '{"path":"no"}', "400", "no"),
        ("make-group", '{"address":"g@gzdev.com","status":"some"}', "400", "some"),
        ("delete-group", '{"address":"g@gzdev.com"}', "400", "g@gzdev.com"),
        ("auth-key", '{"user":"no@gzdev.com"}', "400", "no@gzdev.com"),
        ("dialect", '{"auth_key_name":"key"}', "400", "key"),
    ],
)
async def test_what_does_not_fit_is_refused(simulate, dial, command, body, status, why):
    """A wrong command or argument says what is wrong, and nothing is done."""
    simulator = await simulate()
    wire = await dial(simulator)
    got, error = await refused(wire, command, body)
    assert got == status
    assert why in error
    assert simulator.dialect.framing is Framing.SAME_SOCKET


async def test_settings_change_together_or_not_at_all(simulate, dial):
    """One wrong value leaves the others as they were."""
    simulator = await simulate()
    wire = await dial(simulator)
    await refused(wire, "dialect", '{"indented":true,"framing":"morse"}')
    assert simulator.dialect.indented is False


async def test_a_page_cannot_drive_it(simulate, dial, world):
    """A browser page of another origin reaches loopback too; its requests carry an Origin."""
    wire = await dial(await simulate())
    wire.ask("/simulator/burst", '{"n":1}', "Origin: http://evil.example")
    head, _ = await wire.answer()
    assert head.startswith("HTTP/1.1 403 ")
    assert not world.mails


async def test_only_loopback(simulate):
    """Another machine cannot drive it, even where the simulator listens on every address."""
    admin = Admin((await simulate()).commands, views={"truth": dict})
    request = Request("GET", "/simulator/truth", {}, {}, b"", True)
    assert admin.answer(request, peer="127.0.0.1")[0] == 200
    assert admin.answer(request, peer="::1")[0] == 200
    for peer in ("192.0.2.7", "fe80::1%eth0", ""):
        assert admin.answer(request, peer=peer)[0] == 403
