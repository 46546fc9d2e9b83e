"""Every metric of the bridge, in one place, on a registry of its own.

Rooms get a :class:`Metrics` as an argument and use its attributes. Nothing is registered at import, so a process
can hold two of them (tests, ``dev``). A worker does not expose the edge's metrics nor the other way round: a
gauge that is 0 because the process has no such part would make alerts and dashboards lie. Names carry their
unit, label sets are closed and start at 0, and each help text says what to conclude.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, get_args

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

from bridge.obs.declaring import PREFIX, Closed, Declaring, WithoutCreated
from bridge.obs.labels import (
    CallOutcome,
    Click,
    Close,
    Committed,
    Dropped,
    Endpoint,
    Gap,
    ListenOutcome,
    ProviderState,
    PushKind,
    Reconciled,
    Refusal,
    Resumed,
    SyncKind,
    SyncOutcome,
    Transport,
    TurnedAway,
    Unreadiness,
)
from bridge.obs.readiness import Unready

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
"""Content type of :meth:`Metrics.render`."""

_FAST_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CALL_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


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
            f"{PREFIX}build_info", "Always 1; the label tells which version runs.", ["version"], registry=self.registry
        )
        self.build_info.labels(version).set(1)
        self._readiness(Declaring(self.registry))
        self._redis(
            Declaring(self.registry if worker or edge or signon else None),
            Declaring(self.registry if worker or (signon and not edge) else None),
        )
        self._upstream(Declaring(self.registry if worker else None))
        self._calls(Declaring(self.registry if worker or signon else None))
        self._writer(Declaring(self.registry if worker else None))
        self._edge(Declaring(self.registry if edge else None))
        self._signon(Declaring(self.registry if signon else None))

    def render(self) -> bytes:
        """Return everything as Prometheus text, of type :data:`CONTENT_TYPE`."""
        return generate_latest(WithoutCreated(self.registry))

    def watch(self, ready: Callable[[], Unready | None]) -> None:
        """Tell of readiness what ``ready`` answers whenever somebody looks."""

        def because(reason: Unreadiness) -> Callable[[], float]:
            return lambda: float((verdict := ready()) is not None and verdict.reason == reason)

        self.ready.set_function(lambda: float(ready() is None))
        for reason in get_args(Unreadiness):
            self.unready[reason].set_function(because(reason))

    def _readiness(self, declare: Declaring) -> None:
        self.ready = declare.gauge(
            "ready", "1 while /readyz says ok; 0: the process cannot do its work, exmail_bridge_unready says why."
        )
        self.unready: Closed[Unreadiness, Gauge] = declare.gauges(
            "unready",
            "1 for the reason that /readyz fails with; see operations, ExmailBridgeNotReady.",
            reason=Unreadiness,
        )

    def _redis(self, declare: Declaring, declare_writable: Declaring) -> None:
        self.redis_reachable = declare.gauge(
            "redis_reachable", "1 while Redis answers this process's questions; 0: nothing new can be told."
        )
        self.redis_writable = declare_writable.gauge(
            "redis_writable", "1 while Redis takes a write of this process; 0 and reachable: it is full or read-only."
        )

    def _upstream(self, declare: Declaring) -> None:
        self.upstream_state: Closed[ProviderState, Gauge] = declare.gauges(
            "upstream_state",
            "1 for how the leader stands with the provider; any but connected for minutes: no mail is announced.",
            state=ProviderState,
        )
        self.upstream_connected = declare.gauge(
            "upstream_connected",
            "1 while listen gave a byte within the silence limit; 0 on the leader: no mail is announced.",
        )
        self.upstream_last_byte = declare.gauge(
            "upstream_last_byte_timestamp_seconds",
            "When the listen connection last gave a byte; older than minutes: deaf, whatever else looks well.",
        )
        self.listen_sessions: Closed[ListenOutcome, Counter] = declare.counters(
            "listen_sessions",
            "Listen sessions that ended, by how; others than ended and shutdown rising: see provider and network.",
            outcome=ListenOutcome,
        )
        self.pushes: Closed[PushKind, Counter] = declare.counters(
            "pushes",
            "Pushes read from the provider; none in working hours: see upstream_connected.",
            type=PushKind,
        )
        self.documents_dropped: Closed[Dropped, Counter] = declare.counters(
            "documents_dropped", "Provider documents we could not read; rising: the wire changed.", reason=Dropped
        )

    def _calls(self, declare: Declaring) -> None:
        self.provider_calls: Closed[tuple[Endpoint, CallOutcome], Counter] = declare.counters(
            "provider_calls",
            "Calls to the provider; busy: ask less, token: another program renews it, away: network.",
            endpoint=Endpoint,
            outcome=CallOutcome,
        )
        self.provider_call_seconds: Closed[Endpoint, Histogram] = declare.histograms(
            "provider_call_seconds",
            "How long the provider took to answer; rising: it is loaded.",
            _CALL_S,
            endpoint=Endpoint,
        )

    def _writer(self, declare: Declaring) -> None:
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
        self.commits: Closed[Committed, Counter] = declare.counters(
            "commits",
            "Commits to the journal; refused: another worker leads, moved: a newer push won, again: answer lost.",
            result=Committed,
        )
        self.commit_seconds = declare.histogram(
            "commit_seconds", "One round trip of commits; above some ms: Redis or the way to it is slow.", _FAST_S
        )
        self.backlog = declare.gauge("backlog_pushes", "Pushes read and not yet committed; growing: Redis is away.")
        self.backlog_age = declare.gauge(
            "backlog_age_seconds",
            "Age of the oldest push that is not committed; growing: Redis is away or takes no writes.",
        )
        self.backlog_dropped = declare.counter(
            "backlog_dropped", "Pushes given up because another worker took the lead; they are announced as missed."
        )
        self.reader_unread = declare.gauge(
            "reader_unread_ratio",
            "Events that the slowest consumer group has not finished, by BRIDGE_EVENTS_MAX; near 1: it loses some.",
        )
        self.directory_syncs: Closed[tuple[SyncKind, SyncOutcome], Counter] = declare.counters(
            "directory_syncs",
            "Directory syncs; failed without a changed after it: it grows stale, short: a List came short.",
            kind=SyncKind,
            outcome=SyncOutcome,
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
        self.reconciled: Closed[Reconciled, Counter] = declare.counters(
            "reconciled",
            "Counts asked for after a gap; many corrected: much was missed, failed: see provider_calls.",
            result=Reconciled,
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

    def _edge(self, declare: Declaring) -> None:
        self.edge_connections: Closed[Transport, Gauge] = declare.gauges(
            "edge_connections",
            "Open browser connections; a sudden fall: a proxy or this edge cut them.",
            transport=Transport,
        )
        self.edge_connects: Closed[Transport, Counter] = declare.counters(
            "edge_connects", "Connections accepted; far above the open ones: clients flap.", transport=Transport
        )
        self.edge_closes: Closed[Close, Counter] = declare.counters(
            "edge_closes",
            "Connections that ended, by code; 3500-3999: clients that will not return.",
            code=Close,
        )
        self.edge_turned_away: Closed[TurnedAway, Counter] = declare.counters(
            "edge_turned_away",
            "Pages that got no connection, by the code that they were told; 3500-3999: they will not return.",
            code=TurnedAway,
        )
        self.edge_resumes: Closed[Resumed, Counter] = declare.counters(
            "edge_resumes",
            "How connections began; expired: raise BRIDGE_HISTORY_SECONDS or _EVENTS, epoch: history was lost.",
            result=Resumed,
        )
        self.edge_refusals: Closed[Refusal, Counter] = declare.counters(
            "edge_refusals",
            "Requests refused, by the check that failed; rising: tokens or origins are wrong.",
            reason=Refusal,
        )
        self.edge_frames: Closed[Transport, Counter] = declare.counters(
            "edge_frames",
            "Frames written to sockets; 0 while commits publish: delivery is broken.",
            transport=Transport,
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
        self.feed_gaps: Closed[Gap, Counter] = declare.counters(
            "feed_gaps",
            "Losses of pub/sub found and repaired from the journal; steady: see client-output-buffer-limit pubsub.",
            kind=Gap,
        )
        self.feed_reconnects = declare.counter(
            "feed_reconnects", "Times the pub/sub connection was built again; rising: Redis or the way to it flaps."
        )

        self.feed_deaf = declare.counter(
            "feed_deaf",
            "Times the pub/sub connection was open and brought nothing, and was built again; not 0: see the network.",
        )

    def _signon(self, declare: Declaring) -> None:
        self.signon_clicks: Closed[Click, Counter] = declare.counters(
            "signon_clicks",
            "Clicks that should open a mail; away, busy, denied: the provider, limited: a page in a loop.",
            result=Click,
        )
        self.signon_seconds = declare.histogram(
            "signon_seconds", "From the click to our answer; rising: the provider's mail/authkey is slow.", _CALL_S
        )
