"""The admin port answers from memory: metrics, liveness, readiness."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager

import aiohttp
import pytest

from bridge.app.public_port import bind
from bridge.obs.admin import Admin, AdminPortTaken
from bridge.obs.metrics import Metrics
from bridge.obs.readiness import Unready
from bridge.settings import Address
from tests.support.waiting import PATIENCE_S


@asynccontextmanager
async def opened(port=0, alive=lambda: None, ready=lambda: None, metrics=None, **options):
    admin = Admin(metrics=metrics or Metrics(), host="127.0.0.1", port=port, alive=alive, ready=ready, **options)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.stop()


async def fetch(admin, path):
    host, port = admin.address
    async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}{path}") as answer:
        return answer.status, await answer.text(), answer.headers


async def test_metrics_are_prometheus_text():
    """``/metrics`` is this process's registry, in the content type that Prometheus asks for."""
    metrics = Metrics()
    metrics.leader.set(1)
    async with opened(metrics=metrics) as admin:
        status, body, headers = await fetch(admin, "/metrics")
    assert status == 200
    assert "exmail_bridge_leader 1.0" in body
    assert headers["Content-Type"].startswith("text/plain; version=")


async def test_readiness_is_apart_from_liveness():
    """Not ready is 503 with the reason, and the metrics say the same; ``/livez`` stays 200; each is asked anew."""
    verdict: list[Unready | None] = [Unready("redis", "Redis does not answer")]
    async with opened(ready=lambda: verdict[0]) as admin:
        assert (await fetch(admin, "/readyz"))[:2] == (503, "Redis does not answer\n")
        assert (await fetch(admin, "/livez"))[:2] == (200, "ok\n")
        page = (await fetch(admin, "/metrics"))[1]
        assert "exmail_bridge_ready 0.0" in page
        assert re.findall(r'exmail_bridge_unready{reason="(.+)"} 1', page) == ["redis"]
        verdict[0] = None
        assert (await fetch(admin, "/readyz"))[:2] == (200, "ok\n")
        page = (await fetch(admin, "/metrics"))[1]
        assert "exmail_bridge_ready 1.0" in page
        assert not re.findall(r"exmail_bridge_unready{.+} 1", page)


async def test_dead_is_503():
    """A process that cannot go on says so."""
    async with opened(alive=lambda: "listener ended") as admin:
        assert (await fetch(admin, "/livez"))[:2] == (503, "listener ended\n")


async def test_a_taken_port_is_named():
    """Two processes with one admin address: the second gets one clear line."""
    async with opened() as first:
        second = Admin(
            metrics=Metrics(), host="127.0.0.1", port=first.address[1], alive=lambda: None, ready=lambda: None
        )
        with pytest.raises(AdminPortTaken, match=f"admin address 127.0.0.1:{first.address[1]} is in use"):
            await second.start()


async def test_all_addresses_are_those_of_ipv4_too():
    """``[::]`` means the same for the admin port and for the public one."""
    public = await bind(Address("::", 0))
    public.listen()
    admin = Admin(metrics=Metrics(), host="::", port=0, alive=lambda: None, ready=lambda: None)
    await admin.start()
    try:
        for port in (public.getsockname()[1], admin.address[1]):
            for host in ("127.0.0.1", "::1"):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
    finally:
        await admin.stop()
        public.close()


async def test_stop_may_be_called_again():
    """Stopping twice is harmless and the address is gone."""
    async with opened() as admin:
        await admin.stop()
        with pytest.raises(RuntimeError):
            _ = admin.address


async def test_idle_connections_give_way_to_whoever_asks():
    """Thirty-two at most, of which the oldest goes: a port in reach of anybody takes no more descriptors than that."""
    async with opened(patience_s=3600) as admin:
        idle = [await asyncio.open_connection(*admin.address) for _ in range(40)]
        for _ in range(3):
            assert (await fetch(admin, "/livez"))[0] == 200
        for reader, _ in idle[:8]:
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        _, writer = idle[-1]
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(idle[-1][0].readline(), PATIENCE_S)).startswith(b"HTTP/1.1 200")
        for _, writer in idle:
            writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTT", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_nobody_holds_a_connection_for_long(sent):
    """Who says nothing, half a request, or nothing more after one, is closed."""
    # A whole request has to come in time.
    async with opened(patience_s=2 if sent.endswith(b"\n") else 0.2) as admin:
        reader, writer = await asyncio.open_connection(*admin.address)
        writer.write(sent)
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert answer.startswith(b"HTTP/1.1 200") is sent.endswith(b"\n")
        writer.close()
