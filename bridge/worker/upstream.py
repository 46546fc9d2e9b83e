"""What the world is told about the connection to the provider.

``connected``: a byte came within the silence limit. ``degraded``: open but silent, or refused repeatedly.
``disconnected``: no session. Each change goes to the ``upstream`` hash and to ``system`` in one step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from bridge.events import (
    SYSTEM,
    UPSTREAM_CONFLICT,
    UPSTREAM_CONNECTED,
    UPSTREAM_DEGRADED,
    UPSTREAM_DISCONNECTED,
    UPSTREAM_MISSED,
    UpstreamState,
    build_event,
)
from bridge.journal.calls import Announce
from bridge.obs.metrics import Metrics

_TYPES: Final[dict[UpstreamState, str]] = {
    "connected": UPSTREAM_CONNECTED,
    "degraded": UPSTREAM_DEGRADED,
    "disconnected": UPSTREAM_DISCONNECTED,
}
_REFUSALS: Final = 2
_GRACE: Final = 1 / 9
_GRACE_LEAST_S: Final = 1.0
"""A probe goes out when the silence limit is reached; its answer needs a moment: a ninth of the limit, a second at
least."""


class Upstream:
    """Watches the listen sessions of a leader.

    ``tell`` takes the announcements, in order with the pushes. ``silence_s``: how long no byte may come.
    ``wall`` gives epoch seconds; silence is measured by ``now``, which nobody can set.
    """

    def __init__(
        self,
        tell: Callable[[Announce], None],
        metrics: Metrics,
        *,
        namespace: str,
        silence_s: float,
        heard_ms: int | None,
        wall: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._metrics = metrics
        self._namespace = namespace
        self._silence_s = silence_s
        self._wall = wall
        self._now = now
        self._state: UpstreamState | None = None
        self._why = ""
        self._heard_s = None if heard_ms is None else heard_ms / 1000
        self._heard_at = now()
        self._gap_since = self._heard_s
        self._online = False
        self._refusals = 0

    @property
    def heard_ms(self) -> int | None:
        """Until when everything that was pushed has been read, by this leader or one before it; epoch ms.

        Bytes outside of an acknowledged session (a refusal, say) do not end a gap.
        """
        heard_s = self._heard_s if self._online else self._gap_since
        return None if heard_s is None else int(heard_s * 1000)

    @property
    def deaf(self) -> str | None:
        """``None``, or since when an open connection has not given a byte."""
        if self._online and self._state == "degraded":
            return f"the listen connection is deaf: {self._why}"
        return None

    def take_over(self, left: str | None) -> None:
        """Begin where another leader left off: nobody listens, whatever the state says that it left."""
        if left == "disconnected":
            self._state = "disconnected"
        elif left is not None:
            self._become("disconnected", "another worker takes over")

    def say_again(self) -> None:
        """Redis went back, and with it what was said: say the state again."""
        state, self._state = self._state, None
        if state is not None:
            self._become(state, self._why)

    def heard(self) -> None:
        """Bytes came."""
        self._heard_s = self._wall()
        self._heard_at = self._now()
        self._metrics.upstream_last_byte.set(self._heard_s)
        if self._online and self._state == "degraded":
            self._become("connected", "")

    def online(self) -> tuple[int | None, int]:
        """A session is acknowledged; announce it, and what was missed before it. Returns the gap, epoch ms."""
        self._online = True
        self._refusals = 0
        now_ms = int(self._wall() * 1000)
        # Two machines' clocks need not agree.
        since_ms = None if self._gap_since is None else min(now_ms, int(self._gap_since * 1000))
        self._become("connected", "")
        if since_ms is not None:
            # What was pushed in between cannot be had again: counts are asked for, mails are not there to ask for.
            fields = {"heard": str(now_ms), "gap": "now"}
            self._announce(UPSTREAM_MISSED, {"since": since_ms, "until": now_ms}, fields)
        return since_ms, now_ms

    def ended(self, why: str, *, refused: bool) -> None:
        """The session is over."""
        if self._online:
            self._gap_since = self._heard_s
        self._online = False
        self._refusals = self._refusals + 1 if refused else 0
        self._become("degraded" if self._refusals >= _REFUSALS else "disconnected", why)

    def conflict(self, pause_s: float) -> None:
        """Another listener keeps taking the connection; we do not try again for ``pause_s``."""
        now_ms = int(self._wall() * 1000)
        self._why = "another listener uses our client id"
        self._announce(
            UPSTREAM_CONFLICT,
            {"since": now_ms, "until": now_ms + int(pause_s * 1000), "why": self._why},
            {"why": self._why},
        )

    async def watch(self) -> None:
        """Notice silence: an open connection that says nothing is the classic silent failure."""
        while True:
            await asyncio.sleep(1)
            self.check()

    def check(self) -> None:
        """See whether the last byte is too long ago."""
        if self._online and self._state == "connected":
            silent_s = self._now() - self._heard_at
            if silent_s > self._silence_s + max(_GRACE_LEAST_S, self._silence_s * _GRACE):
                self._become("degraded", f"no byte for {silent_s:.0f} s")

    def _become(self, state: UpstreamState, why: str) -> None:
        self._metrics.upstream_connected.set(1 if state == "connected" else 0)
        if state == self._state:
            return
        self._state, self._why = state, why
        since_ms = int(self._wall() * 1000)
        fields = {"state": state, "since": str(since_ms), "why": why}
        if state == "connected" and self._gap_since is None:
            # A leader that dies before it renews has listened all the same.
            fields["heard"] = str(since_ms)
        if state == "disconnected":
            fields["gap"] = "now"
        self._announce(_TYPES[state], {"since": since_ms, "why": why}, fields)

    def _announce(self, type: str, data: dict[str, Any], fields: dict[str, str] | None = None) -> None:
        event = build_event(namespace=self._namespace, stream=SYSTEM, type=type, time_s=self._wall(), data=data)
        self._tell(Announce(event, fields or {}))
