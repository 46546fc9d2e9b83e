"""What the settings say to a worker."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bridge.journal.made import Privacy
from bridge.supervision import Retry
from bridge.worker.guard import Guard


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Times are in seconds."""

    namespace: str
    privacy: Privacy
    directory_fields: Collection[str]
    lease_s: float
    backlog: int
    newcount_rate: float
    newcount_sweep: bool
    listen_silence_s: float
    conflict_pause_s: float
    guard: Guard = Guard()  # noqa: RUF009 - frozen
    retry: Retry = Retry(first_s=0.25, limit_s=30.0)  # noqa: RUF009 - frozen
