"""Who asks, as a proxy of ours says: it has signed people in, and names the mailbox in a header of each request.

Anybody can send a header. So it counts from a trusted proxy alone, whose duty it is to take away what browsers send
under that name.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bridge.access import codes
from bridge.access.access import Identity, address_of
from bridge.access.asking import Asking
from bridge.access.refused import Refused
from bridge.access.whence import Trusted, peer_is_trusted


class ProxyHeader:
    """Reads the header ``name`` of requests that come from within ``trusted``, as that is now.

    What it says is said now: it has no age that a change of person could be held against, and no session. ``life_s``:
    how long a connection may go on with it; ``now`` gives epoch seconds.
    """

    def __init__(
        self, name: str, *, trusted: Trusted, life_s: Callable[[], float], now: Callable[[], float] = time.time
    ) -> None:
        self._name = name
        self._trusted = trusted
        self._life_s = life_s
        self._now = now

    def speaks(self, request: Asking) -> bool:
        """Whether a proxy that is trusted says something under the name."""
        return any(map(str.strip, self._said(request)))

    def identify(self, request: Asking) -> Identity:
        """The mailbox that it names.

        Raises:
            Refused: it names none, or several.
        """
        said = self._said(request)
        if len(said) != 1:
            raise Refused(401, codes.NO_CREDENTIAL, "two", f"{len(said)} headers {self._name}; the proxy sets one")
        address = address_of(f"header {self._name}", said[0])
        now = self._now()
        return Identity((address,), None, frozenset(), now + self._life_s(), issued=now)

    def _said(self, request: Asking) -> list[str]:
        return request.headers.getall(self._name, []) if peer_is_trusted(request.remote, self._trusted()) else []
