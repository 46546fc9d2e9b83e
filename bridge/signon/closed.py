"""``/mail/open`` where clicks are not served: it says so, or it would look like a mistyped address."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import hdrs, web

from bridge.access.mounting import mount_points
from bridge.events import to_json
from bridge.signon.signon import PATH


class Closed:
    """Answers 404 with the reason, which is for whoever sets the bridge up."""

    def __init__(self, why: str) -> None:
        self._body = to_json({"error": "off", "message": f"mailboxes are not opened here: {why}"})

    def mounted_at(self, prefix: str) -> Callable[[web.Application], None]:
        """What adds the route, at the root and below ``prefix``."""

        def add_routes(app: web.Application) -> None:
            for each in mount_points(prefix):
                app.router.add_get(f"{each}{PATH}", self._answer, allow_head=False)

        return add_routes

    async def _answer(self, request: web.Request) -> web.Response:
        return web.Response(
            body=self._body, status=404, content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-store"}
        )
