"""Mails that were pushed while nobody listened: each mailbox is told that there were some, at least how many."""

from __future__ import annotations

from bridge.simulator import Cut, Kind, Simulator
from tests.support.waiting import until
from tests.support.workers import BOB, CLOCK_MS, Told, running_worker

from .test_listen_to_events import listening


async def counted(told: Told, unread: int) -> None:
    """Wait until a mailbox event says so many."""

    async def said() -> bool:
        return [each[2] for each in await told.mails() if each[0] == BOB][-1:] == [unread]

    await until(said)


async def test_mails_of_a_gap_are_announced_as_missed(redis_url: str, simulator: Simulator, told: Told) -> None:
    """Two came while the connection was cut: one ``mail.missed`` with ``at_least`` 2, and the count is right."""
    world = simulator.world
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        before = world.deliver_mail(BOB)
        await told.wait_mails(1)
        simulator.faults.on(Kind.ERRCODE, endpoint="listen", value=1002)
        simulator.cut(Cut.RST)
        await told.wait("upstream.disconnected")
        world.deliver_many(2, BOB)
        simulator.faults.clear()
        [missed] = await told.wait("mail.missed")
        assert (missed["mailbox"], missed["at_least"]) == (BOB, 2)
        assert missed["since"] - CLOCK_MS <= before.time_s * 1000 <= missed["until"] + CLOCK_MS
        await counted(told, before.unread + 2)
        await until(lambda: worker.metric("mails_missed_total") == 2)


async def test_mails_pushed_right_after_a_gap_are_not_among_the_missed(
    redis_url: str, simulator: Simulator, told: Told
) -> None:
    """One missed, then one pushed, before anybody could ask for the count: at least one, not two."""
    world = simulator.world
    async with running_worker(redis_url, simulator):
        await listening(simulator, told)
        world.deliver_mail(BOB)
        await told.wait_mails(1)
        simulator.faults.on(Kind.ERRCODE, endpoint="listen", value=1002)
        simulator.cut(Cut.RST)
        await told.wait("upstream.disconnected")
        world.deliver_mail(BOB)
        simulator.faults.clear()
        simulator.faults.on(Kind.ERRCODE, endpoint="mail/newcount", value=1002)
        await told.wait("upstream.missed")
        await simulator.listeners.wait_hearing()
        pushed = world.deliver_mail(BOB)
        await counted(told, pushed.unread)
        simulator.faults.clear()
        [missed] = await told.wait("mail.missed")
        assert missed["at_least"] == 1


async def test_what_waits_behind_a_slow_document_is_not_missed(
    redis_url: str, simulator: Simulator, told: Told
) -> None:
    """One missed; then a document comes byte by byte, and the count knows of the mail behind it: one, not two."""
    world = simulator.world
    async with running_worker(redis_url, simulator):
        await listening(simulator, told)
        world.deliver_mail(BOB)
        await told.wait_mails(1)
        simulator.faults.on(Kind.ERRCODE, endpoint="listen", value=1002)
        simulator.cut(Cut.RST)
        await told.wait("upstream.disconnected")
        world.deliver_mail(BOB)
        simulator.faults.clear()
        simulator.faults.on(Kind.ERRCODE, endpoint="mail/newcount", value=1002)
        await told.wait("upstream.missed")
        await simulator.listeners.wait_hearing()
        simulator.faults.on(Kind.DRIP, endpoint="listen", value=0.001, times=1)
        # Longer than a first answer, a moment, and a second one take.
        world.deliver_mail(next(alias for alias in world.accounts if alias != BOB), summary="x" * 1800)
        last = world.deliver_mail(BOB)
        simulator.faults.clear()
        [missed] = await told.wait("mail.missed")
        assert missed["at_least"] == 1
        await counted(told, last.unread)


async def test_a_cut_without_mails_accuses_nobody(redis_url: str, simulator: Simulator, told: Told) -> None:
    """The count is what it was: a gap on ``system``, nothing for the mailbox."""
    async with running_worker(redis_url, simulator) as worker:
        await listening(simulator, told)
        simulator.world.deliver_mail(BOB)
        await told.wait_mails(1)
        simulator.cut(Cut.RST)
        await told.wait("upstream.missed")
        await until(lambda: worker.metric("reconciled_total", result="right") >= 1)
        assert not await told.data("mail.missed")
