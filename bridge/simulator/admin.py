"""Drive the simulator from another process: ``POST /simulator/<deed>`` with JSON, ``GET /simulator/<what>``.

It is there for tests and for a developer's terminal. It answers loopback only, and no browser page of another
origin: whoever reaches it can rewrite the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address

import orjson

from bridge.simulator.wire.request import Request

from .deeds import DeedRefused, Deeds

PREFIX = "/simulator/"


class Admin:
    """Answers the admin calls; ``views`` are what GET can ask for."""

    __slots__ = ("_deeds", "_views")

    def __init__(self, deeds: Deeds, *, views: Mapping[str, Callable[[], object]]) -> None:
        self._deeds = deeds
        self._views = views

    def answer(self, request: Request, *, peer: str) -> tuple[int, bytes]:
        """HTTP status and JSON body."""
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
            return 200, {"done": self._deeds.do(name, arguments)}
        except DeedRefused as refused:
            return 404 if name not in self._deeds.names else 400, {"error": str(refused)}


def _is_loopback(peer: str) -> bool:
    try:
        return ip_address(peer.partition("%")[0]).is_loopback
    except ValueError:
        return False
