"""``user/list``, ``user/get`` and ``mail/newcount``: shapes of protocol 3.3, types as real answers had them."""

from __future__ import annotations

import aiohttp
import pytest

REFUSED = {"errcode": "1001", "error": "invalid_request"}


async def test_user_list_of_everybody(simulate, dial, world):
    """Ver=0 lists all accounts; Ver, Action and Count are numbers (protocol 3.3.3)."""
    wire = await dial(await simulate())
    answer = await wire.call("/openapi/user/list", "Ver=0")
    assert list(answer) == ["Ver", "Count", "List"]
    assert answer["Ver"] == world.ver
    assert answer["Count"] == 4
    assert answer["List"] == [{"Action": 2, "Alias": alias} for alias in world.accounts]


async def test_user_list_of_changes(simulate, dial, world):
    """Changes after a Ver come in order, an alias as often as it changed; with nothing new the list is empty."""
    wire = await dial(await simulate())
    ver = world.ver
    world.modify_user("bob@gzdev.com", tel="1")
    world.add_user("new@gzdev.com")
    world.delete_user("bob@gzdev.com")
    answer = await wire.call("/openapi/user/list", f"ver={ver}")
    assert [(line["Action"], line["Alias"]) for line in answer["List"]] == [
        (3, "bob@gzdev.com"),
        (2, "new@gzdev.com"),
        (1, "bob@gzdev.com"),
    ]
    assert await wire.call("/openapi/user/list", f"Ver={world.ver}") == {"Ver": world.ver, "Count": 0, "List": []}
    assert (await wire.call("/openapi/user/get", "alias=bob@gzdev.com"))["errcode"] == "1301"


async def test_user_get(simulate, dial, world):
    """Every member of protocol 3.3.1, SlaveList a comma string, PartyList an object, and a Status."""
    world.modify_user("bob@gzdev.com", slaves=("b1@gzdev.com", "b2@gzdev.com"), parties=("广州研发中心/企业邮箱",))
    wire = await dial(await simulate())
    assert await wire.call("/openapi/user/get", "Alias=%20BOB@gzdev.com") == {
        "Alias": "bob@gzdev.com",
        "Name": "Bob",
        "Gender": 1,
        "SlaveList": "b1@gzdev.com,b2@gzdev.com",
        "Position": "engineer",
        "Tel": "",
        "Mobile": "",
        "ExtId": "",
        "PartyList": {"Count": 1, "List": [{"Value": "广州研发中心/企业邮箱"}]},
        "OpenType": 1,
        "Status": 1,
    }


async def test_newcount(simulate, dial, world):
    """The count came back as a string; an unknown account is 1400 here (protocol 3.3.4)."""
    wire = await dial(await simulate())
    world.deliver_many(3, "bob@gzdev.com")
    unread = world.unread["bob@gzdev.com"]
    answer = await wire.call("/openapi/mail/newcount", "alias=bob@gzdev.com")
    assert answer == {"Alias": "bob@gzdev.com", "NewCount": str(unread)}
    assert await wire.call("/openapi/mail/newcount", "alias=no@gzdev.com") == {"errcode": "1400", "error": ""}


async def test_user_get_of_nobody(simulate, dial):
    """1301 with its text, HTTP status 200."""
    wire = await dial(await simulate())
    answer = await wire.call("/openapi/user/get", "alias=no@gzdev.com")
    assert answer == {"errcode": "1301", "error": "user_not_found"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/openapi/user/list", ""),
        ("/openapi/user/list", "Ver=abc"),
        ("/openapi/user/list", "Ver=-1"),
        pytest.param("/openapi/user/list", "Ver=" + "9" * 5000, id="long"),
        ("/openapi/user/get", "alias="),
        ("/openapi/mail/newcount", "name=bob@gzdev.com"),
        ("/openapi/listen", ""),
    ],
)
async def test_bad_parameters(simulate, dial, path, body):
    """A missing or unreadable parameter is 1001."""
    wire = await dial(await simulate())
    assert await wire.call(path, body) == REFUSED


async def test_numbers_and_parties_in_their_other_form(simulate, dial, world):
    """What came as text may come as number and the other way round; the dialect says which, while it runs."""
    simulator = await simulate()
    wire = await dial(simulator)
    simulator.dialect.answer_count_as_text = False
    simulator.dialect.answer_ver_as_text = True
    simulator.dialect.party_list_as_text = True
    world.modify_user("bob@gzdev.com", parties=("a/b", "c"))
    answer = await wire.call("/openapi/mail/newcount", "alias=bob@gzdev.com")
    assert answer["NewCount"] == world.unread["bob@gzdev.com"]
    assert (await wire.call("/openapi/user/list", "Ver=0"))["Ver"] == str(world.ver)
    assert (await wire.call("/openapi/user/get", "alias=bob@gzdev.com"))["PartyList"] == "a/b,c"


async def test_what_is_not_built_is_not_there(simulate, dial):
    """A path that the simulator does not know is 404, not an empty success; this one is the document's typo."""
    simulator = await simulate()
    wire = await dial(simulator)
    wire.ask("/openapi/user/close/wxtoken", "alias=bob@gzdev.com")
    head, _ = await wire.answer()
    assert head.startswith("HTTP/1.1 404 ")
    assert simulator.calls.count("/openapi/user/close/wxtoken", "http 404") == 1


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
async def test_other_methods_are_refused(simulate, dial, world, method):
    """Each section says GET/POST; a HEAD has no body, which would stand before the next answer."""
    simulator = await simulate()
    wire = await dial(simulator)
    wire.ask("/openapi/user/sync", "action=1&alias=bob@gzdev.com", method=method)
    head, body = await wire.answer()
    assert head.startswith("HTTP/1.1 405 ")
    assert not body
    assert "bob@gzdev.com" in world.accounts
    assert simulator.calls.count("user/sync") == 0
    assert await wire.call("/openapi/mail/newcount", "alias=no@gzdev.com") == {"errcode": "1400", "error": ""}


async def test_connection_close_is_obeyed(simulate, dial, world):
    """A client that asks for it sees the end after the answer."""
    wire = await dial(await simulate())
    wire.ask("/openapi/user/list", f"Ver={world.ver}", "Connection: close")
    head, _ = await wire.answer()
    assert "Connection: close" in head
    await wire.expect_end()


async def test_no_http_is_answered_with_400(simulate, dial):
    """TLS on the plain port is refused, and the connection ends."""
    wire = await dial(await simulate())
    wire.writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert (await wire.read_to_end()).startswith(b"HTTP/1.1 400 ")


async def test_an_ordinary_client_gets_along(simulate, world):
    """aiohttp, which nobody here wrote, reads token and answers over one connection."""
    simulator = await simulate()
    credentials = {"client_id": world.client_id, "client_secret": world.client_secret}
    async with aiohttp.ClientSession(simulator.url) as session:
        async with session.post("/cgi-bin/token", data=credentials) as answer:
            token = (await answer.json())["access_token"]
        for _ in range(3):
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get("/openapi/user/get", params={"alias": "bob@gzdev.com"}, headers=headers) as answer:
                assert (await answer.json())["PartyList"]["List"] == [{"Value": "广州研发中心/企业邮箱"}]
    assert simulator.connection_count == 1
