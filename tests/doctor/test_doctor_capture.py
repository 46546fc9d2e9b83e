"""``doctor --capture``: a listen session, safe to hand on, and told again by the simulator."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bridge.journal.connect import RedisAddress
from bridge.journal.orders import Orders
from bridge.simulator import Simulator, World
from bridge.simulator.dialect import Dialect, Framing
from bridge.simulator.wire.replay import read_recording
from tests.support.processes import ROOT
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import BOB, KEYS, Told, running_worker, simulating, worker_environment


def pushes_in(lines: list[dict[str, object]]) -> str:
    return "".join(str(line.get("text", "")) for line in lines)


@pytest.mark.parametrize("framing", list(Framing))
async def test_a_session_is_recorded_beside_the_worker_and_told_again(
    redis_url: str, tmp_path: Path, framing: Framing
) -> None:
    """The leader's own session, in each reading of the wire: no text of anybody's is in it, nobody asked the provider
    for anything more; replayed, another worker announces as many mails with as many unread."""
    world = World(1, users=5)
    async with (
        await Simulator.start(world, dialect=Dialect(framing=framing, push_count_as_text=True)) as simulator,
        running_worker(redis_url, simulator) as worker,
        RedisAddress(redis_url).client() as redis,
    ):
        await worker.until_leading()
        await until(lambda: worker.metric("upstream_connected") == 1)
        told, orders = Told(redis), Orders(redis, KEYS)
        await orders.ask("record", ids=("60",))
        for number in range(4):
            if framing is Framing.LONG_POLL:
                await simulator.listeners.wait_hearing()
            world.deliver_mail(BOB, subject=f"工资 secret {number}", summary="secret 13800138000")
            await told.wait_mails(number + 1)
        answer = await orders.ask("recorded")
        assert len({call.connection for call in simulator.calls.of("listen")}) == 1
        counts = [unread for _, _, unread in await told.mails()]
        assert (await orders.ask("recorded"))["ok"] is False
    lines = answer["lines"]
    said = pushes_in(lines)
    # Nothing shorter: a stand-in may happen to be any three letters.
    for word in ("secret", "工资", "138001", BOB, "gzdev"):
        assert word not in said
    assert said.count("NewCount") == 4
    assert all(line["at_ms"] >= 0 for line in lines[1:])
    file = tmp_path / "listen.jsonl"
    file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))

    async with (
        await Simulator.start(World(1, users=5)) as simulator,
        RedisAddress(redis_url).client() as redis,
    ):
        await redis.flushall()
        simulator.replay = read_recording(file, speed=50)
        async with running_worker(redis_url, simulator):
            again = await Told(redis).wait_mails(4)
        assert [unread for _, _, unread in again] == counts
        assert len({mailbox for mailbox, _, _ in again}) == 1
        assert len({mail_id for _, mail_id, _ in again}) == 4


async def test_the_command_writes_a_new_file_for_its_owner_alone(redis_url: str, tmp_path: Path) -> None:
    """Where something stands already, nothing is written; without a leader no file is left."""
    async with simulating() as simulator:
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")},
            "PYTHONPATH": str(ROOT),
            **worker_environment(redis_url, simulator),
        }
        file = tmp_path / "listen.jsonl"
        words = [sys.executable, "-m", "bridge", "doctor", "--capture", str(file), "--seconds", "1"]

        async def capture() -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(
                subprocess.run, words, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
            )

        alone = await capture()
        assert alone.returncode == 1
        assert "no worker leads" in alone.stderr
        assert not file.exists()
        async with running_worker(redis_url, simulator) as worker:
            await worker.until_leading()
            done = await capture()
            assert done.returncode == 0, done.stderr
            assert re.search(r"\d+ pieces, \d+ bytes", done.stdout)
            assert file.stat().st_mode & 0o777 == 0o600
            assert orjson.loads(file.read_text().splitlines()[0])["recording"] == "exmail-bridge listen 1"
            again = await capture()
            assert again.returncode == 1
            assert "cannot write" in again.stderr


@pytest.mark.parametrize(
    "text", ["", "{}", '{"recording":"another"}', '{"recording":"exmail-bridge listen 1"}\n{}', "["]
)
def test_what_is_no_recording_is_refused(tmp_path: Path, text: str) -> None:
    """In words, by whoever replays it."""
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(ValueError):
        read_recording(file)
