"""``dead``: what an operator sees of documents that could not be read, and has done with them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from bridge.commands.dead import escaped
from bridge.journal.connect import RedisAddress
from bridge.simulator import Simulator
from bridge.worker.dead import without_secrets
from tests.commands.test_directory_command import run
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, RunningWorker, Told, running_worker, simulating

MAIL = b'{"UserName":"%b","MailId":"ZC-late","Subject":"late","NewCount":40}' % BOB.encode()
MASKED = "was stored without its text (BRIDGE_PRIVACY), so it cannot be read again"
HOSTILE = '{"bell":"\x07 \x1b]0;owned\x07","bidi":"\u202eexe","c1":"\x9b31m",\n'.encode() + b"\xff"
"""What would do things in a terminal."""


@dataclass(slots=True)
class Crypt:
    """A worker, and the program beside it."""

    url: str
    simulator: Simulator
    worker: RunningWorker
    told: Told

    async def run(self, *words: str) -> tuple[int, str, str]:
        return await run(self.url, "dead", *words)

    async def put(self, document: bytes, *, reason: str = "bad-json", kept: str = "whole", size: int = 0) -> str:
        """An entry as a reader of long ago left it, who could not read what today's can; its id."""
        fields = {"reason": reason, "size": size or len(document), "kept": kept, "document": document}
        id: bytes = await self.told.redis.xadd(KEYS.dead, fields)
        return id.decode()

    async def left(self) -> list[str]:
        """The ids of what is kept, the oldest first."""
        return [id.decode() for id, _ in await self.told.redis.xrange(KEYS.dead)]


@pytest.fixture
async def crypt(redis_url: str) -> AsyncIterator[Crypt]:
    client = RedisAddress(redis_url).client()
    told = Told(client)
    async with simulating() as simulator, running_worker(redis_url, simulator) as worker:
        await told.wait("directory.synced")
        await simulator.listeners.wait_hearing()
        yield Crypt(redis_url, simulator, worker, told)
    await client.aclose()


async def test_what_is_kept_is_listed(crypt: Crypt) -> None:
    """The newest first: id, time, reason, size; never what it says. As JSON one a line."""
    assert await crypt.run() == (0, "no documents are kept\n", "")
    ids = [await crypt.put(b"<secret>"), await crypt.put(b"{", kept="cut", size=17_000_000)]
    code, out, err = await crypt.run()
    newest, oldest, total = out.splitlines()
    assert (code, err, total) == (0, "", "2 documents could not be read")
    assert newest.startswith(ids[1])
    assert newest.endswith("bad-json       17000000 bytes  cut")
    assert oldest.startswith(ids[0])
    assert "secret" not in out
    _, out, _ = await crypt.run("list", "--json")
    assert [json.loads(line)["id"] for line in out.splitlines()] == ids[::-1]


async def test_the_newest_are_shown_unless_all_are_asked_for(crypt: Crypt) -> None:
    """Twenty fit a screen."""
    for number in range(25):
        await crypt.put(b"%d" % number)
    _, out, _ = await crypt.run()
    assert len(out.splitlines()) == 21
    assert out.endswith("25 documents could not be read, the newest 20 are shown; --all shows them\n")
    _, out, _ = await crypt.run("--all")
    assert len(out.splitlines()) == 26


async def test_one_is_shown_harmlessly(crypt: Crypt) -> None:
    """What would do things in a terminal is an escape, in JSON too."""
    id = await crypt.put(HOSTILE)
    code, out, err = await crypt.run("show", id)
    assert (code, err) == (0, "")
    assert all(each.isprintable() for each in out.replace("\n", ""))
    assert len(out.splitlines()) == 6
    assert '{"bell":"\\x07 \\x1b]0;owned\\x07","bidi":"\\u202eexe","c1":"\\x9b31m",\\n\\xff' in out
    code, out, err = await crypt.run("show", id, "--json")
    assert out.isascii()
    assert all(each.isprintable() for each in out.strip())
    assert json.loads(out)["document"].startswith('{"bell":"\x07')
    code, out, err = await crypt.run("show", "1-1")
    assert (code, out, err) == (1, "", "exmail-bridge: there is no entry 1-1 (any more)\n")


def test_escapes_are_readable() -> None:
    """Chinese stays Chinese."""
    assert escaped("李雷 \r\n\t\u2028\ue000".encode() + b"\xe6\x91") == "李雷 \\r\\n\\t\\u2028\\ue000\\xe6\\x91"


async def test_a_mail_that_can_be_read_now_is_announced_once(crypt: Crypt) -> None:
    """It leaves the stream in the step that announces it; its old count is not believed, today's is asked for."""
    world = crypt.simulator.world
    first = await crypt.put(MAIL)
    second = await crypt.put(MAIL)
    code, out, err = await crypt.run("replay", second, first, "1-1")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "1-1  there is no such entry (any more)",
        f"{first}  a mail; it is announced now",
        f"{second}  a mail that had been announced",
    ]
    [data] = await crypt.told.data("mail.new")
    assert (data["mailbox"], data["mail_id"], data["unread"]) == (BOB, "ZC-late", None)
    assert await crypt.left() == []
    [count, *_] = await crypt.told.wait("mail.unread")
    assert (count["unread"], count["reason"]) == (world.unread[BOB], "reconcile")
    assert await crypt.told.data("mail.missed") == []
    assert (await crypt.run("replay", "--all"))[:2] == (0, "")


async def test_all_are_replayed_the_oldest_first(crypt: Crypt) -> None:
    """More than one order's worth; what still cannot be read stays, and the exit code says so."""
    ids = [await crypt.put(MAIL.replace(b"late", b"late-%d" % number)) for number in range(60)]
    stays = await crypt.put(b"{not json}")
    code, out, _ = await crypt.run("replay", "--all", "--json")
    assert code == 1
    told = [json.loads(line) for line in out.splitlines()]
    assert told == [
        *({"id": id, "result": "mail", "reason": ""} for id in ids),
        {"id": stays, "result": "unreadable", "reason": "bad-json"},
    ]
    assert await crypt.left() == [stays]
    assert [data["mail_id"] for data in await crypt.told.data("mail.new")] == [f"ZC-late-{n}" for n in range(60)]


async def test_a_mail_id_that_was_taken_for_a_secret_is_none(crypt: Crypt) -> None:
    """Long ids are kept as stars, and so are tokens: two mails that have them are two mails, and both are announced."""
    for subject in (b"one", b"two"):
        document = without_secrets(MAIL.replace(b"ZC-late", b"Z" * 70).replace(b"late", subject))
        assert b'"MailId":"***"' in document
        await crypt.put(document)
    code, out, _ = await crypt.run("replay", "--all", "--json")
    assert (code, [json.loads(line)["result"] for line in out.splitlines()]) == (0, ["mail", "mail"])
    mails = await crypt.told.data("mail.new")
    assert [(each["mail_id"], each["mail_subject"]) for each in mails] == [("", "one"), ("", "two")]


@pytest.mark.parametrize(
    ("document", "kept", "code", "said", "stays"),
    [
        (b'{"UserName":"bob@gzdev.com","NewCount":40}', "whole", 0, "an unread count; the present one is asked for", 0),
        (b'{"Ver":1}', "whole", 0, "a change of the directory; it is asked for", 0),
        (b'{"Ret":0}', "whole", 0, "can be read, and nothing follows from it", 0),
        (b'{"errcode":"1001","error":"x"}', "whole", 0, "can be read, and nothing follows from it", 0),
        (b'{"UserName":"a b","NewCount":1}', "whole", 1, "still cannot be read (bad-address); it stays", 1),
        (b'{"what":1}', "whole", 1, "still cannot be read (unknown-shape); it stays", 1),
        (b'{"UserName":"x', "masked", 1, f"{MASKED}; it stays", 1),
        (MAIL[:60] + b"x" * 100, "cut", 0, "a mail; it is announced now", 0),
    ],
)  # fmt: skip
async def test_what_becomes_of_others(
    crypt: Crypt, document: bytes, kept: str, code: int, said: str, stays: int
) -> None:
    """Whatever can be read goes, the rest stays with its reason."""
    id = await crypt.put(document, kept=kept, size=200)
    assert await crypt.run("replay", id) == (code, f"{id}  {said}\n", "")
    assert len(await crypt.left()) == stays


async def test_documents_are_dropped(crypt: Crypt) -> None:
    """By id, or all."""
    ids = [await crypt.put(b"%d" % number) for number in range(120)]
    assert await crypt.run("drop", ids[0], ids[5], "1-1") == (0, "2 documents deleted\n", "")
    assert len(await crypt.left()) == 118
    assert await crypt.run("drop", "--all", "--json") == (0, '{"dropped": 118}\n', "")
    assert await crypt.left() == []


async def test_forgetting_a_mailbox_reaches_the_dead(crypt: Crypt) -> None:
    """Whatever names it, however it is written."""
    await crypt.put(b'{"UserName":"BOB@gzdev.com"')
    await crypt.put(b'{"UserName":"\\u0062ob\\u0040gzdev.com"')
    other = await crypt.put(b'{"UserName":"ann@gzdev.com"')
    code, _, err = await run(crypt.url, "forget", BOB)
    assert (code, err) == (0, "")
    assert await crypt.left() == [other]


async def test_from_the_wire_to_the_list(crypt: Crypt) -> None:
    """What the provider sends and nobody can read is there to be looked at."""
    crypt.simulator.listeners.push(b'{"UserName" "bob"}')
    await until(lambda: crypt.worker.metric("documents_dropped_total", reason="bad-json") == 1)

    async def there() -> bool:
        return len(await crypt.left()) == 1

    await until(there)
    [id] = await crypt.left()
    _, out, _ = await crypt.run("show", id)
    assert out.endswith('document {"UserName" "bob"}\n')
    _, out, _ = await run(crypt.url, "why", BOB)
    assert "dead         1 documents could not be read; see `dead`" in out
    assert "documents could not be read, pushes are lost" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show"], "takes the ids"),
        (["show", "--all"], "takes the ids"),
        (["list", "1-1"], "takes no ids"),
        (["replay"], "or --all"),
        (["drop", "1-1", "--all"], "or --all"),
        (["drop", "x"], "no id of an entry"),
        (["bury"], "invalid choice"),
    ],
)
async def test_wrong_calls(redis_url: str, words: list[str], said: str) -> None:
    """Nothing is done by mistake, above all not to everything."""
    code, out, err = await run(redis_url, "dead", *words)
    assert (code, out) == (2, "")
    assert said in err


async def test_without_a_worker_nothing_changes(redis_url: str) -> None:
    """Only the leader writes; looking needs nobody."""
    assert (await run(redis_url, "dead"))[0] == 0
    code, _, err = await run(redis_url, "dead", "drop", "1-1")
    assert code == 1
    assert "no worker leads" in err
