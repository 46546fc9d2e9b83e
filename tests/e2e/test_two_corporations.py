"""A second corporation's programs on the first one's namespace: refused in one line, and let in by ``adopt``."""

from __future__ import annotations

from bridge.simulator import Simulator, World
from tests.support.processes import program, worker_environ
from tests.support.waiting import PATIENCE_S, until


async def test_a_second_corporation_is_refused_until_it_adopts(redis_url: str) -> None:
    """A worker and a command of the ``api``; nothing of the first is sent to the second one's provider."""
    async with (
        await Simulator.start(World(1, users=3)) as first,
        await Simulator.start(World(2, users=3, client_id="another")) as second,
    ):
        theirs = worker_environ(redis_url, second)
        assert first.world.client_id != "another"
        async with program("worker", environ=worker_environ(redis_url, first)) as worker:
            await worker.ready()
            await first.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
            for words in (("worker",), ("api", "token")):
                async with program(*words, environ=theirs) as refused:
                    assert await refused.ended() == 1, refused.lines
                    said = [line.get("why", line["message"]) for line in refused.lines]
                    assert len([line for line in said if "belongs to another corporation" in line]) == 1, said
            async with program("adopt", environ=theirs) as adopting:
                assert await adopting.ended() == 1
                assert "stop every worker first" in adopting.lines[-1]["message"]
            assert await worker.stop() == 0
        async with program("adopt", environ=theirs) as adopting:
            assert await adopting.ended() == 0, adopting.lines
        async with program("worker", environ=theirs) as worker:
            await second.listeners.wait_hearing(1, timeout_s=PATIENCE_S)
            await until(lambda: bool(worker.said("leading")))
        assert not any(call.outcome == "1200" for call in second.calls), "a foreign token was sent"
