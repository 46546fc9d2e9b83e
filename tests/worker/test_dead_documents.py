"""Hostile and broken documents: told of where a mailbox can be read, else counted, kept, and asked after."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.journal.dead import DeadDocument, DeadDocuments
from bridge.obs.logs import fields_of
from bridge.provider.bizmail.pushes import NAMES
from bridge.simulator import Defect, Kind, Simulator
from bridge.worker.dead import KEPT_MOST, Burial, masked, without_secrets
from tests.support.waiting import until
from tests.support.workers import BOB, KEYS, RunningWorker, Told, running_worker

HEAD = b'{"UserName":"bob@gzdev.com","MailId":"ZC-hostile","Subject":"'
TAIL = b'","NewCount":7}'
WORDS = ("Geheimnis", "boss@elsewhere.com", "4711")


async def listening(simulator: Simulator, told: Told) -> None:
    await told.wait("directory.synced")
    await told.wait("upstream.connected")
    await simulator.listeners.wait_hearing()


async def in_grave(redis: Any) -> list[DeadDocument]:
    """What is kept, the newest first."""
    return [each async for each in DeadDocuments(redis, KEYS).newest()]


async def buried(redis: Any, n: int = 1) -> list[DeadDocument]:
    """Wait until so many are kept."""

    async def there() -> bool:
        return len(await in_grave(redis)) >= n

    await until(there)
    return await in_grave(redis)


def dropped(worker: RunningWorker, reason: str) -> float:
    return worker.metric("documents_dropped_total", reason=reason)


@pytest.mark.parametrize(
    ("document", "subject", "unread"),
    [
        pytest.param(HEAD + "摘要".encode()[:-1] + TAIL, "摘\ufffd", 7, id="bad-utf8"),
        pytest.param(HEAD + "测试".encode("gbk") + TAIL, "\ufffd" * 4, 7, id="gbk"),
        pytest.param(HEAD + b"half \\ud83d" + TAIL, "half \ufffd", 7, id="lone-surrogate"),
        pytest.param(HEAD + b"nul \x00 and \\u0000" + TAIL, "nul \x00 and \x00", 7, id="nul"),
        pytest.param(HEAD + b"\\u202egnp.exe \\u001b[31m" + TAIL, "\u202egnp.exe \x1b[31m", 7, id="bidi-and-ansi"),
        pytest.param(HEAD + b'\\"},{\\"Ver\\":1}' + TAIL, '"},{"Ver":1}', 7, id="looks-like-more"),
        pytest.param(HEAD + b"x" * 10_000_000 + TAIL, "x" * 1023 + "…", 7, id="10-MB-subject"),
        pytest.param(HEAD + b"x" * 17_000_000 + TAIL, "x" * 1023 + "…", None, id="past-the-limit"),
        pytest.param(HEAD[:-1] + b"[" * 5000 + b"]" * 5000 + TAIL[1:], None, 7, id="deep-list"),
        pytest.param(HEAD[:-1] + b'{"a":' * 5000 + b"1" + b"}" * 5000 + TAIL[1:], None, 7, id="deep-object"),
        pytest.param(HEAD + b'say "hi"' + TAIL, "say …", None, id="quotes-that-nobody-escaped"),
    ],
)
async def test_a_mail_is_told_of_whatever_its_text(
    redis: Any,
    redis_url: str,
    simulator: Simulator,
    told: Told,
    document: bytes,
    subject: str | None,
    unread: int | None,
) -> None:
    """Repaired and bounded; nothing is dropped, and the mail behind it comes."""
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        simulator.listeners.push(document)
        [data] = await told.wait("mail.new")
        assert (data["mailbox"], data["mail_id"], data["unread"]) == (BOB, "ZC-hostile", unread)
        assert data.get("mail_subject") == subject
        after = simulator.world.deliver_mail(BOB)
        assert (await told.wait("mail.new", 2))[1]["mail_id"] == after.mail_id
        assert await in_grave(redis) == []
        for fields in [fields for _, fields in await redis.xrange(KEYS.events)]:
            assert len(fields[b"event"]) < 10_000
        assert all(dropped(worker, reason) == 0 for reason in ("bad-json", "too-large", "unknown-shape"))
        if unread is None:
            # Its count did not come: it is asked for, or the next mail brings it.
            async def is_right() -> bool:
                stored = await redis.hget(KEYS.state(BOB), "unread")
                return stored == str(simulator.world.unread[BOB]).encode()

            await until(is_right)
            assert await told.data("mail.missed") == []


@pytest.mark.parametrize(
    ("document", "reason", "kept"),
    [
        pytest.param(b"<html>no</html>", "not-object", "whole", id="html"),
        pytest.param(b'{"UserName" "bob"}', "bad-json", "whole", id="bad-json"),
        pytest.param(b'{"Event":"maintenance"}', "unknown-shape", "whole", id="unknown"),
        pytest.param(b'{"UserName":"a b","NewCount":1}', "bad-address", "whole", id="bad-address"),
        pytest.param(b'{"UserName":"a@b\\u0000.cn","NewCount":1}', "bad-address", "whole", id="nul-address"),
        pytest.param(b'{"UserName":"a\\u202e@b.cn","NewCount":1}', "bad-address", "whole", id="bidi-address"),
        pytest.param(b'{"a":' * 6000 + b"1" + b"}" * 6000, "bad-json", "cut", id="deep"),
        pytest.param(b'{"Subject":"' + b"x" * 10_000_000 + b'"}', "unknown-shape", "cut", id="10-MB"),
        pytest.param(b'{"Subject":"' + b"x " * 8_500_000 + b'"}', "too-large", "cut", id="past-the-limit"),
    ],
)
async def test_what_tells_of_no_mailbox_is_kept(
    redis: Any,
    redis_url: str,
    simulator: Simulator,
    told: Told,
    document: bytes,
    reason: str,
    kept: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its head, reason and size; counted; one log line without its content; and the mail behind it comes."""
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        simulator.listeners.push(document)
        after = simulator.world.deliver_mail(BOB)
        [data] = await told.wait("mail.new")
        assert data["mail_id"] == after.mail_id
        [dead] = await buried(redis)
        assert (dead.reason, dead.size, dead.kept) == (reason, len(document), kept)
        assert dead.document == without_secrets(document[:KEPT_MOST])
        assert dropped(worker, reason) == 1
        [missed] = await told.data("upstream.missed")
        assert missed["why"] == "documents could not be read"
        assert missed["since"] <= missed["until"]
    [line] = [fields_of(record) for record in caplog.records if record.message == "document not readable"]
    assert line == {"reason": reason, "bytes": len(document)}


async def test_a_dead_mail_is_announced_as_missed(redis: Any, redis_url: str, simulator: Simulator, told: Told) -> None:
    """Nobody can tell whose it was, so counts are asked for; the one that rose tells."""
    async with running_worker(redis_url, simulator):
        await listening(simulator, told)
        simulator.world.deliver_mail(BOB)
        await told.wait("mail.new")
        simulator.faults.on(Kind.MALFORMED, value=str(Defect.NO_USER_NAME), times=1)
        simulator.world.deliver_mail(BOB)
        [missed] = await told.wait("mail.missed")
        assert (missed["mailbox"], missed["at_least"]) == (BOB, 1)
        assert [each.reason for each in await in_grave(redis)] == ["unknown-shape"]


@pytest.mark.parametrize("privacy", ["full", "subject", "sender", "count"])
async def test_privacy_holds_for_the_dead_too(
    redis: Any, redis_url: str, simulator: Simulator, told: Told, privacy: str
) -> None:
    """No text of a mail is kept unless all of it may be; the shape tells an operator what came."""
    documents = (
        b'{"Username2":"boss@elsewhere.com","Subject":"Geheimnis","Pin":4711}',
        b'{"UserName":"bob@gzdev.com","Subject":"say "Geheimnis": 4711" boss@elsewhere.com',
        b'{"Subject":"\\"Geheimnis\\": 4711 boss@elsewhere.com" ',
        b"Geheimnis 4711 boss@elsewhere.com",
    )
    async with running_worker(redis_url, simulator, BRIDGE_PRIVACY=privacy):
        await listening(simulator, told)
        for document in documents:
            simulator.listeners.push(document)
            simulator.world.deliver_mail(BOB)
        found = [dead.document.decode() for dead in reversed(await buried(redis, len(documents)))]
        if privacy == "full":
            assert all(word in text for text in found for word in WORDS)
        else:
            assert not [word for text in found for word in WORDS if word in text]
            assert all('"Subject":' in text for text in found[:3])


async def test_a_flood_is_counted_and_little_of_it_kept(
    redis: Any, redis_url: str, simulator: Simulator, told: Told
) -> None:
    """Mails between the rubbish come in order, and the counts are not asked for again and again."""
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        mails = []
        for number in range(2000):
            simulator.listeners.push(b'{"rubbish":%d}' % number)
            if number % 100 == 0:
                mails.append(simulator.world.deliver_mail(BOB).mail_id)
        found = await told.wait("mail.new", len(mails))
        assert [data["mail_id"] for data in found] == mails
        await until(lambda: dropped(worker, "unknown-shape") == 2000)
        assert 20 <= len(await in_grave(redis)) < 100
        # Ever more seldom, so that this holds however long it took.
        assert len(await told.data("upstream.missed")) < 10


class Clock:
    now = 100.0


def test_the_pace() -> None:
    """Twenty at once, then one a second; what was not used is not saved beyond that."""
    clock = Clock()
    burial = Burial("full", names=NAMES, now=lambda: clock.now)

    def let_in() -> int:
        return sum(burial.bury("bad-json", b"{") is not None for _ in range(50))

    assert let_in() == 20
    clock.now += 2.5
    assert let_in() == 2
    clock.now += 3600
    assert let_in() == 20


def test_what_is_kept_of_one() -> None:
    """At most 16 KiB, and how much it was."""
    burial = Burial("full", names=NAMES)
    for document, cut_from, size, kept in (
        (b" " * KEPT_MOST, 0, KEPT_MOST, "whole"),
        (b" " * (KEPT_MOST + 1), 0, KEPT_MOST + 1, "cut"),
        (b"{", 99, 99, "cut"),
    ):
        call = burial.bury("bad-json", document, cut_from)
        assert call is not None
        assert (call.size, call.kept, call.document) == (size, kept, document[:KEPT_MOST])
    call = Burial("count", names=NAMES).bury("bad-json", b"{" * (KEPT_MOST + 1))
    assert call is not None
    assert (call.kept, len(call.document)) == ("masked", KEPT_MOST)


def test_no_secret_is_kept() -> None:
    """Tokens and keys look like nothing else; a MailId stays, so that a mail is not told of twice."""
    token, key = b"GHUSH-4qIXPScxa_OY0CbPS31W1OM24L_Ys9FCc7LtJyxjHD5OZafLh3Y8" * 2, b"0123456789abcdef0123456789ABCDEF"
    document = b'{"access_token":"%b","key":"%b","MailId":"ZC4028-FPiX_oOG5HUh4XorwyhAY33"' % (token, key)
    assert without_secrets(document) == b'{"access_token":"***","key":"***","MailId":"ZC4028-FPiX_oOG5HUh4XorwyhAY33"'


def test_the_shape_of_a_document() -> None:
    """Of JSON any member's name stays; of what is none only names that the protocol knows."""
    document = '{" New Count ":549,"User_Name":"李 \\"a\\": b","what?":[true,{"Subject":""}]}'.encode()
    assert masked(document, None) == (b'{" xxx xxxxx ":xxx,"User_Name":"xxx x"xx": x","xxxxx":[xxxx,{"Subject":""}]}')
    assert masked(document, NAMES) == (b'{" xxx xxxxx ":xxx,"xxxxxxxxx":"xxx x"xx": x","xxxxx":[xxxx,{"Subject":""}]}')
