"""The admin port: metrics, and whether the process lives and is ready.

It is a port of its own, so that browsers need not reach it. It answers from memory, so that it answers while everything
else is away: a slow Redis must show in ``/readyz``, never as a hanging probe. Its clients may have a few connections
for a short time, and none of the descriptors that the process needs.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import web

from bridge.obs.acceptor import RESERVE, Acceptor
from bridge.obs.metrics import CONTENT_TYPE, Metrics
from bridge.obs.port import take_port
from bridge.obs.readiness import Unready
from bridge.obs.unreadable import in_our_words

log = logging.getLogger(__name__)

_HEADERS: Final = {"Cache-Control": "no-store"}
_PATIENCE_S: Final = 10.0
_MOST: Final = 32


class AdminPortTaken(OSError):
    """Another program listens on the admin address."""


class Admin:
    """Serves ``/metrics``, ``/livez`` and ``/readyz``.

    ``alive`` and ``ready`` return ``None`` if all is well, otherwise the reason, which is answered with 503; the
    metrics show what ``ready`` returns too. ``note`` may add a remark about a process that is ready. Port 0 takes any
    free port; :attr:`address` is the one that was bound. A client has ``patience_s`` for a whole request head and for
    taking an answer; a scraper that asks less often has to connect again.
    """

    def __init__(
        self,
        *,
        metrics: Metrics,
        host: str,
        port: int,
        alive: Callable[[], str | None],
        ready: Callable[[], Unready | None],
        note: Callable[[], str | None] = lambda: None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.note = note
        self._patience_s = patience_s
        self._metrics = metrics
        metrics.watch(ready)
        self._host = host
        self._port = port
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None
        self._acceptor: Acceptor | None = None
        self._address: tuple[str, int] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are bound; only between :meth:`start` and :meth:`stop`."""
        if self._address is None:
            raise RuntimeError("the admin port is not open")
        return self._address

    async def start(self) -> None:
        """Open the port.

        Raises:
            AdminPortTaken: another program has it.
            OSError: no port can be opened there.
        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._show_metrics),
                web.get("/livez", self._show_alive),
                web.get("/readyz", self._show_ready),
            ]
        )
        sock = await self._bind()
        self._runner = runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=1.0,
            keepalive_timeout=self._patience_s,
            lingering_time=1.0,
            auto_decompress=False,
        )
        await runner.setup()
        server = runner.server
        assert server is not None
        self._acceptor = Acceptor(
            sock, lambda: in_our_words(server()), patience_s=self._patience_s, most=_MOST, reserve=RESERVE // 2
        )
        self._acceptor.start()
        host, port = self._address = sock.getsockname()[:2]
        log.info("admin port open", extra={"host": host, "port": port})

    async def stop(self) -> None:
        """Close the port; may be called again."""
        acceptor, self._acceptor = self._acceptor, None
        runner, self._runner, self._address = self._runner, None, None
        if acceptor is not None:
            await acceptor.stop()
        if runner is not None:
            await runner.cleanup()
        if acceptor is not None:
            acceptor.close()

    async def _bind(self) -> socket.socket:
        try:
            sock = await take_port(self._host, self._port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AdminPortTaken(error.errno, f"admin address {self._host}:{self._port} is in use") from None
            raise
        try:
            # Now, so that of two programs the second learns it.
            sock.listen()
        except OSError as error:
            sock.close()
            raise AdminPortTaken(error.errno, f"admin address {self._host}:{self._port} is in use") from None
        return sock

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={**_HEADERS, "Content-Type": CONTENT_TYPE})

    async def _show_alive(self, _request: web.Request) -> web.Response:
        return _verdict(self._alive())

    async def _show_ready(self, _request: web.Request) -> web.Response:
        unready = self._ready()
        return _verdict(None, self.note()) if unready is None else _verdict(unready.text)


def _verdict(reason: str | None, note: str | None = None) -> web.Response:
    text = f"{reason or 'ok'}\n{note}\n" if note else f"{reason or 'ok'}\n"
    return web.Response(text=text, status=503 if reason else 200, headers=_HEADERS)
