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

from bridge.obs.declaring import PREFIX, Closed, Declaring, Page
from bridge.obs.labels import (
    Answered,
    CallOutcome,
    Click,
    Close,
    Committed,
    Dropped,
    Endpoint,
    Eviction,
    Gap,
    ListenOutcome,
    ProviderState,
    PushKind,
    Reconciled,
    Refusal,
    Refused,
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

    ``namespace`` is a label of every series: one Prometheus may scrape the bridges of several corporations.
    ``version`` is the program's; ``worker``, ``edge`` and ``signon`` (without a word: as the edge, which mounts it) say
    which parts run in this process: the attributes are always there and may always be used, but only the parts named
    are shown by :meth:`render`.
    """

    def __init__(
        self,
        *,
        namespace: str = "",
        version: str = "",
        worker: bool = True,
        edge: bool = True,
        signon: bool | None = None,
    ) -> None:
        signon = edge if signon is None else signon
        self._labels = {"namespace": namespace} if namespace else {}
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.build_info = Gauge(
            f"{PREFIX}build_info", "Always 1; the label says which version runs.", ["version"], registry=self.registry
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
        self._office(Declaring(self.registry if edge or signon else None))
        self._signon(Declaring(self.registry if signon else None))

    def render(self) -> bytes:
        """Return everything as Prometheus text, of type :data:`CONTENT_TYPE`."""
        return generate_latest(Page(self.registry, self._labels))

    def watch(self, ready: Callable[[], Unready | None]) -> None:
        """Show readiness as ``ready`` returns it at the moment of each scrape."""

        def because(reason: Unreadiness) -> Callable[[], float]:
            return lambda: float((verdict := ready()) is not None and verdict.reason == reason)

        self.ready.set_function(lambda: float(ready() is None))
        for reason in get_args(Unreadiness):
            self.unready[reason].set_function(because(reason))

    def _readiness(self, declare: Declaring) -> None:
        self.ready = declare.gauge(
            "ready", "1 while /readyz says ok; if 0, the process cannot do its work and exmail_bridge_unready says why."
        )
        self.unready: Closed[Unreadiness, Gauge] = declare.gauges(
            "unready",
            "1 for the reason why /readyz fails; see ExmailBridgeNotReady in docs/operations.md.",
            reason=Unreadiness,
        )

    def _redis(self, declare: Declaring, declare_writable: Declaring) -> None:
        self.redis_reachable = declare.gauge(
            "redis_reachable", "1 while Redis answers this process; if 0, it delivers nothing new."
        )
        self.redis_writable = declare_writable.gauge(
            "redis_writable",
            "1 while Redis accepts this process's writes; 0 while reachable: Redis is full or read-only.",
        )
        self.redis_memory = declare_writable.gauge(
            "redis_memory_bytes", "What Redis uses, everybody's data; near redis_memory_limit_bytes it takes no writes."
        )
        self.redis_memory_limit = declare_writable.gauge(
            "redis_memory_limit_bytes", "Redis's maxmemory; 0: no limit, the machine's memory is one."
        )
        self.redis_policy: Closed[Eviction, Gauge] = declare_writable.gauges(
            "redis_policy",
            "1 for what Redis does when it is full; volatile, allkeys: it throws away events, set noeviction.",
            policy=Eviction,
        )

    def _upstream(self, declare: Declaring) -> None:
        self.upstream_state: Closed[ProviderState, Gauge] = declare.gauges(
            "upstream_state",
            "1 for the state towards the provider; if not connected for minutes, no mail is announced.",
            state=ProviderState,
        )
        self.upstream_connected = declare.gauge(
            "upstream_connected",
            "1 while listen delivers bytes within the silence limit; 0 on the leader: no mail is announced.",
        )
        self.upstream_last_byte = declare.gauge(
            "upstream_last_byte_timestamp_seconds",
            "When the listen connection last delivered a byte; minutes ago: it is dead even if it looks open.",
        )
        self.listen_sessions: Closed[ListenOutcome, Counter] = declare.counters(
            "listen_sessions",
            "Listen sessions that ended, by outcome; if any but ended and shutdown rises, check provider and network.",
            outcome=ListenOutcome,
        )
        self.pushes: Closed[PushKind, Counter] = declare.counters(
            "pushes",
            "Pushes read from the provider; if none come in working hours, check upstream_connected.",
            type=PushKind,
        )
        self.documents_dropped: Closed[Dropped, Counter] = declare.counters(
            "documents_dropped",
            "Provider documents that could not be read; if it rises, the provider's format has changed.",
            reason=Dropped,
        )

    def _calls(self, declare: Declaring) -> None:
        self.provider_calls: Closed[tuple[Endpoint, CallOutcome], Counter] = declare.counters(
            "provider_calls",
            "Calls to the provider; busy: call less often, token: another program renews it, away: check the network.",
            endpoint=Endpoint,
            outcome=CallOutcome,
        )
        self.provider_refusals: Closed[Refused, Counter] = declare.counters(
            "provider_refusals",
            "Calls that the provider refused, by its errcode; docs/operations.md says what each means.",
            code=Refused,
        )
        self.token_expires = declare.gauge(
            "token_expires_timestamp_seconds",
            "Until when the provider's token is used; it is renewed when a call needs it, see provider_calls of token.",
        )
        self.provider_call_seconds: Closed[Endpoint, Histogram] = declare.histograms(
            "provider_call_seconds",
            "How long the provider took to answer; if it rises, the provider is loaded.",
            _CALL_S,
            endpoint=Endpoint,
        )

    def _writer(self, declare: Declaring) -> None:
        self.leader = declare.gauge("leader", "1 on the leading worker; the sum over all workers should be 1.")
        self.generation = declare.gauge(
            "generation",
            "When the current generation began, by Redis's clock in ms; if it rises, Redis went back and lost commits.",
        )
        self.cursor_ver = declare.gauge(
            "cursor_ver", "The Ver whose member changes are applied; if it falls behind the provider's, syncs fail."
        )
        self.cursor_age = declare.gauge(
            "cursor_age_seconds",
            "Time since the directory was last known to be current; if it grows, the directory is stale.",
        )
        self.commits: Closed[Committed, Counter] = declare.counters(
            "commits",
            "Commits to the journal; refused: another worker leads, moved: a newer push won, again: answer lost.",
            result=Committed,
        )
        self.commit_seconds = declare.histogram(
            "commit_seconds", "One round trip of commits; above a few ms, Redis or the network to it is slow.", _FAST_S
        )
        self.backlog = declare.gauge(
            "backlog_pushes", "Pushes read but not yet committed; if it grows, Redis is away or takes no writes."
        )
        self.backlog_age = declare.gauge(
            "backlog_age_seconds",
            "Age of the oldest push that is not committed; if it grows, Redis is away or takes no writes.",
        )
        self.backlog_dropped = declare.counter(
            "backlog_dropped", "Pushes given up because another worker took the lead; they were announced as missed."
        )
        self.people_online = declare.gauge(
            "people_online",
            "Mailboxes with a browser at some edge; each worker counts all of them, so use max and not sum.",
        )
        self.reader_unread = declare.gauge(
            "reader_unread_ratio",
            "Unfinished events of the slowest consumer group, as a share of BRIDGE_EVENTS_MAX; near 1, it loses some.",
        )
        self.directory_syncs: Closed[tuple[SyncKind, SyncOutcome], Counter] = declare.counters(
            "directory_syncs",
            "Directory syncs; failed with no success after it: the directory is stale, short: a list lacked lines.",
            kind=SyncKind,
            outcome=SyncOutcome,
        )
        self.directory_held = declare.gauge(
            "directory_held",
            "Accounts the provider deleted that are kept until somebody decides; see `exmail-bridge directory held`.",
        )
        self.directory_held_age = declare.gauge(
            "directory_held_age_seconds",
            "How long the oldest held deletion has waited; if it grows, nobody has decided.",
        )
        self.directory_owed = declare.gauge(
            "directory_owed",
            "Accounts the provider owes an answer about; if it does not fall, see `exmail-bridge directory owed`.",
        )
        self.directory_owed_age = declare.gauge(
            "directory_owed_age_seconds",
            "How long the oldest answer has been owed; an hour: profiles are old, or somebody is locked out.",
        )
        self.reconciled: Closed[Reconciled, Counter] = declare.counters(
            "reconciled",
            "Counts asked for after a gap; many corrected: much was missed, failed: check provider_calls.",
            result=Reconciled,
        )
        self.conflicts = declare.counter(
            "upstream_conflicts",
            "Times another listener kept taking the connection and the bridge paused; if not 0, find and stop it.",
        )
        self.mails_missed = declare.counter(
            "mails_missed",
            "At least so many mails can never be announced: counts rose over a gap by more than was pushed.",
        )
        self.reconcile_drift = declare.histogram(
            "reconcile_drift_messages",
            "How far stored counts were from the provider's; if large, pushes are lost.",
            (0, 1, 2, 5, 10, 50, 100, 1000),
        )

    def _edge(self, declare: Declaring) -> None:
        self.edge_connections: Closed[Transport, Gauge] = declare.gauges(
            "edge_connections",
            "Open browser connections; a sudden fall means that a proxy or this edge cut them.",
            transport=Transport,
        )
        self.edge_connects: Closed[Transport, Counter] = declare.counters(
            "edge_connects",
            "Connections accepted; if far more than are open, clients keep reconnecting.",
            transport=Transport,
        )
        self.edge_closes: Closed[Close, Counter] = declare.counters(
            "edge_closes",
            "Connections that ended, by code; after 3500-3999 the client does not return.",
            code=Close,
        )
        self.edge_turned_away: Closed[TurnedAway, Counter] = declare.counters(
            "edge_turned_away",
            "Connections refused, by the code sent; after 3500-3999 the client does not return.",
            code=TurnedAway,
        )
        self.edge_resumes: Closed[Resumed, Counter] = declare.counters(
            "edge_resumes",
            "How connections began; expired: raise BRIDGE_HISTORY_SECONDS or _EVENTS, epoch: history was lost.",
            result=Resumed,
        )
        self.edge_refusals: Closed[Refusal, Counter] = declare.counters(
            "edge_refusals",
            "Requests refused, by the check that failed; if it rises, tokens or origins are wrong.",
            reason=Refusal,
        )
        self.edge_frames: Closed[Transport, Counter] = declare.counters(
            "edge_frames",
            "Frames written to sockets; if none while mails are committed, delivery is broken.",
            transport=Transport,
        )
        self.edge_slow_cuts = declare.counter(
            "edge_slow_cuts",
            "Connections cut because they did not read; if it rises, a network is bad or a page hangs.",
        )
        self.edge_leader_seen = declare.gauge(
            "edge_leader_seen",
            "1 while this edge sees a leading worker; 0 on this edge only: it is connected to another Redis.",
        )
        self.edge_mailboxes = declare.gauge(
            "edge_mailboxes", "Mailboxes that this edge follows; its memory grows with them."
        )
        self.delivery_seconds = declare.histogram(
            "delivery_seconds",
            "Time from the push's arrival to the write to the browser's socket; this is the delay that users notice.",
            (*_FAST_S, 10.0, 30.0, 60.0),
        )
        self.canary_seconds = declare.histogram(
            "canary_seconds",
            "Time from a worker to this edge of an event that the leader sends each minute: how late a mail would be.",
            _FAST_S,
        )
        self.canary_heard = declare.gauge(
            "canary_heard_timestamp_seconds",
            "When this edge last heard the leader's canary; minutes ago while one leads: mails do not come through.",
        )
        self.feed_lag_seconds = declare.histogram(
            "feed_lag_seconds",
            "Round trip of a probe through Redis's pub/sub; if it rises, Redis or this edge is loaded.",
            _FAST_S,
        )
        self.feed_gaps: Closed[Gap, Counter] = declare.counters(
            "feed_gaps",
            "Pub/sub losses, repaired from the journal; if they go on, raise client-output-buffer-limit pubsub.",
            kind=Gap,
        )
        self.feed_reconnects = declare.counter(
            "feed_reconnects",
            "Times the pub/sub connection was reopened; if it rises, Redis or the network to it is unstable.",
        )

        self.feed_deaf = declare.counter(
            "feed_deaf",
            "Times the pub/sub connection was open but silent and was reopened; if not 0, check the network.",
        )

    def _office(self, declare: Declaring) -> None:
        self.office_questions: Closed[Answered, Counter] = declare.counters(
            "office_questions",
            "Questions to BRIDGE_EDGE_AUTH_URL; away, wrong: its page for the bridge is broken, full: it is too slow.",
            outcome=Answered,
        )
        self.office_question_seconds = declare.histogram(
            "office_question_seconds",
            "How long the OA took to say who asks, or not to; near 5 s: browsers are told to come later.",
            _CALL_S,
        )

    def _signon(self, declare: Declaring) -> None:
        self.signon_clicks: Closed[Click, Counter] = declare.counters(
            "signon_clicks",
            "Clicks to open a mail; away, busy, denied: check the provider, limited: a page opens windows in a loop.",
            result=Click,
        )
        self.signon_seconds = declare.histogram(
            "signon_seconds",
            "Time from the click to the answer; if it rises, the provider's mail/authkey is slow.",
            _CALL_S,
        )
