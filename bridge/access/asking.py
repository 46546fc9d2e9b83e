"""What is looked at of a request before it is known who asks: the part of aiohttp's that a short head has too."""

from __future__ import annotations

from typing import Protocol

from multidict import CIMultiDictProxy, MultiMapping


class Asking(Protocol):
    """A request. ``remote``: the address at the other end of the connection itself, ``None`` if it has none."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The headers, whatever the case of their names."""

    @property
    def query(self) -> MultiMapping[str]:
        """The parameters of the URL, decoded."""

    @property
    def remote(self) -> str | None:
        """Where it came from."""

    @property
    def host(self) -> str:
        """What it says that we are called."""
