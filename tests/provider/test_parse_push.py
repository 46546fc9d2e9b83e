"""What a document of the listen stream means, the untidy ones too."""

from __future__ import annotations

import json
from collections.abc import Callable

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.provider.bizmail.pushes import parse_push
from bridge.provider.pushes import MailArrived, Online, RefusalPushed, Unreadable, UnreadChanged, VersionChanged

MAIL = MailArrived(
    "bob@gzdev.com",
    "ZC4028-FPiX_oOG5HUh4XorwyhAY33",
    '"Test" <test@gzdev.com>',
    "bob@gzdev.com",
    "TestMail",
    "TestMail Content ",
    549,
)


def mail(mailbox: str = "a@x", mail_id: str = "m", **fields: object) -> MailArrived:
    given_fields = {"sender": None, "receiver": None, "subject": None, "summary": None, "unread": None} | fields
    return MailArrived(mailbox, mail_id, **given_fields)  # type: ignore[arg-type]  # the fields' own types


def test_the_documents_examples(sample: Callable[[str], bytes]) -> None:
    """The three pushes that the protocol prints are read as printed."""
    assert parse_push(sample("push-version")) == (VersionChanged(1364460338051),)
    assert parse_push(sample("push-mail")) == (MAIL,)
    assert parse_push(sample("push-unread")) == (UnreadChanged("bob@gzdev.com", 550),)


@pytest.mark.parametrize(
    ("document", "pushes"),
    [
        (b'{"Ret":0}', (Online(0),)),
        (b'{"Ret":"0"}', (Online(0),)),
        (b'{"Ret":7}', (Online(7),)),
        (b'{"ver":"1364460338051"}', (VersionChanged(1364460338051),)),
        (b'{"VER": 1364460338051, }', (VersionChanged(1364460338051),)),
        (b'\xef\xbb\xbf{"Ver":1}', (VersionChanged(1),)),
        (b'{"UserName":" Bob@X ","NewCount":"2"}', (UnreadChanged("Bob@X", 2),)),
        (b'{"username":"a@x","newcount":2.0,"Extra":{"a":[1]}}', (UnreadChanged("a@x", 2),)),
        (b'{"UserName":"a@x","MailId":" m ","NewCount":"3"}', (mail(unread=3),)),
        (b'{"UserName":"a@x","MailId":"m"}', (mail(),)),
        (b'{"UserName":"a@x","Subject":"s"}', (mail(mail_id="", subject="s"),)),
        (b'{"UserName":"a@x","MailId":"m","NewCount":-1}', (mail(),)),
        (b'{"UserName":"a@x","MailId":"m","NewCount":true}', (mail(),)),
        (b'{"UserName":"a@x","MailId":17}', (mail(mail_id="17"),)),
        (b'{"errcode":"1200","error":"invalid_token"}', (RefusalPushed("1200", "invalid_token"),)),
        (b'{"errcode":1002,"error":null}', (RefusalPushed("1002", ""),)),
        (b'{"errcode":" 4711\\u001b ' + b"9 " * 500 + b'"}', (RefusalPushed("4711  " + ("9 " * 13), ""),)),
        (b'{"errcode":"0","UserName":"a@x","NewCount":1}', (UnreadChanged("a@x", 1),)),
    ],
)
def test_tolerances(document: bytes, pushes: tuple[object, ...]) -> None:
    """Case, padding, numbers as text, unknown keys and trailing commas change nothing."""
    assert parse_push(document) == pushes


@pytest.mark.parametrize("count", [-1, 2**63, 2**64 - 1, 2**70])
def test_a_count_is_a_number_that_everybody_can_hold(count: int) -> None:
    """In the document's own spelling as in any other: from 0, of 63 bits; else the mail has no count."""
    fields = {"MailId": "m", "Sender": "s", "Receiver": "r", "Subject": "b", "Summary": "y"}
    whole = json.dumps({"UserName": "a@x", **fields, "NewCount": count}).encode()
    told = mail(sender="s", receiver="r", subject="b", summary="y")
    assert parse_push(whole) == parse_push(whole.lower()) == (told,)
    most = whole.replace(str(count).encode(), str(2**63 - 1).encode())
    assert parse_push(most) == (mail(sender="s", receiver="r", subject="b", summary="y", unread=2**63 - 1),)


def test_two_things_in_one_document() -> None:
    """Neither the mail nor the version is dropped when a document carries both; the mailbox comes first."""
    assert parse_push(b'{"Ver":5,"UserName":"a@x","NewCount":1,"Ret":0}') == (
        Online(0),
        UnreadChanged("a@x", 1),
        VersionChanged(5),
    )


@pytest.mark.parametrize(
    ("raw", "subject"),
    [
        (b"cut \xe6\xb5", "cut \ufffd"),
        (b"\xb2\xe2\xca\xd4", "\ufffd\ufffd\ufffd\ufffd"),
        (b"a\tb\nc\x01", "a\tb\nc\x01"),
        (b"half \\ud83d", "half \ufffd"),
        (b"half \\ude00 of", "half \ufffd of"),
        (b"\\ud83d\\ude00", "\U0001f600"),
        (b"\xed\xa0\xbd", "\ufffd\ufffd\ufffd"),
        (b'list,] and \\",} stay', 'list,] and ",} stay'),
    ],
)
def test_broken_text_is_repaired(raw: bytes, subject: str) -> None:
    """A mail with U+FFFD is better than none; what stands inside strings is no comma to drop."""
    document = b'{"UserName":"a@x","MailId":"m","Subject":"' + raw + b'","NewCount":1,}'
    (push,) = parse_push(document)
    assert push == mail(subject=subject, unread=1)
    orjson.dumps(subject)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b'{"UserName":', "bad-json"),
        (b'{"UserName":"say "hi"","NewCount":1}', "bad-json"),
        (b"{" * 5000, "bad-json"),
        (b'{"a":' + b"[" * 200_000 + b"}", "bad-json"),
        (b"<html>", "not-object"),
        (b"17", "not-object"),
        (b"[]", "not-object"),
        (b"{}", "unknown-shape"),
        (b'{"NewCount":1}', "unknown-shape"),
        (b'{"UserName":"  ","NewCount":1}', "unknown-shape"),
        (b'{"UserName":"a@x"}', "unknown-shape"),
        (b'{"Ver":"soon"}', "unknown-shape"),
        (b'{"Ver":' + b"9" * 30 + b"}", "unknown-shape"),
        (b'{"Ver":' + b"9" * 5000 + b"}", "bad-json"),
        (b'{"Ver":1e400,}', "unknown-shape"),
    ],
)
def test_dead_documents(document: bytes, reason: str) -> None:
    """What cannot be told is dead with a reason from the closed set, kept whole for inspection."""
    assert parse_push(document) == (Unreadable(reason, document),)  # type: ignore[arg-type]  # one of the set


@pytest.mark.parametrize("piece", [b'\\"', b'"', b",", b", ", b'"a",', b"\\", b"{"])
def test_work_on_broken_documents_grows_with_length_only(piece: bytes) -> None:
    """A document of megabytes that is broken in the worst way is given up in an instant, not in hours."""
    (push,) = parse_push(b'{"Subject":"' + piece * 1_000_000)
    assert isinstance(push, Unreadable)
    (push,) = parse_push(b'{"Subject":' + piece * 1_000_000 + b"}")
    assert isinstance(push, Unreadable)


def test_refusal_text_is_fit_for_a_log() -> None:
    """What the provider says is bounded, one line, and rid of an echoed token."""
    token = "GHUSH-4qIXPScxa_OY0CbPS31W1OM24L_Ys9FCc7LtJyxjHD5OZafLh3Y8"
    document = json.dumps({"errcode": "1200", "error": f"bad\n{token} " + "x " * 500}).encode()
    (push,) = parse_push(document)
    assert isinstance(push, RefusalPushed)
    assert token not in push.text
    assert "\n" not in push.text
    assert len(push.text) <= 200


UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["UserName", " UserName", "Ver", "ver ", "Ret", "MailId", "NewCount", "errcode", "error", "Subject"]
)


@UNHURRIED
@given(st.binary())
def test_never_raises_on_bytes(document: bytes) -> None:
    """Any bytes give at least one push."""
    assert parse_push(document)
    assert parse_push(b"{" + document + b"}")


@UNHURRIED
@given(st.dictionaries(KEYS, JSON))
def test_never_raises_on_json(document: dict[str, object]) -> None:
    """Any JSON under the provider's keys gives at least one push, and only text that can be encoded again."""
    for push in parse_push(json.dumps(document).encode()):
        for value in (getattr(push, name) for name in push.__struct_fields__):
            if isinstance(value, str):
                value.encode()
