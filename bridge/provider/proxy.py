"""A proxy of the company, and which hosts lie outside of it.

``NO_PROXY`` has no specification; this is what curl and Go have in common: a name stands for itself and everything
below it, with or without a dot in front; addresses and networks are compared as numbers.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Self
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that tunnels. ``secure``: TLS to the proxy itself. ``credentials`` is a header's value or empty."""

    host: str
    port: int
    secure: bool = False
    credentials: str = field(default="", repr=False)

    @classmethod
    def at(cls, url: str) -> Self:
        """Read ``http://user:password@proxy:3128`` or ``https://…``; user and password percent-encoded.

        Raises:
            ValueError: it is no such address. The text does not quote it.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("the address of the proxy cannot be read") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a proxy's address begins with http:// or https:// and names a host")
        credentials = ""
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            credentials = f"Basic {b64encode(login.encode()).decode()}"
        secure = parts.scheme == "https"
        return cls(parts.hostname, port or (443 if secure else 80), secure, credentials)

    def __str__(self) -> str:
        return authority(self.host, self.port)

    def connect_request(self, host: str, port: int) -> bytes:
        """The bytes that ask for a tunnel (RFC 9110, 9.3.6)."""
        target = authority(host, port)
        login = f"Proxy-Authorization: {self.credentials}\r\n" if self.credentials else ""
        return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n".encode()


def authority(host: str, port: int) -> str:
    """``host:port``, brackets round an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_exempt(host: str, no_proxy: Iterable[str]) -> bool:
    """Whether ``host`` is reached without the proxy; ``no_proxy`` are names, addresses, networks or ``*``."""
    host = host.lower().rstrip(".")
    return any(_covers(entry.strip().lower(), host) for entry in no_proxy)


def _covers(entry: str, host: str) -> bool:
    if entry == "*":
        return True
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        name = entry.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
