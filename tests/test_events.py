"""The bytes of an event: the order that readers cut by, and the borders of addresses and positions."""

from __future__ import annotations

import orjson
import pytest

from bridge.events import (
    MAIL_NEW,
    Position,
    build_event,
    head_of,
    normalise_address,
    parse_position,
    position_of,
    time_of,
    timestamp,
)
from tests.support.event_bytes import event_head, is_mail, unread_of

HOSTILE = '","time":"1970-01-01T00:00:00.000Z","type":"exmail.mail.new","unread":7,"as_of":1}}'


def event_bytes(subject: str = "TestMail", unread: int | None = 549, type: str = MAIL_NEW) -> bytes:
    data = {"mailbox": "bob@gzdev.com", "mail_id": "Z", "mail_subject": subject, "unread": unread}
    event = build_event(
        namespace="exmail", stream="bob@gzdev.com", type=type, time_s=1795497613.538, data=data, stamped=True
    )
    return event_head(Position("k3f9a2xq", 42)) + event.body + b"1795497613538}}"


def test_the_example_of_the_contract() -> None:
    """Head first, in this order; the stamp last."""
    parsed = orjson.loads(event_bytes())
    assert list(parsed) == [
        *("specversion", "id", "sequence", "source", "type", "subject", "time", "datacontenttype", "data")
    ]
    assert parsed["id"] == "k3f9a2xq-42"
    assert parsed["sequence"] == "0000000000000042"
    assert parsed["source"] == "/exmail/mailbox/bob@gzdev.com"
    assert parsed["time"] == "2026-11-24T05:20:13.538Z"
    assert list(parsed["data"])[-2:] == ["unread", "as_of"]


@pytest.mark.parametrize("subject", ["TestMail", HOSTILE, "\\", '"', "}}", "\u2028\u0000\ud7ff"])
def test_what_is_cut_out_is_what_a_parser_reads(subject: str) -> None:
    """A subject cannot pretend to be a member: quotes inside strings are escaped."""
    event = event_bytes(subject)
    parsed = orjson.loads(event)
    assert str(position_of(event)) == parsed["id"]
    assert head_of(event) == (b"k3f9a2xq", 42)
    moment = time_of(event)
    assert moment is not None
    assert timestamp(moment) == parsed["time"]
    assert unread_of(event) == (549, 1795497613538)
    assert is_mail(event)
    assert not is_mail(event_bytes(subject, type="exmail.mail.unread"))


def test_an_unknown_count_is_null() -> None:
    """Unknown is not zero."""
    assert unread_of(event_bytes(unread=None)) == (None, 1795497613538)


def test_directory_and_system_events_stand_whole() -> None:
    """No stamp, and a subject only where there is one."""
    member = build_event(namespace="n", stream="directory", type="t", time_s=0, data={"alias": "a@x.cn"})
    assert orjson.loads(b"{" + member.body)["subject"] == "a@x.cn"
    system = build_event(namespace="n", stream="system", type="t", time_s=0, data={})
    parsed = orjson.loads(b"{" + system.body)
    assert parsed["source"] == "/n/system"
    assert "subject" not in parsed


@pytest.mark.parametrize(
    "text",
    ["", "abc", "abcdefgh", "abcdefgh-", "abcdefgh--1", "ABCDEFGH-1", "abcdefgh-01", "abcdefgh-1 ", "abcdefgh-１"],
)
def test_what_is_no_position(text: str) -> None:
    """A client gives back what it was given, or it gets a snapshot."""
    assert parse_position(text) is None


def test_positions_survive_a_round_trip() -> None:
    """Zero, and as far as a stream can count."""
    for text in ("abcdefgh-0", "01234567-999999999999999999"):
        assert str(parse_position(text)) == text


@pytest.mark.parametrize("event", [b"", b"{}", b'{"specversion":"1.0","id":"abcdefgh', b"x" * 100])
def test_bytes_that_are_no_event_are_refused(event: bytes) -> None:
    """Whoever publishes into our channels by mistake is noticed."""
    with pytest.raises(ValueError, match=r"."):
        position_of(event)
    with pytest.raises(ValueError, match=r"."):
        head_of(event)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("  Bob@GZdev.COM ", "bob@gzdev.com"),
        ("张三@公司.cn", "张三@公司.cn"),
        ("\u212aEVIN@gzdev.com", "\u212aevin@gzdev.com"),
        ("\u0130Ä@GZDEV.com", "\u0130Ä@gzdev.com"),
        ("a/b@x.cn", "a/b@x.cn"),
        ("bob", None),
        ("@x.cn", None),
        ("a@b@c", None),
        ("a b@x.cn", None),
        ("a\r\n@x.cn", None),
        ("a\x00@x.cn", None),
        ("a\u202e@x.cn", None),
        ("directory", None),
        ("a" * 400 + "@x.cn", None),
    ],
)
def test_addresses_at_the_border(text: str, address: str | None) -> None:
    """Trimmed, ASCII lower-cased, so no two become one; what breaks a channel, a header or a log line is none."""
    assert normalise_address(text) == address
