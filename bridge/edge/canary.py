"""Who may open the reserved stream: an operator, whom Redis told us of, for a minute, and nobody else.

What he shows at the door stands where a ticket stands, so it goes through the same proxies as a browser's. It is good
for connections only, and only for this stream.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import hdrs

from bridge.access.access import TICKET_S, Tickets
from bridge.access.asking import Asking
from bridge.access.whence import Network, client_address
from bridge.edge.frames import Frame
from bridge.events import CANARY, to_json

SEEN: Final = "exmail.canary.seen"
"""Type of a frame that no browser is sent, so that it is not among those that are described for programs."""
GOOD_FOR_S: Final = 60.0
_LIFE_S: Final = 600.0
_MOST: Final = 16
_LONGEST: Final = 200


class Passes:
    """The passes that count now, in front of the ``tickets`` of browsers. ``clock``: monotonic; ``wall``: epoch."""

    def __init__(
        self,
        tickets: Tickets,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._tickets = tickets
        self._clock = clock
        self._wall = wall
        self._until: dict[str, float] = {}

    def admit(self, digest: str) -> None:
        """Admit whoever shows what has this SHA-256, for a minute; of many the newest count."""
        self._until.pop(digest, None)
        self._until[digest] = self._clock() + GOOD_FOR_S
        while len(self._until) > _MOST:
            del self._until[next(iter(self._until))]

    async def put_ticket(self, claims: bytes, *, life_s: int = TICKET_S) -> str:
        """As the tickets' own."""
        return await self._tickets.put_ticket(claims, life_s=life_s)

    async def take_ticket(self, ticket: str) -> bytes | None:
        """The claims of a pass, or those of a browser's ticket. A pass is not used up: it opens both transports."""
        digest = hashlib.sha256(ticket.encode()).hexdigest()
        if self._until.get(digest, 0.0) <= self._clock():
            return await self._tickets.take_ticket(ticket)
        claims = {"mailboxes": [CANARY], "sid": None, "scope": [], "expires": self._wall() + _LIFE_S}
        return to_json(claims | {"session": f"{CANARY} {digest[:16]}", "issued": None})


def seen_frame(request: Asking, trusted: Sequence[Network]) -> Frame:
    """What the operator asks to know: as whom the edge sees him, behind whatever stands between."""
    data = {
        "address": client_address(request, trusted),
        "peer": request.remote or "",
        "host": request.host[:_LONGEST],
        "forwarded_proto": request.headers.get(hdrs.X_FORWARDED_PROTO, "")[:_LONGEST],
    }
    return Frame(to_json({"type": SEEN, "data": data}))
