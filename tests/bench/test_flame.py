"""Flame graphs: what a picture shows of folded stacks."""

from __future__ import annotations

import re

import pytest

from tests.bench.flame import draw, read
from tests.bench.product import CannotMeasure

LOOP = "<module> (bridge/__main__.py:3);BaseEventLoop._run_once (asyncio/base_events.py:1922)"
STACKS = [
    f"{LOOP};_run (asyncio/events.py:80);took (bridge/journal/subscription.py:8);deliver (bridge/edge/cursor.py:9) 120",
    f"{LOOP};_run (asyncio/events.py:80);took (bridge/journal/subscription.py:91);<lambda> (aiohttp/web.py:5) 60",
    f"{LOOP};select (selectors.py:468) 19",
    f"{LOOP};_run (asyncio/events.py:80);seldom (bridge/edge/hub.py:1) 1",
    "_bootstrap (threading.py:995);_run (bridge/obs/outlet.py:76) 500",
]


def test_a_box_is_as_wide_as_its_share_and_lies_below_its_caller() -> None:
    """Of the loop alone, whichever line of a function was running."""
    picture = draw(read(STACKS, "edge & all"))
    told = dict(re.findall(r"<g><title>([^<]+): ([\d.]+%)</title>", picture))
    assert told == {
        "edge &amp; all": "100.0%",
        "_run · asyncio/events.py": "90.5%",
        "took · journal/subscription.py": "90.0%",
        "deliver · edge/cursor.py": "60.0%",
        "&lt;lambda&gt; · aiohttp/web.py": "30.0%",
        "select · selectors.py": "9.5%",
        "seldom · edge/hub.py": "0.5%",
    }
    [deliver] = re.findall(r'deliver[^<]+</title><rect x="([\d.]+)" y="(\d+)" width="([\d.]+)"', picture)
    assert deliver == ("0.0", str(40 + 3 * 18), "719.5")


def test_what_takes_next_to_nothing_is_left_out() -> None:
    picture = draw(read([*STACKS, f"{LOOP};select (selectors.py:468) 100"], "edge"))
    assert "seldom" not in picture
    assert "select" in picture


def test_without_a_sample_there_is_no_picture() -> None:
    with pytest.raises(CannotMeasure, match="no sample"):
        read(STACKS[-1:], "edge")
