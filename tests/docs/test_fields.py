"""The tables of ``docs/events.md`` and ``docs/client.md`` against the schemas: no member is left out or made up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from bridge.schemas.answers import ANSWERS
from bridge.schemas.events import EVENT_TYPES, profile
from bridge.schemas.frames import FRAMES
from tests.docs.pages import ROOT, Page

EVENTS = Page(ROOT / "docs" / "events.md").prose
CLIENT = Page(ROOT / "docs" / "client.md").prose
ANSWERED = {"GET /unread": "Unread", "GET /history?after=&limit=": "History", "POST /ticket": "Ticket"}


def row_of(prose: str, name: str) -> str:
    """The second cell of the one row whose first names it."""
    [cell] = [
        second
        for first, second in re.findall(r"^\| (`[^|]+`) \| (.*) \|$", prose, re.MULTILINE)
        if f"`{name}`" in first.split(", ")
    ]
    return cell


def words_in(cell: str) -> set[str]:
    """What stands between backticks and could be a member's name."""
    return {
        word
        for quoted in re.findall(r"`([^`]+)`", cell)
        for word in re.findall(r"^[a-z_]+$|(?<=\")[a-z_]+(?=\")", quoted)
    }


def values_of(schema: Any) -> Iterator[str]:
    """What texts of a schema may say, at any depth, and the names of members further in."""
    if isinstance(schema, dict):
        yield from (value for value in schema.get("enum", ()) if isinstance(value, str))
        yield from (value for value in schema.get("examples", ()) if isinstance(value, str))
        for each in schema.values():
            yield from values_of(each)


def judge(cell: str, data: dict[str, Any], *known: str) -> None:
    members, words = set(data["properties"]), words_in(cell)
    assert not members - words, "the page leaves these out"
    assert not words - members - {*values_of(data), *known}, "the page makes these up"


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_an_events_members_are_those_of_its_schema(type: str) -> None:
    """Each member of ``data`` is on the page, and each name on the page is a member, or a value of one."""
    # A row may name fields of the profile, and the last word of another type.
    suffixes = {each.rpartition(".")[2] for each in EVENT_TYPES}
    judge(row_of(EVENTS, type), EVENT_TYPES[type].data, *profile()["properties"], *suffixes)


def test_the_page_has_each_frame_and_no_other() -> None:
    """A frame that somebody describes is declared."""
    assert set(re.findall(r"^\| `(exmail\.[a-z.]+)` \|", CLIENT, re.MULTILINE)) == set(FRAMES)


@pytest.mark.parametrize("type", [type for type in FRAMES if type != "exmail.heartbeat"])
def test_a_frames_members_are_those_of_its_schema(type: str) -> None:
    """As for events."""
    judge(row_of(CLIENT, type), FRAMES[type]["properties"]["data"])


@pytest.mark.parametrize("request_", ANSWERED)
def test_an_answers_members_are_those_of_its_schema(request_: str) -> None:
    """As for events; what is asked with may be named, too."""
    judge(row_of(CLIENT, request_), ANSWERS[ANSWERED[request_]], "limit", "after")
