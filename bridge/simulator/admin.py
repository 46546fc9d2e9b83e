"""Drive the simulator from another process: ``POST /simulator/<command>`` with JSON, ``GET /simulator/<what>``.

For tests and for a developer's terminal. It answers loopback only, and no browser page of another origin: whoever
reaches it can change everything the simulated provider knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address

import orjson

from bridge.simulator.wire.request import Request

from .commands import CommandRefused, Commands

PREFIX = "/simulator/"


class Admin:
    """Answers the admin calls; ``views`` are what GET can ask for."""

    __slots__ = ("_commands", "_views")

    def __init__(self, commands: Commands, *, views: Mapping[str, Callable[[], object]]) -> None:
        self._commands = commands
        self._views = views

    def answer(self, request: Request, *, peer: str) -> tuple[int, bytes]:
        """Answer one request with an HTTP status and a JSON body."""
        status, value = self._judge(request, peer)
        return status, orjson.dumps(value)

    def _judge(self, request: Request, peer: str) -> tuple[int, object]:
        name = request.path.removeprefix(PREFIX)
        if not _is_loopback(peer) or "origin" in request.headers:
            return 403, {"error": "loopback only, and not from a page"}
        if request.method == "GET":
            view = self._views.get(name)
            return (404, {"error": f"there is no view {name}"}) if view is None else (200, view())
        if request.method != "POST":
            return 405, {"error": "GET or POST"}
        try:
            arguments = orjson.loads(request.body or b"{}")
        except orjson.JSONDecodeError as error:
            return 400, {"error": f"not JSON: {error}"}
        if not isinstance(arguments, dict):
            return 400, {"error": "an object is expected"}
        try:
            return 200, {"done": self._commands.do(name, arguments)}
        except CommandRefused as refused:
            return 404 if name not in self._commands.names else 400, {"error": str(refused)}


def _is_loopback(peer: str) -> bool:
    try:
        return ip_address(peer.partition("%")[0]).is_loopback
    except ValueError:
        return False
