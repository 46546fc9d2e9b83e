"""The sets of labels: what rooms say that may not import them, and that nobody goes round them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, get_args

import pytest

from bridge.access import codes
from bridge.journal.opened import Status
from bridge.journal.outcomes import Result
from bridge.obs import labels
from bridge.provider.bizmail import endpoints
from bridge.provider.bizmail.calls import Outcome
from bridge.provider.bizmail.endpoints import Endpoint
from bridge.provider.bizmail.errcodes import BY_CODE
from bridge.provider.pushes import UnreadableReason

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("said", "counted"),
    [
        ({*get_args(UnreadableReason), "bad-address"}, labels.Dropped),
        ({*get_args(Outcome)}, labels.CallOutcome),
        ({*BY_CODE, "other"}, labels.Refused),
        # A cursor that is elsewhere refuses a call, and a lost lease many.
        ({*get_args(Result), "refused"} - {"cursor"}, labels.Committed),
        # Two of them open nothing.
        ({*get_args(Status)} - {"barred", "ahead"}, labels.Resumed),
        # Besides ours: a page that was left, a connection that was cut, and what a client makes up.
        ({*codes.REASONS, 1001, 1006, "other"}, labels.Close),
        ({code for code in codes.REASONS if code > 3001} - {codes.TOO_SLOW, codes.NO_PONG} | {3001}, labels.TurnedAway),
    ],
    ids=["documents", "calls", "refusals", "commits", "resumes", "closes", "turned away"],
)
def test_what_is_said_is_what_is_counted(said: set[Any], counted: Any) -> None:
    """A room that may not take its words from here has the same ones."""
    assert said == set(get_args(counted))


def test_the_endpoints_are_the_providers() -> None:
    """What worker and sign-on ask has its own series; an endpoint of another name has none."""
    names = {each.name for each in vars(endpoints).values() if isinstance(each, Endpoint)}
    assert {name for name in get_args(labels.Endpoint) if name != "other"} <= names
    assert labels.endpoint_of("user/sync") == "other"
    assert labels.endpoint_of("mail/newcount") == "mail/newcount"


def test_a_foreign_close_code_is_no_series_of_its_own() -> None:
    """Clients may close with any code."""
    assert [labels.close_of(code) for code in (3500, 1006, 4711)] == [3500, 1006, "other"]


def test_a_foreign_code_or_policy_is_no_series_of_its_own() -> None:
    """Whatever the provider or Redis says."""
    assert [labels.refused_of(code) for code in ("1002", "4711", "")] == ["1002", "other", "other"]
    policies = ("noeviction", "volatile-lru", "allkeys-lfu", "", "odd")
    assert [labels.eviction_of(each) for each in policies] == ["noeviction", "volatile", "allkeys", "other", "other"]


def test_nobody_makes_labels_of_his_own() -> None:
    """``labels()`` of the library makes a series of whatever it is given; only the declaration calls it."""
    calling = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "bridge").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "labels"
        if path.name not in ("declaring.py", "metrics.py")
    ]
    assert not calling
