"""Pushes come in order: what a slow document holds back is neither read nor missed, and it is older than it looks."""

from __future__ import annotations

from tests.support.upstream import Watched


def _ms(watched: Watched) -> int:
    return round(watched.now_s * 1000)


def test_the_bytes_of_a_slow_document_prove_nothing() -> None:
    """All that was pushed after it waits behind it: while it is under way, and for as long again, nobody is heard; then
    another session."""
    watched = Watched()
    watched.online()
    assert watched.upstream.hearing is not None
    session, _ = watched.upstream.hearing
    watched.heard_after(1, begun_at=watched.now_s + 1)
    begun_at = watched.now_s
    assert watched.upstream.hearing == (session, begun_at)
    for _ in range(3):
        watched.heard_after(1, begun_at)
        assert watched.upstream.hearing is None
    watched.heard_after(1)
    assert watched.upstream.hearing is None
    watched.heard_after(3.9)
    assert watched.upstream.hearing is None
    watched.heard_after(0.1)
    assert watched.upstream.hearing is not None
    assert watched.upstream.hearing[0] > session
    assert watched.upstream.hearing[1] == watched.now_s
    assert watched.types == ["connected"]


def test_what_waits_behind_two_slow_documents_is_older_than_the_second() -> None:
    """The gap begins with the first of them, though the second began long after; quick ones behind them are as old."""
    watched = Watched()
    watched.online()
    watched.heard_after(10, begun_at=1010)
    first_ms = watched.upstream.heard_ms
    assert first_ms == 1_010_000
    watched.heard_after(3)
    watched.heard_after(0.003, begun_at=1013.003)
    watched.heard_after(2, begun_at=1013.003)
    watched.heard_after(0.1)
    for _ in range(40):
        watched.heard_after(0.1, begun_at=watched.now_s + 0.1)
    watched.heard_after(0.1)
    assert watched.upstream.heard_ms == first_ms
    # As long again as both took together; from then on nothing waits any more.
    watched.heard_after(1.2)
    assert watched.upstream.heard_ms == _ms(watched)
    watched.upstream.ended("closed", refused=False)
    watched.now_s += 5
    watched.online()
    assert watched.data()["since"] == _ms(watched) - 5000


def test_another_session_waits_for_nothing() -> None:
    """What waited on the connection before is lost with it."""
    watched = Watched()
    watched.online()
    watched.heard_after(10, begun_at=1010)
    watched.heard_after(3)
    watched.upstream.ended("closed", refused=False)
    watched.online()
    assert watched.data()["since"] == 1_010_000
    watched.heard_after(1)
    assert watched.upstream.heard_ms == _ms(watched)
    assert watched.upstream.hearing is not None


def test_quick_documents_prove_that_the_connection_lives() -> None:
    """However often a read ends in the middle of one."""
    watched = Watched()
    watched.online()
    assert watched.upstream.hearing is not None
    session, _ = watched.upstream.hearing
    for _ in range(20):
        watched.heard_after(0.1, begun_at=watched.now_s + 0.1)
    assert watched.upstream.hearing == (session, watched.now_s)


def test_a_gap_begins_with_the_document_that_was_cut() -> None:
    """What was pushed behind it is missed from then on, however long it took."""
    watched = Watched()
    watched.online()
    watched.heard_after(10, begun_at=1010)
    watched.heard_after(30, begun_at=1010)
    assert watched.upstream.heard_ms == 1_010_000
    watched.upstream.ended("closed", refused=False)
    watched.now_s += 5
    watched.online()
    assert watched.data() == {"since": 1_010_000, "until": 1_045_000}
