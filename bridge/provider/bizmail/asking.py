"""When to ask the provider again: the rule of ``listen``, with a clock and no socket.

How the provider answers ``listen`` is not documented; what is written here works for all readings without knowing
which is true (provider-in-practice 2). Two things must never happen: a spin, and a listener that is deaf and does
not know it.

After a complete response
  1. that answered a request, and carried an event or came a second (``settle_s``) after it → ask again at once;
  2. that answered a request sooner and without an event → an acknowledgement, or nothing of use: keep reading, ask
     again after 1, 2, 4 … seconds without a byte, up to the silence limit;
  3. that no request asked for → keep reading.

An event that was already pushed within that second is no progress. Once a response came that nobody asked for, events
answer nothing any more: only acknowledgements and refusals do. Nothing is asked while a body is open.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from ..pushes import MailArrived, Online, Push, RefusalPushed, UnreadChanged, VersionChanged

SETTLE_S: Final = 1.0
SILENT_TIMES: Final = 3
_RECENT_MOST: Final = 64


class Asking:
    """Knows whether to ask now, whether reconciliation may start, and whether the silence is too long.

    Times are those of ``now``, in seconds; ``silence_s`` without a byte brings a probe, three times that the end.
    """

    def __init__(
        self, *, silence_s: float, settle_s: float = SETTLE_S, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._silence_s = silence_s
        self._settle_s = min(settle_s, silence_s)
        self._now = now
        # Requests: when those without an answer were written, and what the next one waits for.
        self._unanswered: deque[float] = deque()
        self._asked_on_connection = 0
        self._first_asked_at: float | None = None
        self._last_asked_at = 0.0
        self._wait_s = 0.0
        self._delay_s = self._settle_s
        # The open response: what it carried so far.
        self._body_open = False
        self._documents = 0
        self._event = self._news = self._never_seen = self._refused = False
        # The last one that is complete.
        self._completed_at = 0.0
        self._last_was_asked_for = False
        self._documents_of_last = 0
        # The session.
        self._unasked_seen = False
        self._acknowledged = False
        self._recent: dict[Push, float] = {}
        self.served = False
        """Whether an acknowledgement or event came since the session began or the token was renewed."""
        self.last_byte_at = now()

    # What happened.

    def asked(self) -> None:
        """A request was written."""
        now = self._now()
        self._unanswered.append(now)
        self._asked_on_connection += 1
        self._last_asked_at = now
        if self._first_asked_at is None:
            self._first_asked_at = now

    def bytes_came(self) -> None:
        """The socket gave something."""
        self.last_byte_at = self._now()

    def response_began(self) -> None:
        """A response's body is open; nothing may be written until it is complete."""
        self._body_open = True

    def pushes_came(self, pushes: Iterable[Push]) -> None:
        """Documents were read, inside the open response or (bare) outside of any."""
        for push in pushes:
            self._documents += 1
            kind = type(push)
            if kind is MailArrived or kind is UnreadChanged or kind is VersionChanged:
                self._event_came(push)
            elif isinstance(push, Online) and push.ret == 0:
                self.served = self._acknowledged = True
                if not self._body_open:
                    self._bare_answer()
            elif isinstance(push, RefusalPushed):
                self._refused = True
                if not self._body_open:
                    self._bare_answer()

    def response_complete(self) -> None:
        """The open response is complete: the rule of this module's head."""
        self._body_open = False
        self._completed_at = self._now()
        asked_for = bool(self._unanswered) and not (self._unasked_seen and self._event)
        if asked_for:
            self._answer()
        elif self._event:
            self._unasked_seen = True
        self._last_was_asked_for = asked_for
        self._documents_of_last, self._documents = self._documents, 0
        self._event = self._news = self._never_seen = self._refused = False

    def token_renewed(self) -> None:
        """The token was refused and there is a new one: ask at once."""
        self.served = False
        self._wait_s = 0.0

    def connection_lost(self, *, cut: bool, reset: bool, by_close: bool, says_close: bool) -> bool:
        """The connection ended. Returns whether that is part of the conversation, so that asking goes on.

        ``cut``: inside a response · ``reset``: not by an orderly close · ``by_close``: the end was what completed
        the last response · ``says_close``: the last response announced it. If this says no, pushes may have been
        lost. It says yes only where the next request is due at once: to wait for it without a connection would be
        an unnoticed gap.
        """
        now = self._now()
        if cut:
            return False
        if self._unanswered:
            # The server closed an idle connection just when we wrote to it: the request never arrived.
            stale = self._asked_on_connection > 1 and self.last_byte_at <= self._last_asked_at
            goes_on = stale and now - self._last_asked_at < self._settle_s
            self._wait_s = 0.0
        elif by_close and (self._documents_of_last > 1 or now - self.last_byte_at >= self._settle_s):
            goes_on = False  # not a long poll's answer but a stream that was cut
        elif self._documents_of_last > 1 and not says_close:
            goes_on = False  # a stream that was ended in order
        else:
            announced = says_close or now - self._completed_at < self._settle_s
            goes_on = self._last_was_asked_for and self._wait_s == 0 and announced and not reset
        self.connection_dropped()
        return goes_on

    def connection_dropped(self) -> None:
        """There is no connection any more; the next request goes out on a new one."""
        self._unanswered.clear()
        self._asked_on_connection = 0
        self._body_open = self._event = self._news = self._never_seen = self._refused = False
        self._documents = 0

    # What to do.

    @property
    def wants_to_ask(self) -> bool:
        """Whether a request is due."""
        return not self._body_open and self._now() >= self._ask_at()

    @property
    def awaits_answer(self) -> bool:
        """Whether a request is out that nothing has answered yet."""
        return bool(self._unanswered)

    @property
    def is_online(self) -> bool:
        """Whether the provider listens to us for certain: it said so, or a second has passed since we asked."""
        return self._acknowledged or self._now() >= self._online_at()

    @property
    def is_silent(self) -> bool:
        """Whether the silence has been too long."""
        return self._now() >= self._silent_at()

    def wait_s(self) -> float:
        """Seconds until any of these may change by time alone."""
        ends = self._silent_at()
        if not self._body_open:
            ends = min(ends, self._ask_at())
        if not self._acknowledged and (online_at := self._online_at()) > self._now():
            ends = min(ends, online_at)
        return max(0.0, ends - self._now())

    def _ask_at(self) -> float:
        if self._unanswered:
            return max(self.last_byte_at, self._last_asked_at) + self._silence_s
        return self.last_byte_at + self._wait_s

    def _silent_at(self) -> float:
        return self.last_byte_at + SILENT_TIMES * self._silence_s

    def _online_at(self) -> float:
        if self.served and self._first_asked_at is not None:
            return self._first_asked_at + self._settle_s
        return self._unanswered[0] + self._settle_s if self._unanswered else float("inf")

    def _event_came(self, push: Push) -> None:
        self.served = self._event = True
        if not self._body_open:
            self._unasked_seen = True
        elif self._unanswered and self._documents <= _RECENT_MOST:
            now = self._now()
            before = self._recent.pop(push, None)
            self._news = self._news or before is None or now - before >= self._settle_s
            self._never_seen = self._never_seen or before is None
            if len(self._recent) >= _RECENT_MOST:
                del self._recent[next(iter(self._recent))]
            self._recent[push] = now

    def _bare_answer(self) -> None:
        if self._unanswered:
            self._answer()
        self._event = self._news = self._never_seen = self._refused = False

    def _answer(self) -> None:
        """The oldest request has been answered."""
        late = self._now() - self._unanswered.popleft() >= self._settle_s
        if self._news or (late and not self._refused and not self._unasked_seen):
            self._wait_s = 0.0
            if self._never_seen:
                self._delay_s = self._settle_s
        else:
            self._wait_s = self._delay_s
            self._delay_s = min(2 * self._delay_s, self._silence_s)
