"""What a worker works with; the composition root makes all of it."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.journal.canary import Canary
from bridge.journal.dead import DeadDocuments
from bridge.journal.mirror import Mirror
from bridge.journal.orders import Orders
from bridge.journal.reports import Reports
from bridge.journal.standbys import Standbys
from bridge.journal.writer import Writer
from bridge.obs.metrics import Metrics
from bridge.provider.counts import Counts
from bridge.provider.members import Members
from bridge.provider.source import Source
from bridge.worker.options import WorkerOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The provider's three ports, the journal's clients, and what the settings say.

    ``name`` and ``version`` are this process's, for people.
    """

    source: Source
    members: Members
    counts: Counts
    writer: Writer
    mirror: Mirror
    orders: Orders
    reports: Reports
    standbys: Standbys
    canary: Canary
    dead: DeadDocuments
    metrics: Metrics
    options: WorkerOptions
    name: str = ""
    version: str = ""
