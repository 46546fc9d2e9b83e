"""``GET /openapi.json``, ``/asyncapi.json`` and ``/schemas/<type>.json``: what tools read of the bridge.

They are made when the edge starts, hold nothing of anybody, and may be read by any page, like the browser's client.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from bridge.access.mounting import mount_points
from bridge.schemas.documents import read_documents

_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "public, max-age=300",
    "X-Content-Type-Options": "nosniff",
}


class Contracts:
    """The files, and their routes at the root and below the public URL's path prefix."""

    def __init__(self, *, namespace: str, public_url: str, cookie: str, prefix: str) -> None:
        self._documents = read_documents(namespace=namespace, public_url=public_url, cookie=cookie)
        self._mount_points = mount_points(prefix)

    def mount(self, app: web.Application) -> None:
        """Add the routes."""
        for prefix in self._mount_points:
            for path in ("openapi.json", "asyncapi.json", "schemas/{name}"):
                app.router.add_get(f"{prefix}/{path}", self.document, allow_head=False)

    async def document(self, request: web.Request) -> web.StreamResponse:
        """One file.

        Raises:
            web.HTTPNotFound: there is none of that name.
        """
        name = request.match_info.get("name")
        path = f"schemas/{name}" if name else request.path.rpartition("/")[2]
        document = self._documents.get(path)
        if document is None:
            raise web.HTTPNotFound
        return web.Response(body=document.body, content_type=document.content_type, headers=_HEADERS)
