"""The state of the connection to the provider, as it is announced.

``connected``: a byte came within the silence limit. ``degraded``: open but silent, or refused repeatedly.
``disconnected``: no session. Each change goes to the ``upstream`` hash and to ``system`` in one step.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, get_args

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
from bridge.obs.labels import ProviderState
from bridge.obs.metrics import Metrics

_TYPES: Final[dict[UpstreamState, str]] = {
    "connected": UPSTREAM_CONNECTED,
    "degraded": UPSTREAM_DEGRADED,
    "disconnected": UPSTREAM_DISCONNECTED,
}
_WORDS: Final[dict[ProviderState, str]] = {
    "connecting": "the listen connection is being made",
    "deaf": "the listen connection is deaf",
    "away": "the provider cannot be reached",
    "credentials": "the provider refuses our client id or key",
    "address": "the provider does not accept our address, see the log",
    "refused": "the provider refuses",
    "conflict": "another listener uses our client id",
    "between": "the listen connection is being made again",
}
_REFUSALS: Final = 2
_GRACE: Final = 1 / 9
"""A probe goes out when the silence limit is reached; for such a share of the limit its answer is waited for."""
_GRACE_LEAST_S: Final = 1.0
_DOUBT_S: Final = 2.0
_DOUBT_MOST_S: Final = 3600.0
_SLOW_S: Final = 0.25
"""Seconds; a document that takes longer to arrive delays everything that is pushed after it. Less than
:attr:`bridge.worker.reconcile.ReconcilePace.settle_s`: a second answer that came sooner would prove a loss of what only
waits."""


class UpstreamWatch:
    """Watches the listen sessions of a leader and announces what changes.

    ``announce`` queues an announcement among the pushes. ``missed`` is called where pushes may have been missed
    within a session, so that counts are asked for. ``silence_s`` is how long no byte may come.

    ``wall`` gives epoch seconds of the clock that all processes share. That clock may jump, because another server may
    take over; so times are remembered by ``now`` (monotonic seconds) and turned into epoch time when announced.
    """

    def __init__(
        self,
        announce: Callable[[Announce], None],
        metrics: Metrics,
        *,
        namespace: str,
        silence_s: float,
        heard_ms: int | None,
        missed: Callable[[], None],
        wall: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = announce
        self._metrics = metrics
        self._namespace = namespace
        self._silence_s = silence_s
        self._missed = missed
        self._wall = wall
        self._now = now
        self._state: UpstreamState | None = None
        self._why = ""
        self._heard_at = now()
        # Until when all that was pushed has been read, and when the gap before this session began.
        self._read_at = None if heard_ms is None else now() - (wall() - heard_ms / 1000)
        self._gap_at = self._read_at
        self._online = self._served = False
        self._session = 0
        self._begun_at: float | None = None
        # Since a slow document began, and until when whatever was pushed meanwhile may still wait behind another.
        self._late_from: float | None = None
        self._late_until = 0.0
        self._refusals = 0
        self._unread_at: float | None = None
        self._doubt_at = 0.0
        self._doubt_pause_s = _DOUBT_S
        self._stand("connecting", "")

    @property
    def heard_ms(self) -> int | None:
        """Until when everything that was pushed has been read, by this leader or one before it; epoch ms.

        Bytes outside an acknowledged session (a refusal, for instance) do not end a gap.
        """
        at = self._read_at if self._online else self._gap_at
        return None if at is None else self._ms(at)

    @property
    def hearing(self) -> tuple[int, float] | None:
        """The number of the session and when its last byte came, by ``now``; ``None``: there is none, or it is silent.

        Pushes come in order, so a slow document delays all that were pushed after it. While one is under way, and for
        as long again once it is whole, bytes are no sign of life, and the session gets another number: what was asked
        before proves nothing.
        """
        hears = self._online and self._state == "connected" and not self._is_slow()
        return (self._session, self._heard_at) if hears else None

    @property
    def deaf(self) -> str | None:
        """For how long an open connection has given no byte, in words; ``None``: it gives some, or there is none."""
        if self._online and self._state == "degraded":
            return f"the listen connection is deaf: {self._why}"
        return None

    @property
    def trouble(self) -> str | None:
        """Why no mail is announced, in words for an operator; ``None``: the connection stands."""
        if self._standing == "connected":
            return None
        return f"no mail is announced: {_WORDS[self._standing]}{self._detail and f' ({self._detail})'}"

    def take_over(self, left: str | None) -> None:
        """Begin with the state that another leader left: whatever it says, nobody listens now."""
        if left == "disconnected":
            self._state = "disconnected"
        elif left is not None:
            self._become("disconnected", "another worker takes over")

    def went_back(self, since_ms: int) -> None:
        """Redis lost what it had confirmed after ``since_ms``: announce that, and the state once more."""
        state, self._state = self._state, None
        if state is not None:
            self._become(state, self._why)
        now_ms = self._now_ms()
        data = {"since": min(since_ms, now_ms), "until": now_ms, "why": "Redis went back"}
        self._announce(UPSTREAM_MISSED, data, {"gap": "+1"})

    def heard(self, begun_at: float | None = None) -> None:
        """Bytes came. ``begun_at``: when a document began that is still incomplete, by ``now``; ``None``: none is."""
        self._metrics.upstream_last_byte.set(self._wall())
        self._heard_at = self._now()
        if begun_at is None or begun_at != self._begun_at:
            self._document_ended()
        self._begun_at = begun_at
        if self._online and self._state == "degraded":
            self._become("connected", "")

    def _document_ended(self) -> None:
        """All that was pushed until now has been read, unless it waits behind something that is on its way.

        What was pushed while a slow document came is behind it, and perhaps behind another one that is as slow. So
        nothing is said of it until as much time again has passed, counted from the first of them.
        """
        now = self._heard_at
        if self._begun_at is not None and now - self._begun_at >= _SLOW_S:
            self._late_from = self._begun_at if self._late_from is None else self._late_from
            self._late_until = now + (now - self._late_from)
            self._session += 1
        if self._late_from is not None and now >= self._late_until:
            self._late_from = None
            self._session += 1
        if self._late_from is None:
            self._read_at = now

    def _is_slow(self) -> bool:
        if self._late_from is not None and self._now() < self._late_until:
            return True
        return self._begun_at is not None and self._now() - self._begun_at >= _SLOW_S

    def pushed(self) -> None:
        """A push came, so the provider listens to us, whether or not it said so."""
        self._served = True

    def online(self) -> tuple[int | None, int]:
        """A session is acknowledged: announce it, and the gap before it. Returns the gap's begin and end, epoch ms."""
        self._online = True
        self._session += 1
        self._refusals = 0
        now_ms = self._now_ms()
        # The begin may come from an earlier leader, on a server whose clock was ahead of this one's.
        since_ms = None if self._gap_at is None else min(now_ms, self._ms(self._gap_at))
        self._become("connected", "")
        if since_ms is not None:
            # The provider repeats nothing: counts can be asked for, the mails of the gap cannot.
            fields = {"heard": str(now_ms), "gap": "+1"}
            self._announce(UPSTREAM_MISSED, {"since": since_ms, "until": now_ms}, fields)
        return since_ms, now_ms

    def skipped(self) -> None:
        """For a while within the session there was no connection. To be called before :meth:`heard` of the next one."""
        now_ms = self._now_ms()
        self._session += 1
        if self._online and self._read_at is not None:
            data = {"since": min(now_ms, self._ms(self._read_at)), "until": now_ms}
            self._announce(UPSTREAM_MISSED, data, {"heard": str(now_ms), "gap": "+1"})
            self._missed()

    def ended(self, why: str, state: ProviderState = "between", *, refused: bool) -> None:
        """The session is over, for the reason ``why``; ``state`` is how we stand with the provider now."""
        # Pushes may come before the acknowledgement; a first session that gave some counts as one.
        if self._online or (self._served and self._gap_at is None):
            self._gap_at = self._read_at
        self._online = self._served = False
        self._begun_at = self._late_from = None
        self._refusals = self._refusals + 1 if refused else 0
        self._become("degraded" if self._refusals >= _REFUSALS else "disconnected", why)
        self._stand(state, why)

    def unreadable(self) -> None:
        """A document could not be read. It may have been anybody's mail, so every count is in doubt."""
        if self._unread_at is None:
            self._unread_at = self._now()
        self._check_doubt()

    def _check_doubt(self) -> None:
        """Announce that documents could not be read: at once, then ever more seldom while more of them come.

        Each announcement may make hundreds of counts be asked for.
        """
        now = self._now()
        if self._unread_at is None or now < self._doubt_at:
            return
        quiet = now >= self._doubt_at + self._doubt_pause_s
        self._doubt_pause_s = _DOUBT_S if quiet else min(2 * self._doubt_pause_s, _DOUBT_MOST_S)
        self._doubt_at = now + self._doubt_pause_s
        span = {"since": self._ms(self._unread_at), "until": self._now_ms()}
        self._unread_at = None
        self._announce(UPSTREAM_MISSED, {**span, "why": "documents could not be read"}, {"gap": "+1"})
        self._missed()

    def conflict(self, pause_s: float) -> None:
        """Another listener keeps taking the connection; it is left alone for ``pause_s`` seconds."""
        now_ms = self._now_ms()
        self._why = "another listener uses our client id"
        self._stand("conflict", "")
        self._announce(
            UPSTREAM_CONFLICT,
            {"since": now_ms, "until": now_ms + int(pause_s * 1000), "why": self._why},
            {"why": self._why},
        )

    async def watch(self) -> None:
        """Look for silence once a second: an open connection that says nothing is the failure nobody notices."""
        while True:
            await asyncio.sleep(1)
            self.check()

    def check(self) -> None:
        """See whether the last byte is too long ago, and whether unreadable documents are to be announced."""
        self._check_doubt()
        if self._online and self._state == "connected":
            silent_s = self._now() - self._heard_at
            if silent_s > self._silence_s + max(_GRACE_LEAST_S, self._silence_s * _GRACE):
                self._become("degraded", f"no byte for {silent_s:.0f} s")
                self._stand("deaf", self._why)

    def _stand(self, standing: ProviderState, detail: str) -> None:
        self._standing, self._detail = standing, detail
        for each in get_args(ProviderState):
            self._metrics.upstream_state[each].set(each == standing)

    def _become(self, state: UpstreamState, why: str) -> None:
        self._metrics.upstream_connected.set(1 if state == "connected" else 0)
        if state == "connected":
            self._stand("connected", "")
        if state == self._state:
            return
        self._state, self._why = state, why
        since_ms = self._now_ms()
        fields = {"state": state, "since": str(since_ms), "why": why}
        if state == "connected" and self._gap_at is None:
            # The leader may read pushes and die before it renews its lease; the next one counts the gap from here.
            fields["heard"] = str(since_ms)
        if state == "disconnected":
            fields["gap"] = "+1"
        self._announce(_TYPES[state], {"since": since_ms, "why": why}, fields)

    def _now_ms(self) -> int:
        return self._ms(self._now())

    def _ms(self, at: float) -> int:
        """A moment of ``now``, as epoch ms."""
        return round((self._wall() - (self._now() - at)) * 1000)

    def _announce(self, type: str, data: dict[str, Any], fields: dict[str, str] | None = None) -> None:
        event = build_event(namespace=self._namespace, stream=SYSTEM, type=type, time_s=self._wall(), data=data)
        self._queue(Announce(event, fields or {}))


def nobody_listens(metrics: Metrics) -> None:
    """A worker that does not lead shows no state of the provider."""
    metrics.upstream_connected.set(0)
    for state in get_args(ProviderState):
        metrics.upstream_state[state].set(0)
