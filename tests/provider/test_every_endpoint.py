"""Each method of the client against the simulated provider: what it changes there, what comes back.

One test a method, ``test_<method>``; ``docs/protocol.md`` names them, and a test of that page looks for them here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from hashlib import md5
from typing import Any

import aiohttp
import pytest

from bridge.provider.bizmail import endpoints
from bridge.provider.bizmail.calls import BUSY_TRIES
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.models import AddressKind
from bridge.provider.faults import Busy, CallerFault, InvalidToken, NotFound, ProviderRefused
from bridge.provider.members import Action, UserChange
from bridge.provider.pushes import Online
from bridge.simulator import AuthKeyName, Rules, Simulator, World
from bridge.simulator.world.account import digest
from tests.support.waiting import PATIENCE_S

BOB, AMY, TEAM = "bob@gzdev.com", "amy@gzdev.com", "team@gzdev.com"
HOME = "广州研发中心"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    world = World(7, users=3)
    world.add_user(AMY, name="艾米", slaves=("a1@gzdev.com",))
    async with await Simulator.start(world, rules=Rules(party_delay_s=0)) as running:
        running.commands.do(
            "make-group", {"address": TEAM, "status": "list", "members": [BOB], "allow_list": [BOB, AMY]}
        )
        yield running


@pytest.fixture
def client(simulator: Simulator, http: aiohttp.ClientSession, calls: list[tuple[str, str]]) -> ProviderClient:
    return ProviderClient(
        api_url=simulator.url,
        auth_url=simulator.url,
        client_id=simulator.world.client_id,
        client_secret=lambda: simulator.world.client_secret,
        session=http,
        on_call=lambda endpoint, outcome, *_: calls.append((endpoint, outcome)),
        busy_wait_s=0,
    )


@pytest.fixture
def group(simulator: Simulator) -> Callable[[], Any]:
    """The group as the provider has it; there is no call that reads it."""
    return lambda: simulator.world.roster.groups.all.get(TEAM)


async def test_token(client: ProviderClient, calls: list[tuple[str, str]]) -> None:
    """Fetched once, then the same; its value is in no repr."""
    token = await client.token()
    assert await client.token() == token
    assert token.value not in repr(token)
    assert calls == [("token", "ok")]


@pytest.mark.parametrize("name", AuthKeyName)
async def test_authkey(client: ProviderClient, simulator: Simulator, name: AuthKeyName) -> None:
    """By every name that the document or the server gives it; its value is in no repr."""
    simulator.dialect.auth_key_name = name
    key = await client.authkey(BOB)
    assert simulator.world.auth_keys.redeem(BOB, key.value) == "opens"
    assert key.value not in f"{key} {key!r}"
    with pytest.raises(NotFound):
        await client.authkey("nobody@gzdev.com")


async def test_login_url(client: ProviderClient, simulator: Simulator, http: aiohttp.ClientSession) -> None:
    """The address opens that mailbox at that mail, once; the access token is not in it."""
    mail = simulator.world.deliver_mail(BOB)
    key = await client.authkey(BOB)
    url = client.login_url(BOB, ticket=key.value, mail_id=mail.mail_id)
    assert (await client.token()).value not in url
    async with http.get(url) as page:
        text = await page.text()
    assert f'data-mailbox="{BOB}" data-mail-id="{mail.mail_id}"' in text
    async with http.get(url) as again:
        assert 'data-outcome="used"' in await again.text()
    assert "mailid" not in client.login_url(BOB, ticket=key.value)


async def test_listen(client: ProviderClient, simulator: Simulator) -> None:
    """The acknowledgement, then what happens."""
    async with asyncio.timeout(PATIENCE_S), client.listen(ver=lambda: simulator.world.ver, silence_s=60) as session:
        assert await anext(session) == [Online(0)]
        mail = simulator.world.deliver_mail(BOB)
        assert [push.mail_id for push in await anext(session)] == [mail.mail_id]


@pytest.mark.parametrize("as_text", [False, True])
async def test_user_get(client: ProviderClient, simulator: Simulator, as_text: bool) -> None:
    """Departments come in two forms."""
    simulator.dialect.party_list_as_text = as_text
    profile = await client.user_get(BOB)
    assert (profile.name, profile.gender, profile.parties) == ("Bob", 1, (f"{HOME}/企业邮箱",))
    assert (await client.user_get(AMY)).slaves == ("a1@gzdev.com",)


async def test_user_add(client: ProviderClient, simulator: Simulator) -> None:
    """Every field arrives, repeated ones each; an address that exists and a department that does not are refused."""
    await client.user_add(
        *("new@gzdev.com",),
        name="新人",
        password=" p&ss=w0rd ",
        gender=2,
        position="工程师",
        tel="1",
        mobile="2",
        ext_id="3",
        parties=[HOME, f"/{HOME}/企业邮箱"],
        slaves=["n1@gzdev.com", "n2@gzdev.com"],
        open_type=2,
    )
    profile = await client.user_get("new@gzdev.com")
    assert (profile.name, profile.gender, profile.position) == ("新人", 2, "工程师")
    assert (profile.tel, profile.mobile, profile.ext_id, profile.open_type) == ("1", "2", "3", 2)
    assert profile.parties == (HOME, f"{HOME}/企业邮箱")
    assert profile.slaves == ("n1@gzdev.com", "n2@gzdev.com")
    assert simulator.world.accounts["new@gzdev.com"].password_md5 == digest(" p&ss=w0rd ")
    with pytest.raises(CallerFault) as exists:
        await client.user_add(BOB, name="Bob", password="123456")
    assert exists.value.errcode == "1304"
    with pytest.raises(CallerFault) as nowhere:
        await client.user_add("x@gzdev.com", name="X", password="123456", parties=["nowhere"])
    assert nowhere.value.errcode == "1310"


async def test_user_modify(client: ProviderClient, simulator: Simulator) -> None:
    """What is not given stays; an empty list empties; a digest is taken for what it is."""
    before = await client.user_get(AMY)
    await client.user_modify(AMY, position="lead", parties="", open_type=2)
    after = await client.user_get(AMY)
    assert (after.position, after.parties, after.open_type) == ("lead", (), 2)
    assert (after.name, after.slaves) == (before.name, before.slaves)
    await client.user_modify(AMY, name="Amy", slaves=[], password=md5(b"secret").hexdigest(), md5=True)
    assert (await client.user_get(AMY)).slaves == ()
    assert simulator.world.accounts[AMY].password_md5 == digest("secret")
    with pytest.raises(NotFound):
        await client.user_modify("nobody@gzdev.com", tel="1")


async def test_user_delete(client: ProviderClient) -> None:
    """Gone, and gone twice is told."""
    await client.user_delete(AMY)
    for again in (client.user_get, client.user_delete):
        with pytest.raises(NotFound):
            await again(AMY)


async def test_user_list(client: ProviderClient, simulator: Simulator) -> None:
    """Everybody for 0, then what changed after the Ver of the answer."""
    everybody = await client.user_list(0)
    assert {change.alias for change in everybody.changes} == set(simulator.world.accounts)
    await client.user_modify(AMY, tel="7")
    assert everybody.ver is not None
    assert (await client.user_list(everybody.ver)).changes == (UserChange(Action.MOD, AMY),)


@pytest.mark.parametrize("as_text", [False, True])
async def test_newcount(client: ProviderClient, simulator: Simulator, as_text: bool) -> None:
    """A number, as text or not."""
    simulator.dialect.answer_count_as_text = as_text
    assert await client.newcount(BOB) == simulator.world.unread[BOB]


async def test_user_check(client: ProviderClient) -> None:
    """What each address is, in the order of asking; one that can be none is an answer too."""
    asked = [BOB, "a1@gzdev.com", TEAM, "free@gzdev.com", "no address"]
    checks = await client.user_check(asked)
    assert [check.email for check in checks] == asked
    assert [check.kind for check in checks] == [1, 2, 3, AddressKind.FREE, AddressKind.INVALID]


async def test_user_openwxtoken(client: ProviderClient, simulator: Simulator) -> None:
    """It is required from then on."""
    await client.user_openwxtoken(BOB)
    assert simulator.world.accounts[BOB].wxtoken


async def test_user_closewxtoken(client: ProviderClient, simulator: Simulator) -> None:
    """And no longer."""
    await client.user_openwxtoken(BOB)
    await client.user_closewxtoken(BOB)
    assert not simulator.world.accounts[BOB].wxtoken


async def test_user_swapalias(client: ProviderClient) -> None:
    """The further address is the main one now, and the other way round."""
    await client.user_swapalias(AMY, "a1@gzdev.com")
    assert (await client.user_get("a1@gzdev.com")).slaves == (AMY,)


async def test_party_add(client: ProviderClient) -> None:
    """With those above it."""
    await client.party_add("/一/二/三")
    assert await client.party_list("一/二") == ("三",)


async def test_party_move(client: ProviderClient) -> None:
    """Members go with it; a department that is none is refused."""
    await client.party_move(HOME, "深圳研发中心")
    assert (await client.user_get(BOB)).parties == ("深圳研发中心/企业邮箱",)
    with pytest.raises(CallerFault) as nowhere:
        await client.party_move("nowhere", "somewhere")
    assert nowhere.value.errcode == "1310"


async def test_party_delete(client: ProviderClient) -> None:
    """Not while it has members."""
    await client.party_add("empty")
    await client.party_delete("empty")
    assert "empty" not in await client.party_list()
    with pytest.raises(CallerFault):
        await client.party_delete(HOME)


async def test_party_list(client: ProviderClient) -> None:
    """One level below, of the root if nothing is asked; names may hold a comma."""
    await client.party_add("a,b/c")
    assert HOME in await client.party_list()
    assert "a,b" in await client.party_list("/")
    assert await client.party_list("a,b") == ("c",)
    assert await client.party_list("a,b/c") == ()


async def test_partyuser_list(client: ProviderClient) -> None:
    """The accounts in the department itself."""
    assert BOB in await client.partyuser_list(f"{HOME}/企业邮箱")
    with pytest.raises(CallerFault):
        await client.partyuser_list("nowhere")


async def test_group_add(client: ProviderClient, simulator: Simulator) -> None:
    """Members are repeated; the address must be a new one."""
    await client.group_add("all@gzdev.com", name="大家", status="inner", members=[BOB, AMY])
    made = simulator.world.roster.groups.all["all@gzdev.com"]
    assert (made.name, made.status, set(made.members)) == ("大家", "inner", {BOB, AMY})
    with pytest.raises(CallerFault):
        await client.group_add(BOB, name="x", status="all", members=BOB)


async def test_group_delete(client: ProviderClient, group: Callable[[], Any]) -> None:
    """Gone; that is all that can be seen of it."""
    await client.group_delete(TEAM)
    assert group() is None


async def test_group_addmember(client: ProviderClient, group: Callable[[], Any]) -> None:
    """Beside those that are in it."""
    await client.group_addmember(TEAM, [AMY, "a1@gzdev.com"])
    assert {BOB, AMY} <= set(group().members)


async def test_group_deletemember(client: ProviderClient, group: Callable[[], Any]) -> None:
    """Only those that are named."""
    await client.group_addmember(TEAM, [AMY])
    await client.group_deletemember(TEAM, [BOB])
    assert set(group().members) == {AMY}


async def test_group_addallowlist(client: ProviderClient, group: Callable[[], Any], simulator: Simulator) -> None:
    """One parameter, commas in it."""
    await client.group_addallowlist(TEAM, ["a1@gzdev.com", BOB])
    assert set(group().allow_list) == {BOB, AMY, "a1@gzdev.com"}
    assert len(simulator.calls.of("group/addallowlist")) == 1


async def test_group_delallowlist(client: ProviderClient, group: Callable[[], Any]) -> None:
    """Somebody stays on it."""
    await client.group_delallowlist(TEAM, [BOB])
    assert set(group().allow_list) == {AMY}
    with pytest.raises(CallerFault):
        await client.group_delallowlist(TEAM, [AMY])


# What holds for all of them.

_VALUES: dict[str, Any] = {
    "alias": AMY,
    "name": "x",
    "password": "123456",
    "party": "p",
    "source": HOME,
    "target": "p",
    "group": TEAM,
    "status": "all",
    "members": [AMY],
    "senders": [AMY],
    "slave": "a1@gzdev.com",
    "emails": [AMY],
    "ver": 0,
}
CALLED = [each for each in endpoints.ENDPOINTS if each not in (endpoints.TOKEN, endpoints.LOGIN, endpoints.LISTEN)]


def minimal(endpoint: endpoints.Endpoint) -> dict[str, Any]:
    """The fewest values that a call can do with."""
    return {each.key: _VALUES[each.key] for each in endpoint.parameters if each.required}


@pytest.mark.parametrize("endpoint", CALLED, ids=lambda each: each.method)
async def test_busy_is_repeated_where_it_does_no_harm(
    client: ProviderClient, simulator: Simulator, endpoint: endpoints.Endpoint
) -> None:
    """1002: a call that might be done twice is sent once."""
    simulator.faults.on("errcode", endpoint=endpoint.name, value=1002)
    with pytest.raises(Busy):
        await getattr(client, endpoint.method)(**minimal(endpoint))
    assert simulator.calls.count(endpoint.name) == (BUSY_TRIES if endpoint.repeatable else 1)


def test_what_may_be_repeated() -> None:
    """Reading, setting what is set already, and a key that nobody has to use; nothing that adds, moves or deletes."""
    assert {each.method for each in endpoints.ENDPOINTS if each.repeatable} == {
        *("token", "authkey", "listen", "user_get", "user_modify", "user_list", "newcount", "user_check"),
        *("party_list", "partyuser_list", "user_openwxtoken", "user_closewxtoken"),
    }


@pytest.mark.parametrize("endpoint", CALLED, ids=lambda each: each.method)
async def test_a_token_that_died_is_renewed(
    client: ProviderClient, simulator: Simulator, endpoint: endpoints.Endpoint
) -> None:
    """1200 once: the call is repeated with another token and done; twice is told."""
    simulator.faults.on("errcode", endpoint=endpoint.name, value=1200, times=1)
    # The world may have its reasons to refuse these values; the token is none of them.
    with suppress(CallerFault, NotFound):
        await getattr(client, endpoint.method)(**minimal(endpoint))
    assert simulator.calls.count("token") == 2
    simulator.faults.on("errcode", endpoint=endpoint.name, value=1200, times=2)
    with pytest.raises(InvalidToken):
        await getattr(client, endpoint.method)(**minimal(endpoint))


@pytest.mark.parametrize("endpoint", CALLED, ids=lambda each: each.method)
async def test_unknown_codes_are_carried(
    client: ProviderClient, simulator: Simulator, endpoint: endpoints.Endpoint
) -> None:
    """A code of tomorrow is a refusal with that code."""
    simulator.faults.on("errcode", endpoint=endpoint.name, value=4711, times=1)
    with pytest.raises(ProviderRefused) as refused:
        await getattr(client, endpoint.method)(**minimal(endpoint))
    assert (refused.value.errcode, refused.value.endpoint) == ("4711", endpoint.name)
