"""When the provider is asked again, case by case, with a clock and no socket."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bridge.provider.bizmail.asking import Asking
from bridge.provider.pushes import Online, Push, RefusalPushed, Unreadable, UnreadChanged, VersionChanged

SILENCE_S = 45.0
ACK, BUSY, NOISE = Online(0), RefusalPushed("1002", "busy"), Unreadable("not-object", b"?")


def event(n: int = 1) -> UnreadChanged:
    return UnreadChanged("a@x", n)


@dataclass
class Clock:
    s: float = 1000.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def asking(clock: Clock) -> Asking:
    return Asking(silence_s=SILENCE_S, now=clock)


def respond(asking: Asking, *pushes: Push) -> None:
    asking.bytes_came()
    asking.response_began()
    asking.pushes_came(pushes)
    asking.response_complete()


def bare(asking: Asking, *pushes: Push) -> None:
    asking.bytes_came()
    asking.pushes_came(pushes)


def asks_after(asking: Asking, clock: Clock) -> float:
    """Seconds until it asks, following its own waits; the clock is moved there."""
    began = clock.s
    while not asking.wants_to_ask:
        assert not asking.is_silent
        wait_s = asking.wait_s()
        assert wait_s > 0
        clock.s += wait_s
    return clock.s - began


def test_asks_at_the_start(asking: Asking) -> None:
    """A session begins with a request."""
    assert asking.wants_to_ask


def test_event_that_answers_is_followed_at_once(asking: Asking) -> None:
    """Rule 1: a long poll that brought something is asked again at once, as often as it does."""
    for n in range(5):
        asking.asked()
        assert not asking.wants_to_ask
        respond(asking, event(n))
        assert asking.wants_to_ask


def test_late_answer_is_followed_at_once(asking: Asking, clock: Clock) -> None:
    """Rule 1: a long poll that ran out, with anything in it or nothing, is asked again at once."""
    for answer in ([ACK], [], [NOISE]):
        asking.asked()
        clock.s += 1.0
        respond(asking, *answer)
        assert asking.wants_to_ask


@pytest.mark.parametrize("answer", [[ACK], [], [NOISE], [BUSY]])
def test_early_answer_without_event_is_paced(asking: Asking, clock: Clock, answer: list[Push]) -> None:
    """Rule 2: whatever answers early and brings nothing is asked again after 1, 2, 4 … s up to the silence limit."""
    waits = []
    for _ in range(8):
        asking.asked()
        respond(asking, *answer)
        assert not asking.wants_to_ask
        waits.append(asks_after(asking, clock))
    assert waits == [1, 2, 4, 8, 16, 32, SILENCE_S, SILENCE_S]


def test_busy_is_paced_however_late(asking: Asking, clock: Clock) -> None:
    """A provider that says that it is busy is given time, after a long wait too."""
    asking.asked()
    clock.s += 5
    respond(asking, BUSY)
    assert asks_after(asking, clock) == 1


def test_pace_begins_again_after_an_event_answered(asking: Asking, clock: Clock) -> None:
    """Progress resets the pace, an acknowledgement does not."""
    for _ in range(4):
        asking.asked()
        respond(asking, ACK)
        asks_after(asking, clock)
    asking.asked()
    respond(asking, event())
    asking.asked()
    respond(asking, ACK)
    assert asks_after(asking, clock) == 1


def test_unasked_responses_ask_for_nothing(asking: Asking, clock: Clock) -> None:
    """Rule 3: what nobody asked for is read on; the next question waits until it has been quiet."""
    asking.asked()
    respond(asking, ACK)
    for n in range(100):
        clock.s += 0.5
        respond(asking, event(n))
        assert not asking.wants_to_ask
    assert asks_after(asking, clock) == 1


def test_events_answer_nothing_on_a_socket_that_pushes_unasked(asking: Asking, clock: Clock) -> None:
    """A probe amid a burst of unasked events is one request, not one for each event until it is acknowledged."""
    asking.asked()
    respond(asking, ACK)
    respond(asking, event(0))
    asks_after(asking, clock)
    asking.asked()
    for n in range(1, 50):
        respond(asking, event(n))
        assert not asking.wants_to_ask
    respond(asking, ACK)
    assert asks_after(asking, clock) == 2


def test_nothing_is_written_while_a_body_is_open(asking: Asking, clock: Clock) -> None:
    """Reading c: no request is due inside a response; silence there can only end the session."""
    asking.asked()
    asking.bytes_came()
    asking.response_began()
    asking.pushes_came([ACK, event()])
    clock.s += 2 * SILENCE_S
    assert not asking.wants_to_ask
    assert not asking.is_silent
    clock.s += asking.wait_s()
    assert asking.is_silent
    assert clock.s == asking.last_byte_at + 3 * SILENCE_S


def test_silence_brings_probes_and_then_the_end(asking: Asking, clock: Clock) -> None:
    """Silence between responses: ask after the limit, and again; at three times the limit it is over."""
    began = clock.s
    asking.asked()
    assert asks_after(asking, clock) == SILENCE_S
    asking.asked()
    assert asks_after(asking, clock) == SILENCE_S
    asking.asked()
    clock.s += asking.wait_s()
    assert asking.is_silent
    assert clock.s - began == 3 * SILENCE_S


def test_probe_of_a_held_poll_counts_as_a_request(asking: Asking, clock: Clock) -> None:
    """Two requests are out after a probe: the first answer does not bring a third."""
    asking.asked()
    asks_after(asking, clock)
    asking.asked()
    respond(asking, event())
    assert not asking.wants_to_ask
    respond(asking, event(2))
    assert asking.wants_to_ask


def test_same_version_again_within_a_second_is_no_progress(asking: Asking, clock: Clock) -> None:
    """A Ver that the provider repeats at once cannot make us spin; another one is news."""
    asking.asked()
    respond(asking, VersionChanged(7))
    assert asking.wants_to_ask
    asking.asked()
    clock.s += 0.1
    respond(asking, VersionChanged(7))
    assert asks_after(asking, clock) == 1
    asking.asked()
    respond(asking, VersionChanged(8))
    assert asking.wants_to_ask


def test_repeating_provider_is_asked_ever_more_rarely(asking: Asking, clock: Clock) -> None:
    """A provider that answers every request at once with the same thing gets few requests, not thousands."""
    requests, began = 0, clock.s
    while clock.s - began < 3600:
        asks_after(asking, clock)
        asking.asked()
        requests += 1
        clock.s += 0.001
        respond(asking, VersionChanged(7), event())
    assert requests < 200


def test_bare_acknowledgement_answers_the_probe(asking: Asking, clock: Clock) -> None:
    """Reading d: a document without a header block answers a request if it is no event."""
    asking.asked()
    respond(asking, ACK)
    asks_after(asking, clock)
    asking.asked()
    bare(asking, event())
    assert asking.awaits_answer
    bare(asking, ACK)
    assert not asking.awaits_answer
    assert asks_after(asking, clock) == 2


def test_new_token_is_tried_at_once(asking: Asking) -> None:
    """After 1200 and a new token there is nothing to wait for."""
    asking.asked()
    respond(asking, RefusalPushed("1200", "invalid_token"))
    assert not asking.wants_to_ask
    asking.token_renewed()
    assert asking.wants_to_ask
    assert not asking.served


def test_online_by_acknowledgement(asking: Asking) -> None:
    """Counts are reconciled after the acknowledgement, never before."""
    asking.asked()
    assert not asking.is_online
    respond(asking, ACK)
    assert asking.is_online


def test_online_by_a_poll_that_holds(asking: Asking, clock: Clock) -> None:
    """A long poll says nothing when it begins: a second after the request it counts as listening."""
    asking.asked()
    assert asking.wait_s() == 1
    clock.s += 1
    assert asking.is_online


def test_online_by_polls_that_are_all_short(asking: Asking, clock: Clock) -> None:
    """A busy long poll holds no request for a second, yet it serves us."""
    for n in range(8):
        assert not asking.is_online
        asking.asked()
        clock.s += 0.125
        respond(asking, event(n))
    assert asking.is_online


def test_refusals_are_not_online(asking: Asking, clock: Clock) -> None:
    """A provider that only says no does not listen to us."""
    for _ in range(5):
        asking.asked()
        respond(asking, BUSY)
        assert not asking.is_online
        asks_after(asking, clock)


LOST = {"cut": False, "reset": False, "by_close": False, "says_close": False}


def test_cut_inside_a_response_is_a_loss(asking: Asking) -> None:
    """Half a response is no conversation."""
    asking.asked()
    assert not asking.connection_lost(**(LOST | {"cut": True}))


def test_close_behind_an_answer_goes_on(asking: Asking, clock: Clock) -> None:
    """A long poll that closes behind each answer is asked on a new connection."""
    asking.asked()
    respond(asking, event())
    assert asking.connection_lost(**LOST)
    assert asking.wants_to_ask
    asking.asked()
    clock.s += 30
    respond(asking)
    clock.s += 2
    assert asking.connection_lost(**(LOST | {"says_close": True}))
    assert asking.wants_to_ask


@pytest.mark.parametrize("says_close", [False, True])
def test_close_behind_an_acknowledgement_is_a_loss(asking: Asking, says_close: bool) -> None:
    """Where the next request has to wait, nobody listens meanwhile: that is a gap, announced or not."""
    asking.asked()
    respond(asking, ACK)
    assert not asking.connection_lost(**(LOST | {"says_close": says_close}))


def test_reset_behind_an_answer_is_a_loss(asking: Asking) -> None:
    """Only an orderly close is part of a conversation."""
    asking.asked()
    respond(asking, event())
    assert not asking.connection_lost(**(LOST | {"reset": True}))


def test_close_long_after_an_answer_is_a_loss(asking: Asking, clock: Clock) -> None:
    """Reading a: a connection that was kept open to push on and then closes was cut, unless it had said so."""
    asking.asked()
    respond(asking, event())
    clock.s += 1
    assert not asking.connection_lost(**LOST)


def test_close_behind_an_unasked_response_is_a_loss(asking: Asking, clock: Clock) -> None:
    """What closes behind something nobody asked for may have had more to push."""
    asking.asked()
    respond(asking, ACK)
    respond(asking, event())
    assert not asking.connection_lost(**LOST)


def test_close_without_an_answer_is_a_loss(asking: Asking) -> None:
    """A first request that is answered with a close was not answered."""
    asking.asked()
    assert not asking.connection_lost(**LOST)


def test_request_into_a_closing_connection_is_repeated(asking: Asking, clock: Clock) -> None:
    """A kept connection may close in the moment we write to it; that is nobody's fault, once."""
    asking.asked()
    respond(asking, event())
    asking.asked()
    clock.s += 0.1
    assert asking.connection_lost(**LOST)
    assert asking.wants_to_ask
    asking.asked()
    assert not asking.connection_lost(**LOST)


def test_stream_that_ends_in_order_is_a_loss(asking: Asking) -> None:
    """One document a response is a long poll; several of them were a stream, unless its close was announced."""
    asking.asked()
    respond(asking, event(), event(2))
    assert not asking.connection_lost(**LOST)
    asking.asked()
    respond(asking, event(3), event(4))
    assert asking.connection_lost(**(LOST | {"says_close": True}))


def test_stream_that_ends_by_close_is_a_loss(asking: Asking, clock: Clock) -> None:
    """Reading c until close: one document and a close is a long poll, anything else a stream that was cut."""
    asking.asked()
    respond(asking, event())
    assert asking.connection_lost(**(LOST | {"by_close": True}))
    asking.asked()
    respond(asking, ACK, event(2))
    assert not asking.connection_lost(**(LOST | {"by_close": True}))
    asking.asked()
    respond(asking, ACK)
    clock.s += 60
    assert not asking.connection_lost(**(LOST | {"by_close": True}))
