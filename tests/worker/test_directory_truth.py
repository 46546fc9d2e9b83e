"""Zulip's rule for every action on the provider: old state + the published events == fresh state from scratch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import pytest

from bridge.journal.calls import Retention
from bridge.journal.keys import Keys
from bridge.journal.mirror import Mirror
from bridge.journal.writer import Writer
from bridge.obs.metrics import Metrics
from bridge.simulator import Simulator
from bridge.simulator.api.endpoints import ENDPOINTS
from bridge.worker.directory import Directory
from bridge.worker.guard import Guard
from tests.support.members import mirrored, mirrored_slaves
from tests.support.members import told as believed
from tests.support.stage import LEASE_S
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, Told, running_worker

from .conftest import ALL_FIELDS, QUICK, Parts, nothing_waits, pulled

Action = tuple[str, Sequence[tuple[str, str]]]
DEFAULT_FIELDS = ("alias", "name", "parties", "slaves", "status")
SLAVE = "robert@gzdev.com"
TEAM = "team@gzdev.com"
PARTY = "广州研发中心/企业邮箱"

NEW = ("user/sync", [("action", "2"), ("alias", "new@gzdev.com"), ("name", "New"), ("password", "secret1")])
WITH_SLAVE = ("user/sync", [("action", "3"), ("alias", BOB), ("slave", SLAVE), ("slave", "bobby@gzdev.com")])
GROUP = ("group/add", [("group_name", "Team"), ("group_admin", TEAM), ("status", "list"), ("members", BOB)])
ALLOWED = ("group/addallowlist", [("group_alias", TEAM), ("allow_list", f"{BOB},{TEAM}")])

ACTIONS: dict[str, Sequence[Action]] = {
    "add user": [NEW],
    "add user with all fields": [(NEW[0], [*NEW[1], ("slave", SLAVE), ("partypath", PARTY), ("mobile", "138")])],
    "add user that is disabled": [(NEW[0], [*NEW[1], ("opentype", "2")])],
    "modify user": [("user/sync", [("action", "3"), ("alias", BOB), ("name", "Robert"), ("tel", "1")])],
    "modify nothing": [("user/sync", [("action", "3"), ("alias", BOB)])],
    "disable user": [("user/sync", [("action", "3"), ("alias", BOB), ("opentype", "2")])],
    "disable and enable user": [
        ("user/sync", [("action", "3"), ("alias", BOB), ("opentype", "2")]),
        ("user/sync", [("action", "3"), ("alias", BOB), ("opentype", "1")]),
    ],
    "change password": [("user/sync", [("action", "3"), ("alias", BOB), ("password", "secret2")])],
    "add slaves": [WITH_SLAVE],
    "take slaves away": [WITH_SLAVE, ("user/sync", [("action", "3"), ("alias", BOB), ("slave", "")])],
    "give a slave to a new user": [
        WITH_SLAVE,
        ("user/sync", [("action", "3"), ("alias", BOB), ("slave", "bobby@gzdev.com")]),
        (NEW[0], [*NEW[1], ("slave", SLAVE)]),
    ],
    "delete user": [("user/sync", [("action", "1"), ("alias", BOB)])],
    "delete user with slaves": [WITH_SLAVE, ("user/sync", [("action", "1"), ("alias", BOB)])],
    "delete and add user": [
        ("user/sync", [("action", "1"), ("alias", BOB)]),
        ("user/sync", [("action", "2"), ("alias", BOB), ("name", "Another"), ("password", "secret1")]),
    ],
    "a slave becomes a user": [
        WITH_SLAVE,
        ("user/sync", [("action", "3"), ("alias", BOB), ("slave", "bobby@gzdev.com")]),
        ("user/sync", [("action", "2"), ("alias", SLAVE), ("name", "Robert"), ("password", "secret1")]),
    ],
    "swap main address and slave": [WITH_SLAVE, ("user/swapalias", [("alias", BOB), ("slavealias", SLAVE)])],
    "swap there and back": [
        WITH_SLAVE,
        ("user/swapalias", [("alias", BOB), ("slavealias", SLAVE)]),
        ("user/swapalias", [("alias", SLAVE), ("slavealias", BOB)]),
    ],
    "open and close wxtoken": [("user/openwxtoken", [("alias", BOB)]), ("user/closewxtoken", [("alias", BOB)])],
    "add party": [("party/sync", [("action", "2"), ("dstpath", "临时小组/华南")])],
    "rename party": [("party/sync", [("action", "3"), ("srcpath", PARTY), ("dstpath", "广州研发中心/邮箱")])],
    "move party above": [("party/sync", [("action", "3"), ("srcpath", "广州研发中心"), ("dstpath", "研发")])],
    "delete party": [
        ("party/sync", [("action", "2"), ("dstpath", "临时小组")]),
        ("party/sync", [("action", "1"), ("dstpath", "临时小组")]),
    ],
    "put user into parties": [
        ("party/sync", [("action", "2"), ("dstpath", "临时小组")]),
        ("user/sync", [("action", "3"), ("alias", BOB), ("partypath", "临时小组"), ("partypath", PARTY)]),
    ],
    "take user out of parties": [("user/sync", [("action", "3"), ("alias", BOB), ("partypath", "")])],
    "add group": [GROUP],
    "delete group": [GROUP, ("group/delete", [("group_alias", TEAM)])],
    "group members": [
        NEW,
        GROUP,
        ("group/addmember", [("group_alias", TEAM), ("members", NEW[1][1][1])]),
        ("group/deletemember", [("group_alias", TEAM), ("members", BOB)]),
    ],
    "group allow list": [GROUP, ALLOWED, ("group/delallowlist", [("group_alias", TEAM), ("allow_list", TEAM)])],
    "delete a member of a group": [GROUP, ("user/sync", [("action", "1"), ("alias", BOB)])],
}
READING = {"token", "login", "listen", "mail/authkey", "mail/newcount", "user/get", "user/list", "user/check"}
READING |= {"party/list", "partyuser/list"}

Do = Callable[[Sequence[Action]], Awaitable[None]]


@pytest.fixture
def do(simulator: Simulator) -> Do:
    """Ask the provider, as another program with its own token."""
    simulator.rules.party_delay_s = 0

    async def ask(actions: Sequence[Action]) -> None:
        token = simulator.world.tokens.issue()
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            for name, fields in actions:
                async with session.post(f"{simulator.url}/openapi/{name}", data=fields) as answer:
                    # A write that succeeded has an empty body.
                    assert await answer.read() == b"", name

    return ask


async def from_scratch(parts: Parts, fields: Sequence[str]) -> tuple[dict[str, Any], dict[str, str], set[str]]:
    """Mirror, slaves and barred addresses as somebody fills them who knows nothing."""
    keys = Keys("fresh")
    for key in (keys.ver, keys.directory, keys.slaves, keys.barred, keys.lease):
        await parts.redis.delete(key)
    writer = Writer(parts.redis, keys, lease_s=LEASE_S, retention=Retention())
    assert await writer.claim() is not None
    mirror = Mirror(parts.redis, keys)
    directory = Directory(
        parts.members,
        writer,
        mirror,
        Metrics(),
        {},
        namespace="fresh",
        guard=Guard(),
        fields=fields,
        appeared=[].append,
        caught_up=nothing_waits,
        pace=QUICK,
    )
    await directory.load()
    await pulled(directory)
    return dict(await mirror.everybody()), dict(await mirror.slaves()), await mirror.barred()


@pytest.mark.parametrize("fields", [ALL_FIELDS, DEFAULT_FIELDS], ids=["all fields", "default fields"])
@pytest.mark.parametrize("name", ACTIONS)
async def test_old_state_and_events_are_fresh_state(
    parts: Parts, simulator: Simulator, told: Told, do: Do, name: str, fields: Sequence[str]
) -> None:
    """Pulled action by action and all at once; slaves, and who is disabled, are the same as well."""
    directory = await parts.directory(fields)
    await pulled(directory)
    old, seen = await mirrored(parts.redis), len(await told.events())
    for actions in ([each] for each in ACTIONS[name]):
        await do(actions)
        directory.doubt()
        await pulled(directory)
    profiles, slaves, disabled = await from_scratch(parts, fields)
    events = (await told.events())[seen:]
    assert believed(old, events, enabled_counts=True) == await mirrored(parts.redis) == profiles
    assert await mirrored_slaves(parts.redis) == parts.slaves == slaves
    barred = await parts.mirror.barred()
    assert barred & profiles.keys() == disabled
    assert not barred & slaves.keys()
    assert directory.cursor == simulator.world.ver


@pytest.mark.parametrize("name", ACTIONS)
async def test_actions_that_come_in_one_delta(
    parts: Parts, simulator: Simulator, told: Told, do: Do, name: str
) -> None:
    """The same, when the bridge hears of all of it in one answer."""
    directory = await parts.directory()
    await pulled(directory)
    old, seen = await mirrored(parts.redis), len(await told.events())
    await do(ACTIONS[name])
    directory.doubt()
    await pulled(directory)
    profiles, slaves, disabled = await from_scratch(parts, ALL_FIELDS)
    assert believed(old, (await told.events())[seen:]) == await mirrored(parts.redis) == profiles
    assert await mirrored_slaves(parts.redis) == parts.slaves == slaves
    assert await parts.mirror.barred() & profiles.keys() == disabled


def test_every_write_of_the_provider_is_among_the_actions() -> None:
    """A further endpoint of the simulator must be tried here."""
    tried = {name for actions in ACTIONS.values() for name, _ in actions}
    assert tried == {endpoint.name for endpoint in ENDPOINTS.values()} - READING


MAILS: dict[str, Sequence[tuple[str, dict[str, Any]]]] = {
    "a mail": [("mail", {"mailbox": BOB})],
    "a mail again": [("mail", {"mailbox": BOB, "mail_id": "Z1"}), ("mail", {"mailbox": BOB, "mail_id": "Z1"})],
    "many mails": [("burst", {"n": 40})],
    "some are read": [("burst", {"n": 5, "mailbox": BOB}), ("read", {"mailbox": BOB, "n": 2})],
    "all are read": [("mail", {"mailbox": BOB}), ("read", {"mailbox": BOB})],
    "a mail to a slave": [
        ("modify-user", {"alias": BOB, "slaves": [SLAVE]}),
        ("mail", {"mailbox": BOB, "user_name": SLAVE}),
    ],
}


@pytest.mark.parametrize("name", MAILS)
async def test_counts_and_events_are_the_provider_s(
    redis_url: str, simulator: Simulator, told: Told, name: str
) -> None:
    """Each mailbox's last event, and its stored count, are what the provider says of it."""
    world = simulator.world
    async with running_worker(redis_url, simulator):
        await told.wait("directory.synced")
        await simulator.listeners.wait_hearing()
        touched = {BOB}
        for command, arguments in MAILS[name]:
            simulator.commands.do(command, arguments)
            if command == "modify-user":
                await until(lambda: _slave_known(told))
            touched |= {mail.mailbox for mail in world.mails}

        async def agrees() -> bool:
            last = {data["mailbox"]: data["unread"] for data in await told.data("mail.new", "mail.unread")}
            stored = {each: await told.redis.hget(KEYS.state(each), "unread") for each in touched}
            return all(
                last.get(each) == world.unread[each] and stored[each] == str(world.unread[each]).encode()
                for each in touched
            )

        await until(agrees)
        ids = [data["mail_id"] for data in await told.data("mail.new")]
        assert sorted(ids) == sorted({mail.mail_id for mail in world.mails})


async def _slave_known(told: Told) -> bool:
    return SLAVE in await mirrored_slaves(told.redis)
