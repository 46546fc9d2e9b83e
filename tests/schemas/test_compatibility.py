"""A promise to readers is not taken back by accident: members, types, requests and channels stay what they were."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.contracts import PROMISED, broken, promised_now, written

Change = Callable[[dict[str, Any]], Any]


def test_nothing_that_was_promised_has_changed() -> None:
    """If this fails, readers break. ``CONTRIBUTING.md`` says what to do where that is meant."""
    assert broken(json.loads(PROMISED.read_text()), promised_now()) == []


def test_all_that_is_promised_is_stored() -> None:
    """What is new is a promise from the same commit on: ``make contracts``."""
    assert PROMISED.read_text() == written(promised_now())


def data_of(promised: dict[str, Any], type: str) -> dict[str, Any]:
    data: dict[str, Any] = promised["schemas"][type]["properties"]["data"]
    return data


def _null(promised: dict[str, Any]) -> None:
    data_of(promised, "exmail.mail.unread")["properties"]["unread"]["type"] = ["integer", "null"]


BREAKING: dict[str, tuple[Change, str]] = {
    "a member is gone": (
        lambda now: data_of(now, "exmail.mail.new")["properties"].pop("summary"),
        "exmail.mail.new.data.summary: is gone",
    ),
    "a member may be absent": (
        lambda now: data_of(now, "exmail.mail.new")["required"].remove("mail_id"),
        "exmail.mail.new.data.mail_id: was always there, and is not",
    ),
    "a number may be null": (_null, "exmail.mail.unread.data.unread: type was integer, is ['integer', 'null']"),
    "a number became a text": (
        lambda now: now["schemas"]["Unread"]["properties"]["as_of"].update(type="string"),
        "Unread.as_of: type was ['integer', 'null'], is string",
    ),
    "within a list": (
        lambda now: data_of(now, "exmail.snapshot")["properties"]["recent"]["items"]["properties"].pop("time"),
        "exmail.snapshot.data.recent[].time: is gone",
    ),
    "a closed set has grown": (
        lambda now: data_of(now, "exmail.upstream")["properties"]["state"]["enum"].append("other"),
        "exmail.upstream.data.state: enum was ['connected', 'degraded', 'disconnected'], "
        "is ['connected', 'degraded', 'disconnected', 'other']",
    ),
    "an event is gone": (lambda now: now["schemas"].pop("exmail.edge.deaf"), "exmail.edge.deaf: is gone"),
    "a request is gone": (lambda now: now["requests"].pop("GET /unread"), "GET /unread: is gone"),
    "a parameter is gone": (
        lambda now: now["requests"]["GET /history"]["takes"].remove("limit"),
        "GET /history: does not take limit",
    ),
    "an answer is gone": (
        lambda now: now["requests"]["POST /ticket"]["answers"].pop("200"),
        "POST /ticket: answers 200 otherwise",
    ),
    "an answer is another thing": (
        lambda now: now["requests"]["POST /ticket"]["answers"]["200"]["application/json"].update({"$ref": "#/other"}),
        "POST /ticket 200: is another thing",
    ),
    "a channel has another name": (
        lambda now: now["channels"]["directory"].update(address="exmail:accounts"),
        "directory: has another address",
    ),
    "a channel lacks an event": (
        lambda now: now["channels"]["stream"]["messages"].remove("exmail.mail.new"),
        "stream: carries no exmail.mail.new",
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_readers_is_found(name: str) -> None:
    """Each kind of change, made to what is promised now, and named so that one sees where."""
    change, said = BREAKING[name]
    after = copy.deepcopy(promised_now())
    change(after)
    assert broken(promised_now(), after) == [said]


def test_what_is_added_breaks_nobody() -> None:
    """A new member, event, request, parameter or answer: readers ignore what they do not know."""
    after = copy.deepcopy(promised_now())
    data_of(after, "exmail.mail.new")["properties"]["size"] = {"type": "integer"}
    after["schemas"]["exmail.mail.read"] = {"type": "object"}
    after["requests"]["GET /more"] = {"takes": [], "answers": {}}
    after["requests"]["GET /unread"]["takes"].append("more")
    after["requests"]["GET /unread"]["answers"]["410"] = {}
    after["channels"]["stream"]["messages"].append("exmail.mail.read")
    assert broken(promised_now(), after) == []
