"""The admin port: metrics, and whether the process lives and is ready.

It is a port of its own so that it need not be reachable by browsers, and it answers from memory so that it
answers while everything else is away: a slow Redis must show in ``/readyz``, never as a hanging probe.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from typing import Final

from aiohttp import web

from bridge.obs.metrics import CONTENT_TYPE, Metrics

log = logging.getLogger(__name__)

_HEADERS: Final = {"Cache-Control": "no-store"}


class AdminPortTaken(OSError):
    """Another program listens on the admin address."""


class Admin:
    """Serves ``/metrics``, ``/livez`` and ``/readyz``.

    ``alive`` and ``ready`` return ``None`` when all is well, else the reason, which is answered with 503. Port 0
    takes any free port; :attr:`address` is the one that was bound.
    """

    def __init__(
        self,
        *,
        metrics: Metrics,
        host: str,
        port: int,
        alive: Callable[[], str | None],
        ready: Callable[[], str | None],
    ) -> None:
        self._metrics = metrics
        self._host = host
        self._port = port
        self._alive = alive
        self._ready = ready
        self._runner: web.AppRunner | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are bound; only between :meth:`start` and :meth:`stop`."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the admin port is not open")
        host, port = self._runner.addresses[0][:2]
        return host, port

    async def start(self) -> None:
        """Open the port.

        Raises:
            AdminPortTaken: another program has it.
        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._show_metrics),
                web.get("/livez", self._show_alive),
                web.get("/readyz", self._show_ready),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            await runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise AdminPortTaken(error.errno, f"admin address {self._host}:{self._port} is in use") from None
            raise
        self._runner = runner
        host, port = self.address
        log.info("admin port open", extra={"host": host, "port": port})

    async def stop(self) -> None:
        """Close the port; may be called again."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={**_HEADERS, "Content-Type": CONTENT_TYPE})

    async def _show_alive(self, _request: web.Request) -> web.Response:
        return _verdict(self._alive())

    async def _show_ready(self, _request: web.Request) -> web.Response:
        return _verdict(self._ready())


def _verdict(reason: str | None) -> web.Response:
    return web.Response(text=f"{reason or 'ok'}\n", status=503 if reason else 200, headers=_HEADERS)
