"""From a push to the call that records it: privacy, bounds, and which mailbox it is."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bridge.journal.calls import RecordMail, Retention
from bridge.journal.keys import Keys
from bridge.provider.pushes import MailArrived, UnreadChanged
from bridge.worker.translate import BadAddress, Privacy, Translator

BOB = "bob@gzdev.com"
TEXTS = {"sender", "receiver", "mail_subject", "summary"}


def push(**fields: Any) -> MailArrived:
    return MailArrived(
        **{
            "mailbox": BOB,
            "mail_id": "ZC1",
            "sender": '"Ann" <ann@gzdev.com>',
            "receiver": BOB,
            "subject": "Lunch",
            "summary": "At noon?",
            "unread": 7,
            **fields,
        }
    )


def translator(privacy: Privacy = "full", slaves: dict[str, str] | None = None) -> Translator:
    return Translator("exmail", privacy, slaves or {})


def data(call: RecordMail) -> dict[str, Any]:
    """What readers will find in ``data``; the journal closes the open end with its stamp."""
    event: dict[str, Any] = orjson.loads(b"{" + call.event.body + b"1}}")
    found: dict[str, Any] = event["data"]
    return found


@pytest.mark.parametrize(
    ("privacy", "shown"),
    [
        ("full", TEXTS),
        ("subject", TEXTS - {"summary"}),
        ("sender", {"sender", "receiver"}),
        ("count", set()),
    ],
)
def test_privacy_holds_for_every_byte_that_leaves(privacy: Privacy, shown: set[str]) -> None:
    """What a level hides is in no argument of the call, not in the correction either."""
    call = translator(privacy).mail(push(), time_s=1.5)
    assert data(call).keys() == {"mailbox", "mail_id", "unread", "as_of"} | shown
    sent = repr(call.render(Keys("exmail"), Retention()))
    for name, text in (("mail_subject", "Lunch"), ("summary", "At noon?"), ("sender", "ann@gzdev.com")):
        assert (text in sent) == (name in shown)


def test_an_unread_count_is_told_at_every_level() -> None:
    """The count is what a badge needs; it is never hidden."""
    for privacy in ("full", "subject", "sender", "count"):
        assert data(translator(privacy).mail(push(), time_s=0))["unread"] == 7


@pytest.mark.parametrize(
    ("field", "name", "most"),
    [("subject", "mail_subject", 1024), ("summary", "summary", 2048), ("sender", "sender", 512)],
)
def test_a_text_of_ten_megabytes_is_delivered_cut(field: str, name: str, most: int) -> None:
    """One hostile mail must not fill Redis; cut text says so with its last character."""
    text = data(translator().mail(push(**{field: "字" * 10_000_000}), time_s=0))[name]
    assert len(text) == most
    assert text.endswith("字…")
    whole = data(translator().mail(push(**{field: "字" * most}), time_s=0))[name]
    assert whole == "字" * most


@pytest.mark.parametrize("address", ["", "bob", "bob@", "a b@gzdev.com", "bob@gz\ndev.com", "a@b@c", "x" * 200 + "@d"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    """Line ends and the like end up in channel names and headers."""
    with pytest.raises(BadAddress):
        translator().mail(push(mailbox=address), time_s=0)
    with pytest.raises(BadAddress):
        translator().unread(UnreadChanged(address, 1), time_s=0)


def test_a_slave_stands_for_its_account() -> None:
    """In mails and counts, in any case of letters, and as the mirror says at that moment."""
    slaves = {"robert@gzdev.com": BOB}
    translate = translator(slaves=slaves)
    mail = translate.mail(push(mailbox=" Robert@GZdev.com "), time_s=0)
    assert mail.event.stream == mail.correction.stream == data(mail)["mailbox"] == BOB
    assert translate.unread(UnreadChanged("robert@gzdev.com", 1), time_s=0).event.stream == BOB
    slaves.clear()
    assert translate.mailbox("robert@gzdev.com") == "robert@gzdev.com"


def test_a_mail_without_a_count_says_so() -> None:
    """Null, not 0: the stored count stays as it is."""
    call = translator().mail(push(unread=None), time_s=0)
    assert data(call)["unread"] is None
    assert call.unread is None


@pytest.mark.parametrize("mail_id", ["", "x" * 257, "ZC1\r\nSet-Cookie: a", "ZC\u202e1", "ZC\x001"])
def test_a_mail_whose_id_is_none_is_announced_without_one(mail_id: str) -> None:
    """Never lost for it, only not de-duplicated."""
    call = translator().mail(push(mail_id=mail_id), time_s=0)
    assert call.mail_id == data(call)["mail_id"] == ""
    assert data(call)["mail_subject"] == "Lunch"


def test_a_usual_id_is_kept() -> None:
    """Up to 256 characters."""
    assert translator().mail(push(mail_id="x" * 256), time_s=0).mail_id == "x" * 256


def test_texts_that_the_provider_left_out_are_left_out() -> None:
    """Absent, not empty: a reader can tell."""
    call = translator().mail(push(sender=None, receiver=None, subject="", summary=None), time_s=0)
    assert data(call).keys() & TEXTS == {"mail_subject"}


def test_the_event_tells_when_the_push_came() -> None:
    """``time`` is the arrival; ``unread`` and ``as_of`` close ``data``, so that readers can cut them out."""
    call = translator().mail(push(), time_s=1_795_497_613.538)
    assert b'"time":"2026-11-24T05:20:13.538Z"' in call.event.body
    assert call.event.body.endswith(b'"unread":7,"as_of":')


def test_a_polled_count_says_that_it_is_one() -> None:
    """``reason`` tells a correction from a push."""
    poll = translator().polled(BOB, 3, asked_at=9, time_s=0)
    assert (poll.unread, poll.asked_at) == (3, 9)
    assert b'"reason":"reconcile"' in poll.event.body
    assert b'"reason":"push"' in translator().unread(UnreadChanged(BOB, 1), time_s=0).event.body


@pytest.mark.parametrize(
    "mailbox", [BOB, '"data":{"type":"exmail.mail.new"@gzdev.com', "\\u0022@gzdev.com", "小明@gzdev.com"]
)
@pytest.mark.parametrize("unread", [0, 7, None])
def test_a_correction_is_the_count_as_if_it_had_been_pushed(mailbox: str, unread: int | None) -> None:
    """Byte for byte, whatever stands in the mail that it came with."""
    subject = '"data":{"type":"exmail.mail.new"'
    for namespace in ("exmail", "type"):
        translate = Translator(namespace, "full", {})
        correction = translate.mail(push(mailbox=mailbox, unread=unread, subject=subject), time_s=1.5).correction
        assert correction == translate._count(mailbox, unread, "push", 1.5)
