"""Where a request came from, behind our own proxies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs

from bridge.access.asking import Asking

Network = IPv4Network | IPv6Network
_MOST_KNOWN: Final = 1024
_LONGEST_KNOWN: Final = 64

Trusted = Callable[[], Sequence[Network]]
"""Our own proxies, as they are set now."""


def peer_is_trusted(peer: str | None, trusted: Sequence[Network]) -> bool:
    """Whether ``peer``, the address of the connection itself, is one of our own proxies."""
    if not trusted:
        return False
    address = _address(peer or "")
    return address is not None and any(address in network for network in trusted)


def client_address(request: Asking, trusted: Sequence[Network]) -> str:
    """The address that a request came from; ``""`` if it is not known (a Unix socket).

    ``X-Forwarded-For`` is read from its end, where our own proxies write, and believed as long as the address that
    wrote it is a ``trusted`` one.
    """
    last = _address(request.remote or "")
    written = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, []))
    for each in reversed(written.split(",")):
        if last is None or not any(last in network for network in trusted):
            break
        before = _address(each)
        if before is None:
            break
        last = before
    return str(last) if last is not None else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address, with or without a port; IPv4 inside IPv6 is IPv4."""
    return (_read_address if len(text) <= _LONGEST_KNOWN else _read_address.__wrapped__)(text)


@lru_cache(maxsize=_MOST_KNOWN)
def _read_address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    try:
        address = ip_address(text)
    except ValueError:
        try:
            address = ip_address(urlsplit(f"//{text}").hostname or "")
        except ValueError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
