"""The provider's name cannot be found any more, then it can."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import redis

from bridge.simulator import Cut, Simulator, World
from tests.support.processes import program, worker_environ
from tests.support.stage import BOB, KEYS
from tests.support.waiting import until
from tests.support.wrapped import Hosts

from .test_kill import stored_events


async def test_a_name_that_is_not_found_is_tried_again(
    redis_url: str, tmp_path: Path, require_library: Callable[[str], str]
) -> None:
    """Said in the log and on ``system``; when the name is back, the worker is, and tells what was missed."""
    hosts = Hosts(require_library("libnss_wrapper.so"), tmp_path)
    hosts.know("openapi.invalid")
    async with await Simulator.start(World(7, users=3)) as provider:
        environ = worker_environ(redis_url, provider) | {
            "BRIDGE_PROVIDER_API_URL": f"http://openapi.invalid:{provider.port}",
            "BRIDGE_PROVIDER_AUTH_URL": f"http://openapi.invalid:{provider.port}",
            **hosts.environ,
        }
        async with program("worker", environ=environ) as worker:
            await until(lambda: bool(worker.said("listen session online")))
            hosts.know()
            provider.cut(Cut.RST, everything=True)

            def complained() -> bool:
                return any("openapi.invalid" in line.get("error", "") for line in worker.said("will try again"))

            await until(complained)
            lost = provider.world.deliver_mail(BOB)
            with redis.Redis.from_url(redis_url) as client:
                # Before its first commit a leader waits for what edges remember.
                await until(lambda: client.hget(KEYS.upstream, "state") == b"disconnected")
            hosts.know("openapi.invalid")
            await until(lambda: len(worker.said("listen session online")) == 2)
            heard = provider.world.deliver_mail(BOB)

            def seen() -> list[str]:
                return [event["data"].get("mail_id") for event in stored_events(redis_url) if BOB in event["source"]]

            await until(lambda: heard.mail_id in seen())
            [missed] = [event for event in stored_events(redis_url) if event["type"] == "exmail.upstream.missed"]
            assert missed["data"]["since"] <= lost.time_s * 1000 <= missed["data"]["until"]
