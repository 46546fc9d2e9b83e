"""Which pages may ask: compare the ``Origin`` of a request with the edge's own origin and the allowed ones.

A browser sends the cookie with requests of foreign pages too, and WebSockets have no same-origin policy. So every
request is checked here, handshakes included. TLS ends at a proxy, so the browser's scheme is unknown and ``Host`` is
compared by host and port only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs

from bridge.access import codes
from bridge.access.asking import Asking
from bridge.access.refused import Refused, quoted
from bridge.access.whence import Trusted, peer_is_trusted

_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?", re.ASCII | re.IGNORECASE)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_PREFLIGHT_S: Final = 3600


class Origins:
    """The origins that may ask.

    ``public_url`` is the edge's URL for browsers (``""``: unknown). ``allowed`` are further exact origins.
    ``X-Forwarded-Host`` is used only if it comes from a peer in ``trusted_proxies``. The last two are asked for at each
    request, because they may change; ``allowed`` must be origins, as :func:`origins_of` makes sure.

    Raises:
        ValueError: the public URL has no origin.
    """

    def __init__(self, *, public_url: str, allowed: Callable[[], Sequence[str]], trusted_proxies: Trusted) -> None:
        self._own: Final = origins_of([public_url] if public_url else [])
        self._allowed: Final = allowed
        self._trusted: Final = trusted_proxies

    def check(self, request: Asking, *, cookie: bool, navigation: bool = False) -> str | None:
        """Return the origin that may read the answer, as the browser wrote it; ``None`` if it named none.

        ``cookie``: the credential is a cookie, which a foreign page can use without knowing it. ``navigation``: a
        person follows a link, which may be on any site.

        Raises:
            Refused: the page may not ask; the message names what was compared.
        """
        written = request.headers.getall(hdrs.ORIGIN, [])
        if not written:
            # Browsers send no Origin with same-origin GETs, nor with <img src> and the like from any site.
            if cookie and not navigation and comes_from_elsewhere(request):
                raise _foreign("Sec-Fetch-Site says cross-site, there is no Origin, and the credential is a cookie")
            return None
        if len(written) > 1:
            raise _foreign(f"{len(written)} Origin headers; a browser sends one")
        if written[0] == "null":
            raise _foreign("Origin null (a sandboxed frame, a file) is never allowed")
        origin = _normalised(written[0])
        if origin is None:
            raise _foreign(f"Origin {quoted(written[0])} is no origin of a web page")
        listed = (*self._own, *self._allowed())
        if origin not in listed and not _same_host(origin, hosts := self._hosts(request)):
            raise _foreign(
                f"Origin {origin} is neither the Host ({_listing(map(quoted, hosts))}) "
                f"nor the public URL or an allowed origin ({_listing(listed)})"
            )
        return written[0]

    def cors_headers(self, origin: str | None) -> dict[str, str]:
        """Headers that let the page of a checked ``origin`` read the answer, even a refusal."""
        headers: dict[str, str] = {hdrs.VARY: "Origin"}
        if origin is not None:
            headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
            headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
            headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "Retry-After"
        return headers

    def preflight_headers(self, origin: str | None) -> dict[str, str]:
        """Headers of the answer to ``OPTIONS``: what the page may send."""
        headers = self.cors_headers(origin)
        if origin is not None:
            headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = "GET, POST"
            # Last-Event-ID and Cache-Control are sent by EventSource libraries that use fetch, to send a bearer header.
            headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = "Authorization, Cache-Control, Content-Type, Last-Event-ID"
            headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(_PREFLIGHT_S)
        return headers

    def _hosts(self, request: Asking) -> list[str]:
        """Host names under which this request reached us, the last proxy's first."""
        hosts = request.headers.getall(hdrs.HOST, [])
        if peer_is_trusted(request.remote, self._trusted()):
            # A page cannot set this header without a preflight, so any name in a chain of proxies is acceptable.
            for line in request.headers.getall(hdrs.X_FORWARDED_HOST, []):
                hosts = [*hosts, *(name for name in map(str.strip, line.split(",")) if name)]
        return hosts


def comes_from_elsewhere(request: Asking) -> bool:
    """Whether a browser says that a page of another site asks, and not which: only then it matters to the check
    whether the credential is a cookie."""
    return hdrs.ORIGIN not in request.headers and request.headers.get("Sec-Fetch-Site") == "cross-site"


def origins_of(urls: Iterable[str]) -> tuple[str, ...]:
    """The origins of these URLs, each once, as browsers write them.

    Raises:
        ValueError: one of them has none; skipping it silently would lock out its pages.
    """
    return tuple(dict.fromkeys(map(_origin_of, urls)))


def _normalised(text: str) -> str | None:
    """An origin in lower case and without its scheme's default port; ``None`` if the text is not an origin."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme, host, port = match[1].lower(), match[2].lower(), match[3]
    return f"{scheme}://{host}" if port in (None, _DEFAULT_PORTS[scheme]) else f"{scheme}://{host}:{port}"


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    # Browsers write a non-ASCII host in its IDNA form.
    origin = _normalised(f"{parts.scheme}://{parts.netloc.encode('idna').decode()}")
    if origin is None:
        raise ValueError(f"{url} has no origin that a browser could send")
    return origin


def _same_host(origin: str, hosts: Iterable[str]) -> bool:
    authority = origin.partition("://")[2]
    for host in map(str.lower, hosts):
        name, colon, port = host.rpartition(":")
        # The scheme is unknown, so Host may lack either default port.
        if authority == host or (colon and port in _DEFAULT_PORTS.values() and authority == name):
            return True
    return False


def _listing(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _foreign(message: str) -> Refused:
    return Refused(403, codes.NOT_ALLOWED, "origin", message)
