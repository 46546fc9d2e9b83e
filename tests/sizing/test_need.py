"""What a corporation needs: pure, so each rule is tried for many of them."""

from __future__ import annotations

import resource
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.obs.acceptor import affordable_connections
from bridge.sizing.corporation import Corporation
from bridge.sizing.memory import bytes_of_events, redis_memory, still_to_come
from bridge.sizing.need import ACCOUNT_READ_S, CALLS_AT_ONCE, PER_PROCESS, Need, need_of
from bridge.worker.allowance import MOST

CORPORATIONS = st.builds(
    Corporation,
    accounts=st.integers(1, 2_000_000),
    online=st.integers(0, 5_000_000),
    aliases=st.floats(0, 20),
    mails=st.floats(0, 5000),
    history_events=st.integers(1, 100_000),
    history_s=st.integers(60, 31_536_000),
    events_max=st.integers(1000, 10_000_000),
    handshake_rate=st.integers(0, 100_000),
)
TODAY = Corporation(accounts=5000, online=5000)


def figures(need: Need) -> dict[str, float]:
    """Every figure of which more is more."""

    def flat(what: str, tree: dict[str, Any]) -> dict[str, float]:
        found = {}
        for name, value in tree.items():
            found |= flat(f"{what}{name}.", value) if isinstance(value, dict) else {f"{what}{name}": value}
        return found

    found = flat("", asdict(need))
    for longer_is_less in ("redis.stream_s", "worker.bridged_s", "worker.pushes"):
        del found[longer_is_less]
    return found


@given(CORPORATIONS, st.sampled_from(["accounts", "aliases", "mails", "history_events", "history_s", "events_max"]))
def test_more_never_needs_less_of_redis(of: Corporation, what: str) -> None:
    """More people, mails or history: no part of its memory shrinks, and the limit grows with the sum."""
    less, more = redis_memory(of), redis_memory(replace(of, **{what: getattr(of, what) * 2}))
    assert all(getattr(more, name) >= size for name, size in asdict(less).items())
    assert more.maxmemory >= less.maxmemory > less.all
    assert less.machine > less.maxmemory
    assert less.disk > less.maxmemory


@given(CORPORATIONS)
def test_one_host_carries_everybody(of: Corporation) -> None:
    """No process has more connections than were measured, and none loses any."""
    edges = need_of(of).edges
    assert edges.hosts == 2
    assert edges.connections <= PER_PROCESS
    assert edges.processes * edges.connections >= of.online
    assert edges.descriptors > edges.connections


@pytest.mark.parametrize("online", [1, 300, 4000, 9000])
def test_the_descriptors_suffice_as_an_edge_counts_them(online: int) -> None:
    """With that limit an edge takes on as many browsers as it is said to."""
    edges = need_of(replace(TODAY, online=online)).edges
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (edges.descriptors, before[1]))
    try:
        affordable = affordable_connections()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert online <= affordable <= online + 100


@given(CORPORATIONS)
def test_every_corporation_has_an_answer(of: Corporation) -> None:
    """Also one to which no mail comes, or where nobody is on line; nothing is negative."""
    assert all(value >= 0 for value in figures(need_of(of)).values())


@pytest.mark.parametrize("what", ["accounts", "mails", "online"])
def test_twice_as_much_needs_no_less_of_anything(what: str) -> None:
    """Of all figures, for an ordinary corporation; more accounts share the same connections."""
    less, more = figures(need_of(TODAY)), figures(need_of(replace(TODAY, **{what: getattr(TODAY, what) * 2})))
    shrunk = {name for name, value in less.items() if more[name] < value - 1e-9}
    assert not shrunk


def test_a_history_is_bounded_by_events_and_by_age() -> None:
    """Whichever is less: ten mails a day are twenty events in a day's history, not two hundred."""
    few, many = replace(TODAY, mails=10), replace(TODAY, mails=100_000)
    assert redis_memory(replace(few, history_events=20)).histories == redis_memory(few).histories
    assert redis_memory(replace(few, history_events=19)).histories < redis_memory(few).histories
    assert redis_memory(replace(many, history_s=60)).histories < redis_memory(many).histories
    assert redis_memory(replace(TODAY, mails=0)).histories == redis_memory(replace(TODAY, mails=0)).seen == 0


def test_what_was_seen_counts_where_it_is_more() -> None:
    """Mailboxes that were measured to be larger than computed make it larger; smaller ones are only not full yet."""
    computed = redis_memory(TODAY)
    assert redis_memory(replace(TODAY, mailbox_bytes=10)) == computed
    seen = redis_memory(replace(TODAY, mailbox_bytes=1_000_000))
    assert seen.mailboxes + seen.histories + seen.seen == pytest.approx(TODAY.accounts * 1_000_000, rel=1e-3)
    assert redis_memory(replace(TODAY, mail_bytes=2 * TODAY.mail_bytes)).stream > computed.stream


def test_what_is_still_to_come_is_what_is_needed_without_what_is_there() -> None:
    """The doctor's forecast and ``size`` say the same of the same stream, and of histories that it fills."""
    kept = {"accounts": 1000, "history_events": 200}
    in_history, in_stream = bytes_of_events()
    of = Corporation(accounts=1000, online=0, history_events=200, events_max=100_000)
    assert still_to_come(events=0, events_max=100_000, **kept) == round(redis_memory(of).stream + 100_000 * in_history)
    assert still_to_come(events=99_000, events_max=100_000, **kept) == round(1000 * (in_stream + in_history))
    assert still_to_come(events=100_100, events_max=100_000, **kept) == 0
    small = still_to_come(events=0, events_max=100_000, accounts=10, history_events=200)
    assert small == round(100_000 * in_stream + 2000 * in_history), "a history takes no more than it may"
    unknown = still_to_come(events=0, events_max=100_000, accounts=0, history_events=200)
    assert unknown == round(100_000 * (in_stream + in_history)), (
        "before the directory is read, room is taken for granted"
    )


def test_the_first_reading_goes_at_the_workers_pace() -> None:
    """The worker asks for so many accounts at a time."""
    assert CALLS_AT_ONCE == MOST
    need = need_of(replace(TODAY, accounts=9600, call_s=0.1)).provider
    assert (need.fill, need.fill_s) == (9601, pytest.approx(10))
    assert need_of(replace(TODAY, accounts=6400, call_s=0.001)).provider.fill_s == pytest.approx(6400 * ACCOUNT_READ_S)
