"""What the world is told about the connection to the provider, on a clock of the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.obs.labels import ProviderState
from bridge.worker.upstream import nobody_listens
from tests.support.upstream import BEGIN_S, Watched


def test_the_first_session_ever_missed_nothing_that_anybody_knows_of() -> None:
    """Connected, with since; and the hash says the same."""
    watched = Watched()
    watched.online()
    assert watched.types == ["connected"]
    assert watched.data() == {"since": 1_000_000, "why": ""}
    fields = watched.said[0].upstream
    assert (fields["state"], fields["since"]) == ("connected", "1000000")
    # A leader that dies before its first renewal has listened all the same.
    assert fields["heard"] == "1000000"
    assert watched.connected == 1


def test_the_gap_between_two_sessions_is_told() -> None:
    """From the last byte to the acknowledgement, not from the moment when the end was noticed."""
    watched = Watched()
    watched.online()
    watched.now_s += 10
    watched.upstream.heard()
    watched.now_s += 20
    watched.upstream.ended("closed by the provider", refused=False)
    watched.now_s += 5
    watched.online()
    assert watched.types == ["connected", "disconnected", "connected", "missed"]
    assert watched.data(1) == {"since": 1_030_000, "why": "closed by the provider"}
    assert watched.data() == {"since": 1_010_000, "until": 1_035_000}
    assert watched.said[-1].upstream["heard"] == "1035000"


def test_a_first_session_that_gave_pushes_begins_a_gap() -> None:
    """It ended before it was certain that it stood; what was pushed after it is missed all the same."""
    watched = Watched()
    watched.upstream.heard()
    watched.upstream.pushed()
    watched.now_s += 0.5
    watched.upstream.ended("closed by the provider", refused=False)
    watched.now_s += 1
    watched.online()
    assert watched.types == ["disconnected", "connected", "missed"]
    assert watched.data() == {"since": 1_000_000, "until": 1_001_500}


def test_a_session_that_never_stood_ends_no_gap() -> None:
    """Bytes of a refusal are no listening: neither for what is missed nor for what the next leader is left."""
    watched = Watched()
    watched.online()
    watched.upstream.ended("closed", refused=False)
    for _ in range(3):
        watched.now_s += 60
        watched.upstream.heard()
        watched.upstream.ended("refused", refused=True)
        assert watched.upstream.heard_ms == 1_000_000
    watched.online()
    assert watched.data()["since"] == 1_000_000
    assert watched.types.count("missed") == 1
    assert watched.upstream.heard_ms == 1_180_000


def test_what_an_earlier_leader_heard_begins_the_gap() -> None:
    """Nobody listened between it and us."""
    watched = Watched(heard_ms=940_000)
    assert watched.upstream.heard_ms == 940_000
    watched.online()
    assert watched.types == ["connected", "missed"]
    assert watched.data() == {"since": 940_000, "until": 1_000_000}


def test_a_gap_never_ends_before_it_begins() -> None:
    """An earlier leader's clock may have been ahead of ours."""
    watched = Watched(heard_ms=1_000_500)
    watched.online()
    assert watched.data() == {"since": 1_000_000, "until": 1_000_000}


@pytest.mark.parametrize(("left", "said"), [(None, []), ("disconnected", []), ("connected", 1), ("degraded", 1)])
def test_a_new_leader_does_not_let_an_old_state_stand(left: str | None, said: Any) -> None:
    """Until its own session stands nobody listens, whatever the hash says."""
    watched = Watched()
    watched.upstream.take_over(left)
    assert watched.types == (["disconnected"] if said else [])
    watched.upstream.ended("provider away", refused=False)
    assert watched.types == (["disconnected"] if said or left is None else [])
    watched.online()
    assert watched.types[-1] == "connected"


def test_repeated_refusals_are_degraded_and_told_once() -> None:
    """The first could be anything; then the provider is there and will not have us."""
    watched = Watched()
    for _ in range(4):
        watched.upstream.ended("listen: refused with Ret 1", refused=True)
    assert watched.types == ["disconnected", "degraded"]
    watched.upstream.ended("no connection", refused=False)
    assert watched.types == ["disconnected", "degraded", "disconnected"]


def test_a_session_that_stood_makes_the_next_refusal_the_first() -> None:
    """Refused, let in, refused: that is no provider that will not have us."""
    watched = Watched()
    watched.upstream.ended("listen: refused with Ret 1", refused=True)
    watched.online()
    watched.upstream.ended("listen: refused with Ret 1", refused=True)
    assert watched.types[-1] == "disconnected"
    assert "degraded" not in watched.types


def test_a_while_without_a_connection_within_a_session_has_counts_asked_for() -> None:
    """From the last byte before it to now; another session, as far as answers prove something. Without one: nothing."""
    watched = Watched()
    watched.upstream.skipped()
    assert (watched.types, watched.doubts) == ([], 0)
    watched.online()
    assert watched.upstream.hearing is not None
    session, _ = watched.upstream.hearing
    watched.now_s += 3
    watched.upstream.skipped()
    assert watched.types == ["connected", "missed"]
    assert watched.data() == {"since": 1_000_000, "until": 1_003_000}
    assert watched.said[-1].upstream == {"heard": "1003000", "gap": "+1"}
    assert watched.doubts == 1
    assert watched.upstream.hearing[0] == session + 1


def test_silence_beyond_the_limit_is_degraded_until_a_byte_comes() -> None:
    """Open and deaf is the classic silent failure; the probe's answer is given a moment."""
    watched = Watched()
    watched.online()
    watched.now_s += 50
    watched.upstream.check()
    assert watched.types == ["connected"]
    watched.now_s += 1
    watched.upstream.check()
    watched.upstream.check()
    assert watched.types == ["connected", "degraded"]
    assert watched.data()["why"] == "no byte for 51 s"
    assert watched.connected == 0
    watched.upstream.heard()
    assert watched.types == ["connected", "degraded", "connected"]
    assert watched.connected == 1
    assert "missed" not in watched.types


def test_after_redis_went_back_the_state_is_said_again_and_what_is_lost() -> None:
    """What stands there is of yesterday, and what was confirmed since then is gone."""
    watched = Watched()
    watched.upstream.went_back(1000)
    assert watched.types == ["missed"]
    watched.upstream.ended("closed", refused=False)
    watched.upstream.went_back(2000)
    assert watched.types == ["missed", "disconnected", "disconnected", "missed"]
    told = watched.data()
    assert (told["since"], told["why"]) == (2000, "Redis went back")
    assert told["until"] > told["since"]


def test_an_open_connection_that_says_nothing_is_deaf() -> None:
    """Readiness asks for it: not while it is connected, nor when there is no connection at all."""
    watched = Watched()
    assert watched.upstream.deaf is None
    watched.online()
    watched.now_s += 60
    watched.upstream.check()
    assert watched.upstream.deaf == "the listen connection is deaf: no byte for 60 s"
    watched.upstream.heard()
    assert watched.upstream.deaf is None
    watched.now_s += 60
    watched.upstream.check()
    watched.upstream.ended("closed", refused=False)
    assert watched.upstream.deaf is None


def test_what_could_not_be_read_is_announced_at_once_and_then_ever_more_rarely() -> None:
    """Counts are asked for each time, so a provider that never stops must not have that done every second."""
    watched = Watched()
    watched.online()
    watched.upstream.unreadable()
    assert watched.types == ["connected", "missed"]
    assert watched.data() == {"since": 1_000_000, "until": 1_000_000, "why": "documents could not be read"}
    assert watched.said[-1].upstream == {"gap": "+1"}
    said_at = []
    for _ in range(4 * 3600):
        watched.now_s += 1
        before = watched.doubts
        watched.upstream.unreadable()
        if watched.doubts > before:
            said_at.append(int(watched.now_s - BEGIN_S))
    assert said_at == [2, 6, 14, 30, 62, 126, 254, 510, 1022, 2046, 4094, 7694, 11294]
    assert watched.doubts == 1 + len(said_at)
    watched.now_s += 4 * 3600
    watched.upstream.check()
    # What had come since the last time is told of in any case; after that it is quiet, and a new one is told at once.
    assert watched.doubts == 2 + len(said_at)
    assert watched.types[-2:] == ["missed", "degraded"]
    assert watched.data(-2)["since"] == 1_000_000 + 11_295_000
    watched.now_s += 4 * 3600
    watched.upstream.check()
    assert watched.doubts == 2 + len(said_at)
    watched.upstream.unreadable()
    watched.now_s += 1
    watched.upstream.unreadable()
    assert watched.doubts == 3 + len(said_at)
    watched.now_s += 1
    watched.upstream.check()
    assert watched.doubts == 4 + len(said_at)


@pytest.mark.parametrize("state", ["away", "credentials", "address", "refused", "between"])
def test_the_leader_says_how_it_stands_with_the_provider(state: ProviderState) -> None:
    """One state at a time, in words and as a metric, from the first attempt on; connected is nothing to speak of."""
    watched = Watched()
    assert watched.standing == ["connecting"]
    assert watched.upstream.trouble == "no mail is announced: the listen connection is being made"
    watched.online()
    assert (watched.standing, watched.upstream.trouble) == (["connected"], None)
    watched.upstream.ended("what it said", state, refused=False)
    assert watched.standing == [state]
    assert (watched.upstream.trouble or "").endswith("(what it said)")
    watched.online()
    assert (watched.standing, watched.upstream.trouble) == (["connected"], None)


def test_deaf_and_conflict_are_states_too() -> None:
    """Open and silent, or left to somebody else; a byte is enough to be connected again."""
    watched = Watched()
    watched.online()
    watched.now_s += 100
    watched.upstream.check()
    assert watched.standing == ["deaf"]
    watched.upstream.heard()
    assert watched.standing == ["connected"]
    watched.upstream.ended("closed", refused=False)
    watched.upstream.conflict(60)
    assert watched.standing == ["conflict"]
    assert watched.upstream.trouble == "no mail is announced: another listener uses our client id"
    nobody_listens(watched.metrics)
    assert watched.standing == []
