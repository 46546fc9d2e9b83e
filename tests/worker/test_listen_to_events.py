"""From the provider's socket to events on Redis: whole workers, in every reading of the wire."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from bridge.settings import load_settings
from bridge.simulator import Cut, Defect, Dialect, Framing, KeyCase, Kind, Simulator
from bridge.simulator.seeded import seeded
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import (
    BOB,
    CLOCK_MS,
    HASTY_FIRST_S,
    RunningWorker,
    Told,
    Truth,
    running_worker,
    simulating,
    worker_environment,
)
from tests.support.workers import hasty as hasty

QUICK = {"BRIDGE_PROVIDER_LISTEN_SILENCE": "1"}


async def listening(simulator: Simulator, told: Told) -> None:
    """The session stands and the first fill is done: nothing but the test happens from now on."""
    await told.wait("directory.synced")
    await told.wait("upstream.connected")
    await simulator.listeners.wait_hearing()


def in_order(told: list[tuple[str, str, int]], truth: Truth) -> bool:
    """Each mailbox's events are exactly what happened, in order."""
    return all(
        [each for each in told if each[0] == mailbox] == truth.of(mailbox)
        for mailbox in {each[0] for each in (*told, *truth.happened)}
    )


@pytest.mark.parametrize(
    "dialect",
    [
        *(Dialect(framing=framing) for framing in Framing),
        Dialect(framing=Framing.STREAM_CHUNKED, split_chunks=True, padded_keys=True, trailing_commas=True),
        Dialect(key_case=KeyCase.LOWER, push_count_as_text=True, push_ver_as_text=False, content_type=None),
    ],
    ids=lambda dialect: f"{dialect.framing}{'-odd' if dialect != Dialect(framing=dialect.framing) else ''}",
)
async def test_what_happens_is_told_once_and_in_order(
    redis_url: str, told: Told, dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mails and counts of many mailboxes, alone and in bursts: the events are the truth."""
    # Where each answer ends with a close, the next connection is there before anything is missed, however slow we are.
    monkeypatch.setattr("bridge.provider.bizmail.listen._BETWEEN_S", PATIENCE_S)
    async with simulating(10, dialect=dialect) as simulator, running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        world, truth, random = simulator.world, Truth(simulator.world), seeded(7, "happenings")
        for _ in range(12):
            mailbox = random.choice(list(world.accounts))
            world.deliver_many(1 + int(random.random() * 4), mailbox)
            world.read(mailbox, random.randrange(3))
            await told.wait_mails(len(truth.happened))
        found = await told.mails()
        assert in_order(found, truth)
        mails = sum(1 for each in truth.happened if each[1])
        assert worker.metric("pushes_total", type="mail") == mails
        assert worker.metric("pushes_total", type="unread") == len(truth.happened) - mails
        assert worker.metric("documents_dropped_total", reason="bad-json") == 0
        assert worker.metric("upstream_connected") == worker.metric("leader") == 1
        assert worker.metric("cursor_ver") == world.ver
        # What is told can be read before whoever committed it has the answer.
        await until(lambda: worker.metric("commit_seconds_count") > 0 and worker.metric("backlog_pushes") == 0)
    assert worker.metric("listen_sessions_total", outcome="shutdown") == 1
    assert worker.metric("leader") == 0


async def test_one_mail_for_two_mailboxes_is_two_events_and_a_repeated_push_none(
    redis_url: str, simulator: Simulator, told: Told
) -> None:
    """(mailbox, MailId) is told once; the count of the refused duplicate still counts."""
    world = simulator.world
    other = list(world.accounts)[1]
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        first = world.deliver_mail(BOB)
        world.deliver_mail(other, mail_id=first.mail_id)
        world.deliver_mail(BOB, mail_id=first.mail_id)
        last = world.deliver_mail(BOB)
        found = await told.wait_mails(4)
        assert [each[:2] for each in found] == [
            (BOB, first.mail_id),
            (other, first.mail_id),
            (BOB, ""),
            (BOB, last.mail_id),
        ]
        assert [each[2] for each in found if each[0] == BOB] == [first.unread, first.unread + 1, first.unread + 2]
        await until(lambda: worker.metric("commits_total", result="published") >= 4)


@pytest.mark.parametrize("defect", [*Defect])
async def test_a_spoilt_document_ends_nothing(redis_url: str, simulator: Simulator, told: Told, defect: Defect) -> None:
    """What can be repaired is told, the rest is counted by reason; the mail behind it comes in any case."""
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        simulator.faults.on(Kind.MALFORMED, value=str(defect), times=1)
        spoilt = simulator.world.deliver_mail(BOB)
        after = simulator.world.deliver_mail(BOB)
        await until(lambda: _announced(told, after.mail_id))
        announced = spoilt.mail_id in {each[1] for each in await told.mails()}
        assert announced == defect.repairable
        dropped = sum(
            worker.metric("documents_dropped_total", reason=reason)
            for reason in ("bad-json", "not-object", "unknown-shape", "too-large")
        )
        assert dropped == (0 if defect.repairable else 1)


async def _announced(told: Told, mail_id: str) -> bool:
    return any(each[1] == mail_id for each in await told.mails())


async def test_an_address_that_is_none_is_counted_and_skipped(redis_url: str, simulator: Simulator, told: Told) -> None:
    """Reason ``bad-address``; it opens no mailbox."""
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        simulator.world.deliver_mail(BOB, user_name="no address at all")
        simulator.world.deliver_mail(BOB)
        await told.wait_mails(1)
        assert worker.metric("documents_dropped_total", reason="bad-address") == 1
        assert worker.metric("pushes_total", type="mail") == 1


async def test_a_push_for_a_slave_is_its_accounts(redis_url: str, simulator: Simulator, told: Told) -> None:
    """As the mirror says; a slave that is added later counts from the delta on."""
    simulator.world.modify_user(BOB, slaves=("robert@gzdev.com",))
    async with running_worker(redis_url, simulator):
        await listening(simulator, told)
        simulator.world.deliver_mail(BOB, user_name="Robert@GZdev.com")
        [(mailbox, _, _)] = await told.wait_mails(1)
        assert mailbox == BOB
        simulator.world.modify_user(BOB, slaves=("bobby@gzdev.com",))
        await told.wait("directory.user.updated")
        # The map is current a moment after the event; ask until it is.
        await until(lambda: _goes_to_bob(simulator, told))


async def _goes_to_bob(simulator: Simulator, told: Told) -> bool:
    mail = simulator.world.deliver_mail(BOB, user_name="bobby@gzdev.com")
    await until(lambda: _announced(told, mail.mail_id))
    return any(each[:2] == (BOB, mail.mail_id) for each in await told.mails())


@pytest.mark.parametrize("how", [*Cut])
async def test_a_gap_is_told_and_counts_are_asked_for(
    redis_url: str, simulator: Simulator, told: Told, how: Cut
) -> None:
    """What was pushed while nobody listened is lost for mails; the count comes right, with its reason."""
    world = simulator.world
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        world.deliver_mail(BOB)
        await told.wait_mails(1)
        simulator.cut(how)
        lost = world.deliver_mail(BOB)
        assert not lost.pushed
        [missed] = await told.wait("upstream.missed")
        assert missed["since"] <= lost.time_s * 1000 + CLOCK_MS
        assert missed["until"] >= lost.time_s * 1000 - CLOCK_MS
        await told.wait("mail.unread")
        [corrected] = await told.data("mail.unread")
        assert (corrected["unread"], corrected["reason"]) == (world.unread[BOB], "reconcile")
        events = [event["type"] for event in await told.events("upstream.connected", "upstream.disconnected")]
        assert [type.rsplit(".", 1)[1] for type in events] == ["connected", "disconnected", "connected"]
        assert worker.metric("listen_sessions_total", outcome="ended") == 1
        await until(lambda: worker.metric("reconciled_total", result="corrected") == 1)
        assert worker.metric("reconcile_drift_messages_sum") == 1


async def test_a_silent_listener_is_degraded_then_renewed(redis_url: str, simulator: Simulator, told: Told) -> None:
    """Open and deaf: noticed by bytes, not by the task being alive."""
    async with running_worker(redis_url, simulator, **QUICK) as worker:
        await listening(simulator, told)
        simulator.faults.on(Kind.SILENT, endpoint="listen")
        await until(lambda: worker.metric("listen_sessions_total", outcome="silent") == 1)
        simulator.faults.clear()
        await told.wait("upstream.missed")
        [gone] = await told.data("upstream.disconnected")
        assert "no byte" in gone["why"]

        async def goes_through() -> bool:
            # Whoever is so impatient may have left once more: then this one is missed, and the next is not.
            simulator.world.deliver_mail(BOB)
            return bool(await told.data("mail.new"))

        await until(goes_through)


async def test_a_token_that_expires_in_mid_listen_is_renewed(redis_url: str, simulator: Simulator, told: Told) -> None:
    """1200 inside the stream: a new token, the same session, nothing missed."""
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        tokens = simulator.calls.count("token")
        simulator.world.expire_tokens()
        simulator.listeners.push_errcode(1200)
        await simulator.calls.wait("token", tokens + 1)
        await simulator.calls.wait("listen", 2)
        simulator.world.deliver_mail(BOB)
        await told.wait_mails(1)
        assert await told.data("upstream.missed") == []
        assert worker.metric("listen_sessions_total", outcome="refused") == 0


async def test_a_token_that_is_refused_when_asking_again_is_renewed(
    redis_url: str, simulator: Simulator, told: Told
) -> None:
    """After a cut the old token has expired meanwhile: one renewal, and the session stands."""
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        tokens = simulator.calls.count("token")
        simulator.world.expire_tokens()
        simulator.cut(Cut.RST)
        await told.wait("upstream.missed")
        # Whoever asks first is refused: the listener, or a count that is asked for just then.
        assert simulator.calls.count("token") == tokens + 1
        assert worker.metric("listen_sessions_total", outcome="refused") == 0
        simulator.world.deliver_mail(BOB)
        await told.wait_mails(1)


async def test_a_busy_provider_is_asked_again(redis_url: str, simulator: Simulator, told: Told) -> None:
    """1002 to listen: patience within the session."""
    simulator.faults.on(Kind.ERRCODE, endpoint="listen", value=1002, times=1)
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        simulator.world.deliver_mail(BOB)
        await told.wait_mails(1)
        assert worker.metric("listen_sessions_total", outcome="refused") == 0


async def test_an_address_that_is_not_allowed_is_told_with_what_to_do(
    redis_url: str, simulator: Simulator, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """10001: the log says what the operator has to do, browsers learn that it is so, and it mends by itself."""
    simulator.faults.on(Kind.ERRCODE, endpoint="listen", value=10001)
    with caplog.at_level(logging.WARNING):
        async with running_worker(redis_url, simulator) as worker:
            [degraded] = await told.wait("upstream.degraded")
            assert worker.metric("listen_sessions_total", outcome="refused") >= 2
            simulator.faults.clear()
            await told.wait("upstream.connected")
    assert "10001" in degraded["why"]
    assert "127.0.0.1" not in degraded["why"]
    advice = [record for record in caplog.records if "allow-list" in str(getattr(record, "error", ""))]
    assert advice
    assert all(getattr(record, "part", "") == "listener" for record in advice)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("kind", "value", "outcome"),
    [(Kind.RET, 5, "refused"), (Kind.ERRCODE, 1001, "refused"), (Kind.ANSWER_THEN_CLOSE, None, "ended")],
)
async def test_a_provider_that_answers_and_ends_is_not_asked_without_pause(
    redis_url: str,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    kind: Kind,
    value: Any,
    outcome: str,
) -> None:
    """A refusal or a bare acknowledgement is no progress: the bound of the pause doubles each time."""
    simulator.faults.on(kind, endpoint="listen", value=value)
    with caplog.at_level(logging.WARNING, logger="bridge.worker.leader"):
        async with running_worker(redis_url, simulator) as worker:
            await until(lambda: worker.metric("listen_sessions_total", outcome=outcome) >= 6)
    waits = [record.__dict__["wait_s"] for record in caplog.records if getattr(record, "part", "") == "listener"]
    # Random pauses up to a bound; were it reset each time, none could be above the first bound.
    assert max(waits) > HASTY_FIRST_S
    assert worker.metric("listen_sessions_total", outcome=outcome) == len(waits)


@pytest.mark.usefixtures("hasty")
async def test_a_provider_that_falls_silent_is_not_dialled_without_pause(
    redis_url: str, simulator: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a session stood open without a byte, it is no progress: the bound of the pause doubles each time."""
    monkeypatch.setattr("bridge.worker.listener._STEADY_S", 0.0)
    simulator.faults.on(Kind.SILENT, endpoint="listen")
    settings = load_settings(worker_environment(redis_url, simulator), None)
    # Quicker than anybody may set it.
    worker = RunningWorker(replace(settings, provider=replace(settings.provider, listen_silence_s=0.05)))
    with caplog.at_level(logging.WARNING, logger="bridge.worker.leader"):
        try:
            await until(lambda: worker.metric("listen_sessions_total", outcome="silent") >= 6)
        finally:
            await worker.end()
    waits = [record.__dict__["wait_s"] for record in caplog.records if getattr(record, "part", "") == "listener"]
    assert max(waits) > HASTY_FIRST_S


@pytest.mark.usefixtures("hasty")
async def test_a_stream_on_which_nothing_comes_is_followed_by_the_next_at_once(
    redis_url: str, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """A quiet night: a stream of one response cannot be asked whether it lives, so each silence ends it, and what comes
    before the next one is missed. It had been answered: there is nothing to stay away for."""
    simulator.dialect.framing = Framing.STREAM_CHUNKED
    settings = load_settings(worker_environment(redis_url, simulator), None)
    worker = RunningWorker(replace(settings, provider=replace(settings.provider, listen_silence_s=0.05)))
    with caplog.at_level(logging.WARNING, logger="bridge.worker.leader"):
        try:
            await until(lambda: worker.metric("listen_sessions_total", outcome="silent") >= 12)
        finally:
            await worker.end()
    waits = [record.__dict__["wait_s"] for record in caplog.records if getattr(record, "part", "") == "listener"]
    assert max(waits) <= HASTY_FIRST_S


async def test_a_pushed_ver_brings_the_delta(redis_url: str, simulator: Simulator, told: Told) -> None:
    """From a Ver on the listen stream to member events and the cursor."""
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        simulator.world.modify_user(BOB, name="Robert")
        [updated] = await told.wait("directory.user.updated")
        assert updated["profile"]["name"] == "Robert"
        await until(lambda: worker.metric("cursor_ver") == simulator.world.ver)
        assert worker.metric("directory_syncs_total", kind="full", outcome="changed") == 1
        await until(lambda: worker.metric("directory_syncs_total", kind="delta", outcome="changed") == 1)
        assert worker.metric("pushes_total", type="version") >= 1
        assert 0 <= worker.metric("cursor_age_seconds") < 60


@pytest.mark.usefixtures("hasty")
async def test_a_provider_that_is_not_there_yet_is_waited_for(redis_url: str, simulator: Simulator, told: Told) -> None:
    """The worker starts before the network does."""
    simulator.faults.on(Kind.REFUSE)
    async with running_worker(redis_url, simulator) as worker:
        await told.wait("upstream.disconnected")
        await until(lambda: worker.metric("listen_sessions_total", outcome="away") >= 1)
        simulator.faults.clear()
        await listening(simulator, told)
        simulator.world.deliver_mail(BOB)
        await told.wait_mails(1)


async def test_two_workers_hold_one_session(redis_url: str, simulator: Simulator, told: Told) -> None:
    """A standby does not listen: a second listener could silence the first."""
    async with running_worker(redis_url, simulator) as one, running_worker(redis_url, simulator) as other:
        await listening(simulator, told)
        pair: list[RunningWorker] = [one, other]
        await until(lambda: sum(worker.leads for worker in pair) == 1)
        simulator.world.deliver_mail(BOB)
        await told.wait_mails(1)
        assert simulator.calls.count("listen") == 1
        assert sum(worker.metric("pushes_total", type="mail") for worker in pair) == 1
