"""``user/sync``, ``user/check``, ``user/swapalias`` and the WeChat password: protocol 3.3.2, 3.3.8, 3.3.14, 3.3.15."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import orjson
import pytest

from bridge.simulator import Action
from bridge.simulator.world.account import digest

SYNC = "/openapi/user/sync"
BOB = "bob@gzdev.com"
NEW = "new@gzdev.com"
ADD = f"action=2&alias={NEW}&name=New&password=secret1"


def changes(world, ver: int) -> list[tuple[Action, str]]:
    return [(entry.action, entry.alias) for entry in world.directory_since(ver)]


async def test_add_with_everything(simulate, dial, world):
    """Every parameter of protocol 3.3.2 is kept, repeated Slave and PartyPath too, and user/get shows it."""
    world.modify_user(BOB, parties=("深圳总部/财务部", "市场部"))
    wire, ver = await dial(await simulate()), world.ver
    fields = [("Action", "2"), ("Alias", " NEW@gzdev.com"), ("Name", "新人"), ("Gender", "2"), ("Position", "会计")]
    fields += [("Tel", "020-1"), ("Mobile", "138"), ("ExtId", "77"), ("Password", "secret1"), ("OpenType", "1")]
    fields += [("Slave", "N1@gzdev.com"), ("slave", "n2@gzdev.com"), ("SLAVE", "n1@gzdev.com"), ("Md5", "0")]
    fields += [("PartyPath", "/深圳总部/财务部"), ("PARTYPATH", "市场部")]
    await wire.done(SYNC, urlencode(fields))
    assert await wire.call("/openapi/user/get", f"alias={NEW}") == {
        "Alias": NEW,
        "Name": "新人",
        "Gender": 2,
        "SlaveList": "n1@gzdev.com,n2@gzdev.com",
        "Position": "会计",
        "Tel": "020-1",
        "Mobile": "138",
        "ExtId": "77",
        "PartyList": {"Count": 2, "List": [{"Value": "深圳总部/财务部"}, {"Value": "市场部"}]},
        "OpenType": 1,
        "Status": 1,
    }
    assert changes(world, ver) == [(Action.ADD, NEW)]
    assert await wire.call("/openapi/mail/newcount", f"alias={NEW}") == {"Alias": NEW, "NewCount": "0"}


async def test_add_with_nothing_but_what_it_needs(simulate, dial, world):
    """The rest is empty and the account enabled, in the root; empty optional texts are as good as none."""
    wire = await dial(await simulate())
    await wire.done(SYNC, f"{ADD}&slave=&partypath=&position=&tel=&opentype=0")
    account = world.accounts[NEW]
    assert (account.slaves, account.parties, account.position, account.gender, account.open_type) == ((), (), "", 0, 1)
    assert (await wire.call("/openapi/partyuser/list", "partypath="))["List"][-1] == {"Value": NEW}


async def test_mod_changes_only_what_was_sent(simulate, dial, world):
    """MOD leaves the other fields; a sent list takes the place of the old one, its own members included."""
    world.modify_user(BOB, slaves=("b1@gzdev.com", "b2@gzdev.com"), tel="1")
    before, ver = world.accounts[BOB], world.ver
    wire = await dial(await simulate())
    await wire.done(SYNC, f"action=3&alias={BOB}&position=&slave=b2@gzdev.com&slave=b3@gzdev.com")
    after = world.accounts[BOB]
    assert (after.position, after.slaves) == ("", ("b2@gzdev.com", "b3@gzdev.com"))
    assert (after.name, after.tel, after.parties) == (before.name, "1", before.parties)
    assert changes(world, ver) == [(Action.MOD, BOB)]


async def test_mod_into_the_root(simulate, dial, world):
    """An empty PartyPath is the root (protocol 3.3.2)."""
    wire = await dial(await simulate())
    await wire.done(SYNC, f"action=3&alias={BOB}&partypath=")
    assert (await wire.call("/openapi/user/get", f"alias={BOB}"))["PartyList"] == {"Count": 0, "List": []}


async def test_del(simulate, dial, world):
    """The account, its mailbox and its addresses are gone; the last account stays."""
    world.modify_user(BOB, slaves=("b1@gzdev.com",))
    wire, ver = await dial(await simulate()), world.ver
    await wire.done(SYNC, f"action=1&alias={BOB}")
    assert changes(world, ver) == [(Action.DEL, BOB)]
    assert (await wire.call("/openapi/mail/newcount", f"alias={BOB}"))["errcode"] == "1400"
    checked = await wire.call("/openapi/user/check", f"email={BOB}&email=b1@gzdev.com")
    assert [line["Type"] for line in checked["List"]] == [0, 0]
    *others, last = world.accounts
    for alias in others:
        await wire.done(SYNC, f"action=1&alias={alias}")
    assert (await wire.call(SYNC, f"action=1&alias={last}"))["errcode"] == "1001"


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ("", 1001),
        (f"action=4&alias={BOB}", 1001),
        ("action=3&name=x", 1001),
        ("action=1", 1001),
        (f"action=2&alias={NEW}&password=secret1", 1001),
        (f"action=2&alias={NEW}&name=&password=secret1", 1001),
        (f"action=2&alias={NEW}&name=New", 1001),
        ("action=2&alias=no address&name=New&password=secret1", 1001),
        ("action=2&alias=new@elsewhere.com&name=New&password=secret1", 1001),
        (f"action=3&alias={BOB}&name=", 1001),
        (f"action=3&alias={BOB}&gender=0", 1001),
        (f"action=3&alias={BOB}&gender=3", 1001),
        (f"action=3&alias={BOB}&opentype=3", 1001),
        (f"action=3&alias={BOB}&md5=2", 1001),
        (f"action=3&alias={BOB}&slave=nonsense", 1001),
        (f"{ADD}&" + "&".join(f"slave=s{n}@gzdev.com" for n in range(6)), 1001),
        (f"{ADD}&partypath=a//b", 1001),
        ("action=3&alias=no@gzdev.com&name=x", 1301),
        ("action=1&alias=no@gzdev.com", 1301),
        ("action=1&alias=slave@gzdev.com", 1301),
        (f"action=2&alias={NEW}&name=New&password=", 1303),
        (f"action=2&alias={NEW}&name=New&password=12345", 1303),
        (f"action=2&alias={NEW}&name=New&password={'x' * 33}", 1303),
        (f"action=3&alias={BOB}&password=12345", 1303),
        (f"action=3&alias={BOB}&password=secret1&md5=1", 1303),
        (f"action=3&alias={BOB}&password={'g' * 32}&md5=1", 1303),
        ("action=2&alias=BOB@gzdev.com&name=New&password=secret1", 1304),
        ("action=2&alias=slave@gzdev.com&name=New&password=secret1", 1304),
        ("action=2&alias=group@gzdev.com&name=New&password=secret1", 1304),
        (f"{ADD}&slave={BOB}", 1304),
        (f"{ADD}&slave={NEW}", 1304),
        (f"action=3&alias={BOB}&slave={BOB}", 1304),
        (f"action=3&alias={BOB}&slave=slave@gzdev.com", 1304),
        (f"action=3&alias={BOB}&slave=group@gzdev.com", 1304),
        (f"{ADD}&partypath=" + quote("无此部门"), 1310),
        (f"action=3&alias={BOB}&partypath=" + quote("广州研发中心") + "&partypath=no", 1310),
    ],
)
async def test_refusals(simulate, dial, world, body, errcode):
    """What does not fit is refused with its errcode, and nothing changes."""
    world.add_user("other@gzdev.com", slaves=("slave@gzdev.com",))
    simulator = await simulate()
    simulator.commands.do("make-group", {"address": "group@gzdev.com"})
    wire, before = await dial(simulator), orjson.dumps(world.truth())
    assert (await wire.call(SYNC, body))["errcode"] == str(errcode)
    assert orjson.dumps(world.truth()) == before


@pytest.mark.parametrize("length", [6, 32])
async def test_password_lengths(simulate, dial, world, length):
    """6 to 32 characters, whatever they are; a Chinese one is one, and blanks at the ends belong to it."""
    wire, password = await dial(await simulate()), " " + "密" * (length - 2) + " "
    await wire.done(SYNC, f"action=3&alias={BOB}&password={quote(password)}")
    assert world.accounts[BOB].password_md5 == digest(password)


async def test_md5_password(simulate, dial, world):
    """Md5=1 sends the digest of what Md5=0 sends in clear; both are the same password."""
    wire = await dial(await simulate())
    await wire.done(SYNC, f"action=3&alias={BOB}&md5=1&password=E10ADC3949BA59ABBE56E057F20F883E")
    assert world.accounts[BOB].password_md5 == digest("123456")


async def test_passwords_stay_out_of_log_and_repr(simulate, dial, world):
    """Neither the log of calls nor an account's repr shows a password."""
    simulator = await simulate()
    wire = await dial(simulator)
    await wire.done(SYNC, f"action=3&alias={BOB}&PASSWORD=secret1")
    assert "secret1" not in repr(list(simulator.calls))
    assert digest("secret1") not in repr(world.accounts[BOB])


async def test_every_member_change_is_pushed(simulate, dial, world):
    """Ver moves with ADD, MOD and DEL, and a listener is told each time."""
    simulator = await simulate()
    listener, wire = await dial(simulator), await dial(simulator)
    await listener.ask_listen(world.ver)
    await listener.answer()
    for body in (ADD, f"action=3&alias={NEW}&tel=1", f"action=1&alias={NEW}"):
        await wire.done(SYNC, body)
        assert orjson.loads((await listener.answer())[1]) == {"Ver": str(world.ver)}


async def test_disabled_account_is_not_told_of(simulate, dial, world):
    """OpenType=2: mails come and count, nobody is told; user/get shows it; enabled again, pushes go on."""
    simulator = await simulate()
    listener, wire = await dial(simulator), await dial(simulator)
    await wire.done(SYNC, f"action=3&alias={BOB}&opentype=2")
    assert (await wire.call("/openapi/user/get", f"alias={BOB}"))["OpenType"] == 2
    await listener.ask_listen(world.ver)
    await listener.answer()
    before = world.unread[BOB]
    assert not world.deliver_mail(BOB).pushed
    world.read(BOB)
    world.deliver_mail(BOB)
    await wire.done(SYNC, f"action=3&alias={BOB}&opentype=1")
    assert world.deliver_mail(BOB).pushed
    assert "Ver" in orjson.loads((await listener.answer())[1])
    assert orjson.loads((await listener.answer())[1])["NewCount"] == before + 2


async def test_check(simulate, dial, world):
    """-1 invalid, 0 free, 1 account, 2 slave, 3 group, in the order and with the text of asking (protocol 3.3.8)."""
    world.modify_user(BOB, slaves=("b1@gzdev.com",))
    simulator = await simulate()
    simulator.commands.do("make-group", {"address": "all@gzdev.com"})
    wire = await dial(simulator)
    asked = ["nonsense", "free@gzdev.com", "BOB@gzdev.com", "b1@gzdev.com", "all@gzdev.com", "free@elsewhere.com"]
    answer = await wire.call("/openapi/user/check", urlencode([("email", email) for email in asked]))
    assert answer["Count"] == 6
    assert [line["Email"] for line in answer["List"]] == asked
    assert [line["Type"] for line in answer["List"]] == [-1, 0, 1, 2, 3, -1]


async def test_check_takes_twenty(simulate, dial):
    """20 addresses are answered, 21 and none are 1001."""
    wire = await dial(await simulate())
    emails = [f"email=e{n}@gzdev.com" for n in range(21)]
    assert (await wire.call("/openapi/user/check", "&".join(emails[:20])))["Count"] == 20
    for body in ("&".join(emails), "", "email="):
        assert (await wire.call("/openapi/user/check", body))["errcode"] == "1001"


async def test_swapalias(simulate, dial, world):
    """The slave becomes the main address, the old one a slave; user/list shows DEL old and ADD new."""
    world.modify_user(BOB, slaves=("b1@gzdev.com", "b2@gzdev.com"))
    simulator = await simulate()
    simulator.commands.do("make-group", {"address": "all@gzdev.com", "members": [BOB]})
    wire, ver, unread = await dial(simulator), world.ver, world.unread[BOB]
    await wire.done("/openapi/user/swapalias", f"alias={BOB}&slavealias=B2@gzdev.com")
    answer = await wire.call("/openapi/user/list", f"ver={ver}")
    assert [(line["Action"], line["Alias"]) for line in answer["List"]] == [(1, BOB), (2, "b2@gzdev.com")]
    assert (await wire.call("/openapi/user/get", "alias=b2@gzdev.com"))["SlaveList"] == f"b1@gzdev.com,{BOB}"
    assert (await wire.call("/openapi/user/get", f"alias={BOB}"))["errcode"] == "1301"
    assert world.unread["b2@gzdev.com"] == unread
    assert world.roster.groups.all["all@gzdev.com"].members == (BOB,)
    assert world.deliver_mail("b2@gzdev.com").unread == unread + 1


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        (f"alias={BOB}", 1001),
        ("slavealias=b1@gzdev.com", 1001),
        (f"alias={BOB}&slavealias=no@gzdev.com", 1301),
        ("alias=no@gzdev.com&slavealias=b1@gzdev.com", 1301),
    ],
)
async def test_swapalias_refusals(simulate, dial, world, body, errcode):
    """Both addresses are needed, and must be one account's."""
    world.modify_user(BOB, slaves=("b1@gzdev.com",))
    wire = await dial(await simulate())
    assert (await wire.call("/openapi/user/swapalias", body))["errcode"] == str(errcode)


async def test_wxtoken(simulate, dial, world):
    """Open and close are remembered; they are no part of the profile, so Ver stays."""
    wire, ver = await dial(await simulate()), world.ver
    await wire.done("/openapi/user/openwxtoken", f"alias={BOB}")
    assert world.accounts[BOB].wxtoken
    await wire.done("/openapi/user/closewxtoken", f"alias={BOB}")
    assert not world.accounts[BOB].wxtoken
    assert world.ver == ver
    for path in ("/openapi/user/openwxtoken", "/openapi/user/closewxtoken"):
        assert (await wire.call(path, "alias=no@gzdev.com"))["errcode"] == "1301"
        assert (await wire.call(path))["errcode"] == "1001"
