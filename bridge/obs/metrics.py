"""Every metric of the bridge, in one place, on a registry of its own.

Rooms get a :class:`Metrics` as an argument and use its attributes. Nothing is registered at import, so a process
can hold two of them (tests, ``dev``). A worker does not expose the edge's metrics nor the other way round: a
gauge that is 0 because the process has no such part would make alerts and dashboards lie. Names carry their
unit, label sets are closed and start at 0, and each help text says what to conclude.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""Content type of :meth:`Metrics.render`."""

_PREFIX: Final = "exmail_bridge_"
_FAST_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CALL_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
SIGNON_RESULTS: Final = (
    *("opened", "refused", "scope", "request", "limited"),
    *("away", "busy", "denied", "unknown", "journal"),
)
"""What can come of a click; ``unknown``: the provider knows no such mailbox, ``journal``: Redis is away."""
_TRANSPORTS: Final = ("websocket", "sse")
CLOSES: Final = (
    *("1000", "1001", "1002", "1006", "1007", "3001", "3005", "3008", "3009"),
    *("3012", "3013", "3500", "3501", "3503", "3507", "other"),
)
"""How a browser's connection may end: 1001 the page was left, 1006 cut, ``other`` a client's own code."""


class Metrics:
    """The metrics of one process.

    ``version`` is the program's; ``worker``, ``edge`` and ``signon`` (without a word: as the edge, which mounts it)
    say which parts run in this process: the attributes are always there and may always be used, but only the parts
    named are shown by :meth:`render`.
    """

    def __init__(
        self, *, version: str = "", worker: bool = True, edge: bool = True, signon: bool | None = None
    ) -> None:
        signon = edge if signon is None else signon
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.build_info = Gauge(
            f"{_PREFIX}build_info", "Always 1; the label tells which version runs.", ["version"], registry=self.registry
        )
        self.build_info.labels(version).set(1)
        self._upstream(_Declaring(self.registry if worker else None))
        self._calls(_Declaring(self.registry if worker or signon else None))
        self._writer(_Declaring(self.registry if worker else None))
        self._edge(_Declaring(self.registry if edge else None))
        self._signon(_Declaring(self.registry if signon else None))

    def render(self) -> bytes:
        """Return everything as Prometheus text, of type :data:`CONTENT_TYPE`."""
        return generate_latest(_WithoutCreated(self.registry))

    def _upstream(self, declare: _Declaring) -> None:
        self.upstream_connected = declare.gauge(
            "upstream_connected",
            "1 while listen gave a byte within the silence limit; 0 on the leader: no mail is announced.",
        )
        self.upstream_last_byte = declare.gauge(
            "upstream_last_byte_timestamp_seconds",
            "When the listen connection last gave a byte; older than minutes: deaf, whatever else looks well.",
        )
        self.listen_sessions = declare.counter(
            "listen_sessions",
            "Listen sessions that ended, by how; others than ended and shutdown rising: see provider and network.",
            outcome=("ended", "refused", "silent", "away", "shutdown"),
        )
        self.pushes = declare.counter(
            "pushes",
            "Pushes read from the provider; none in working hours: see upstream_connected.",
            type=("mail", "unread", "version", "online"),
        )
        self.documents_dropped = declare.counter(
            "documents_dropped", "Provider documents we could not read; rising: the wire changed.", reason=()
        )

    def _calls(self, declare: _Declaring) -> None:
        self.provider_calls = declare.counter(
            "provider_calls",
            "Calls to the provider; busy: ask less, token: another program renews it, away: network.",
            endpoint=(),
            outcome=("ok", "refused", "busy", "away", "token"),
        )
        self.provider_call_seconds = declare.histogram(
            "provider_call_seconds", "How long the provider took to answer; rising: it is loaded.", _CALL_S, "endpoint"
        )

    def _writer(self, declare: _Declaring) -> None:
        self.leader = declare.gauge("leader", "1 on the worker that leads; the sum over all workers should be 1.")
        self.generation = declare.gauge(
            "generation", "Redis's clock in ms when the generation began; a rise: Redis went back and lost commits."
        )
        self.cursor_ver = declare.gauge(
            "cursor_ver", "The Ver whose member changes are applied; falling behind the provider's: syncs fail."
        )
        self.cursor_age = declare.gauge(
            "cursor_age_seconds", "Time since the cursor last proved current; growing: the directory grows stale."
        )
        self.commits = declare.counter(
            "commits",
            "Commits to the journal; refused: another worker leads, moved: a newer push won, again: answer lost.",
            result=("published", "duplicate", "unchanged", "moved", "refused", "again"),
        )
        self.commit_seconds = declare.histogram(
            "commit_seconds", "One round trip of commits; above some ms: Redis or the way to it is slow.", _FAST_S
        )
        self.backlog = declare.gauge("backlog_pushes", "Pushes read and not yet committed; growing: Redis is away.")
        self.backlog_dropped = declare.counter(
            "backlog_dropped", "Pushes given up because another worker took the lead; they are announced as missed."
        )
        self.reader_unread = declare.gauge(
            "reader_unread_ratio",
            "Events that the slowest consumer group has not finished, by BRIDGE_EVENTS_MAX; near 1: it loses some.",
        )
        self.directory_syncs = declare.counter(
            "directory_syncs",
            "Directory syncs; failed without a changed after it: it grows stale, short: a List came short.",
            kind=("delta", "full"),
            outcome=("changed", "unchanged", "refused", "failed", "held", "short"),
        )
        self.directory_held = declare.gauge(
            "directory_held",
            "Accounts that the provider deleted and the mirror keeps until somebody decides: `directory held`.",
        )
        self.directory_held_age = declare.gauge(
            "directory_held_age_seconds", "How long the oldest of them has been waiting; growing: nobody decides."
        )
        self.directory_owed = declare.gauge(
            "directory_owed",
            "Accounts of which the provider owes an answer; not falling: they cannot be read, see `directory owed`.",
        )
        self.directory_owed_age = declare.gauge(
            "directory_owed_age_seconds",
            "How long the oldest of them has been owed; an hour: old profiles are in use, or somebody is barred.",
        )
        self.reconciled = declare.counter(
            "reconciled",
            "Counts asked for after a gap; many corrected: much was missed, failed: see provider_calls.",
            result=("corrected", "right", "failed", "moved"),
        )
        self.conflicts = declare.counter(
            "upstream_conflicts",
            "Times that we left the connection to another listener, which kept taking it; not 0: find and end it.",
        )
        self.mails_missed = declare.counter(
            "mails_missed",
            "Mails that can never be announced, at least: a count rose over a gap by more than what was pushed.",
        )
        self.reconcile_drift = declare.histogram(
            "reconcile_drift_messages",
            "How far a stored count was from the provider's; large: pushes are lost.",
            (0, 1, 2, 5, 10, 50, 100, 1000),
        )

    def _edge(self, declare: _Declaring) -> None:
        self.edge_connections = declare.gauge(
            "edge_connections", "Open browser connections; a sudden fall: a proxy or this edge cut them.", _TRANSPORTS
        )
        self.edge_connects = declare.counter(
            "edge_connects", "Connections accepted; far above the open ones: clients flap.", transport=_TRANSPORTS
        )
        self.edge_closes = declare.counter(
            "edge_closes",
            "Connections closed by the edge, by code; 3500-3999: clients that will not return.",
            code=CLOSES,
        )
        self.edge_resumes = declare.counter(
            "edge_resumes",
            "How connections began; expired: raise BRIDGE_HISTORY_SECONDS or _EVENTS, epoch: history was lost.",
            result=("resumed", "first", "expired", "epoch"),
        )
        self.edge_refusals = declare.counter(
            "edge_refusals",
            "Requests refused, by the check that failed; rising: tokens or origins are wrong.",
            reason=(
                *("algorithm", "audience", "barred", "busy", "claim", "closing", "expired", "issuer", "keys", "kicked"),
                *("mailbox", "missing", "moved", "origin", "premature", "request", "scope", "signature", "ticket"),
                *("token", "two"),
            ),
        )
        self.edge_frames = declare.counter(
            "edge_frames",
            "Frames written to sockets; 0 while commits publish: delivery is broken.",
            transport=_TRANSPORTS,
        )
        self.edge_slow_cuts = declare.counter(
            "edge_slow_cuts", "Connections cut because they did not read; rising: a bad network or a hanging page."
        )
        self.edge_leader_seen = declare.gauge(
            "edge_leader_seen",
            "1 while a worker leads, as this edge's Redis knows; 0 here and not elsewhere: it is on another Redis.",
        )
        self.edge_mailboxes = declare.gauge("edge_mailboxes", "Mailboxes this edge follows; drives its memory.")
        self.delivery_seconds = declare.histogram(
            "delivery_seconds", "From the push's arrival to the socket write; the number users feel.", _FAST_S
        )
        self.feed_lag_seconds = declare.histogram(
            "feed_lag_seconds",
            "Round trip of a probe through Redis's pub/sub; rising: Redis or this edge is loaded.",
            _FAST_S,
        )
        self.feed_gaps = declare.counter(
            "feed_gaps",
            "Losses of pub/sub found and repaired from the journal; steady: see client-output-buffer-limit pubsub.",
            kind=("seq", "reconnect", "top"),
        )
        self.feed_reconnects = declare.counter(
            "feed_reconnects", "Times the pub/sub connection was built again; rising: Redis or the way to it flaps."
        )

        self.feed_deaf = declare.counter(
            "feed_deaf",
            "Times the pub/sub connection was open and brought nothing, and was built again; not 0: see the network.",
        )

    def _signon(self, declare: _Declaring) -> None:
        self.signon_clicks = declare.counter(
            "signon_clicks",
            "Clicks that should open a mail; away, busy, denied: the provider, limited: a page in a loop.",
            result=SIGNON_RESULTS,
        )
        self.signon_seconds = declare.histogram(
            "signon_seconds", "From the click to our answer; rising: the provider's mail/authkey is slow.", _CALL_S
        )


class _WithoutCreated(Collector):
    """A registry without its ``_created`` series, which double the page and which nobody reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class _Declaring:
    """Declares metrics on a registry, or on none; children of closed label sets start at 0."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self._registry = registry

    def gauge(self, name: str, help_text: str, transports: Sequence[str] = ()) -> Gauge:
        gauge = Gauge(_PREFIX + name, help_text, ["transport"] if transports else [], registry=self._registry)
        for transport in transports:
            gauge.labels(transport)
        return gauge

    def counter(self, name: str, help_text: str, **labels: Sequence[str]) -> Counter:
        counter = Counter(_PREFIX + name, help_text, list(labels), registry=self._registry)
        if labels:
            for values in product(*labels.values()):
                counter.labels(*values)
        return counter

    def histogram(self, name: str, help_text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(_PREFIX + name, help_text, labels, buckets=buckets, registry=self._registry)
