"""The log of calls: what was asked and how it was answered, without anything secret."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from bridge.simulator.bell import PATIENCE_S, Bell
from bridge.simulator.wire.request import Request

_SECRET_PARAMS = frozenset({"client_secret", "access_token", "password", "ticket"})


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One request. ``endpoint`` is ``token``, ``listen``, ``user/list`` …; ``params`` have lower-case names.

    ``outcome`` is ``ok``, an errcode such as ``1200``, ``http 502``, ``silent`` (never answered) or ``ignored``
    (a request while a response body was open: the caller's mistake). ``connection`` numbers the TCP connections;
    ``at_s`` is the monotonic clock.
    """

    endpoint: str
    params: dict[str, list[str]]
    outcome: str
    connection: int
    at_s: float


class CallLog:
    """The newest calls, oldest first, and a count of all."""

    __slots__ = ("_bell", "_calls", "_counts")

    def __init__(self, *, kept: int = 10_000) -> None:
        self._bell = Bell()
        self._calls: deque[RecordedCall] = deque(maxlen=kept)
        self._counts: dict[tuple[str, str], int] = {}

    def record(self, endpoint: str, request: Request, outcome: str, *, connection: int) -> None:
        """Add a call."""
        params = {name: values for name, values in request.params.items() if name not in _SECRET_PARAMS}
        self._calls.append(RecordedCall(endpoint, params, outcome, connection, time.monotonic()))
        key = (endpoint, outcome)
        self._counts[key] = self._counts.get(key, 0) + 1
        self._bell.ring()

    def count(self, endpoint: str, outcome: str | None = None) -> int:
        """How often an endpoint was called (and answered so)."""
        if outcome is not None:
            return self._counts.get((endpoint, outcome), 0)
        return sum(n for (name, _), n in self._counts.items() if name == endpoint)

    async def wait(
        self, endpoint: str, n: int = 1, *, outcome: str | None = None, timeout_s: float = PATIENCE_S
    ) -> None:
        """Return when the endpoint has been called at least ``n`` times since the start.

        Raises:
            TimeoutError: not within ``timeout_s``.
        """
        await self._bell.until(lambda: self.count(endpoint, outcome) >= n, timeout_s=timeout_s)

    def of(self, endpoint: str) -> list[RecordedCall]:
        """The remembered calls of one endpoint."""
        return [call for call in self._calls if call.endpoint == endpoint]

    def __iter__(self) -> Iterator[RecordedCall]:
        return iter(tuple(self._calls))

    def __len__(self) -> int:
        return len(self._calls)
