"""Letting aiohttp go of a socket: it must not write, close, or keep anything afterwards."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from bridge.edge.handover import Gone, take_socket
from tests.support.waiting import PATIENCE_S, until


class Echo(asyncio.Protocol):
    """Says what it hears, in brackets."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"[" + data + b"]")


async def serving(handler: Any) -> tuple[web.AppRunner, int]:
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, runner.addresses[0][1]


def alive() -> int:
    """How many handlers and requests of aiohttp there are, those that other tests left among them."""
    gc.collect()
    return sum(isinstance(thing, RequestHandler | web.Request) for thing in gc.get_objects())


async def test_the_socket_is_ours_and_aiohttp_keeps_nothing() -> None:
    """What was sent behind the request is handed on; the response that the handler returns goes nowhere."""
    tails: list[bytes] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        transport, early = take_socket(request)
        tails.append(early)
        transport.set_protocol(Echo(transport))
        transport.write(b"ours")
        return web.Response(text="never seen")

    runner, port = await serving(handler)
    before = alive()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
        assert await asyncio.wait_for(reader.readexactly(4), PATIENCE_S) == b"ours"
        assert tails == [b"early"]

        def released() -> bool:
            return alive() <= before

        await until(released)
        assert runner.server is not None
        assert runner.server.connections == []
        # Longer than aiohttp's keep-alive, which must not end it.
        for _ in range(3):
            writer.write(b"hello")
            assert await asyncio.wait_for(reader.readexactly(7), PATIENCE_S) == b"[hello]"
            await asyncio.sleep(0.05)
        writer.close()
    finally:
        await asyncio.wait_for(runner.cleanup(), PATIENCE_S)


async def test_a_client_that_left_is_noticed() -> None:
    """Nobody starts a stream on a socket that is closing."""
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        try:
            take_socket(request)
        except Gone:
            outcome.set_result("gone")
        return web.Response()

    runner, port = await serving(handler)
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await asyncio.wait_for(outcome, PATIENCE_S) == "gone"
        writer.close()
    finally:
        await runner.cleanup()
