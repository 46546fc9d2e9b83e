"""An upstream without a worker, and its clock."""

from __future__ import annotations

from typing import Any, get_args

import orjson

from bridge.journal.calls import Announce
from bridge.obs.labels import ProviderState
from bridge.obs.metrics import Metrics
from bridge.worker.upstream import UpstreamWatch
from tests.support.workers import sample

BEGIN_S = 1000.0


class Watched:
    """An upstream, its clock, and what it said. ``doubts``: how often it had counts asked for."""

    def __init__(self, heard_ms: int | None = None) -> None:
        self.now_s = BEGIN_S
        self.doubts = 0
        self.said: list[Announce] = []
        self.metrics = Metrics()
        self.upstream = UpstreamWatch(
            self.said.append,
            self.metrics,
            namespace="exmail",
            silence_s=45,
            heard_ms=heard_ms,
            missed=self._doubt,
            wall=lambda: self.now_s,
            now=lambda: self.now_s,
        )

    def _doubt(self) -> None:
        self.doubts += 1

    @property
    def types(self) -> list[str]:
        return [call.event.type.removeprefix("exmail.upstream.") for call in self.said]

    @property
    def connected(self) -> float:
        return sample(self.metrics, "upstream_connected")

    @property
    def standing(self) -> list[str]:
        return [state for state in get_args(ProviderState) if sample(self.metrics, "upstream_state", state=state)]

    def data(self, at: int = -1) -> dict[str, Any]:
        data: dict[str, Any] = orjson.loads(b"{" + self.said[at].event.body)["data"]
        return data

    def heard_after(self, seconds: float, begun_at: float | None = None) -> None:
        self.now_s += seconds
        self.upstream.heard(begun_at)

    def online(self) -> None:
        self.upstream.heard()
        self.upstream.online()
