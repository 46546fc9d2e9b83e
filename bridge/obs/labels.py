"""What the labels of the metrics may say: every closed set, once.

Code that counts uses these types, so that every value it can use is on the page at 0 from the start (see
:mod:`.declaring`). Rooms that may not import this one have sets of their own, which ``tests/obs/test_labels.py``
compares with these.
"""

from __future__ import annotations

from typing import Final, Literal, cast, get_args

Unreadiness = Literal[
    "starting",
    "redis",
    "redis-full",
    "redis-readonly",
    "redis-refuses",
    "provider",
    "feed",
    "process",
    "closing",
]
"""Why a process cannot do its work. ``redis``: it does not answer, ``-full``: it is out of memory, ``-readonly``: a
replica, a failing disk or missing replicas, ``-refuses``: our rights or password · ``provider``: the listen connection
is open and deaf · ``feed``: no pub/sub · ``process``: a child of ``edge --workers``."""

ProviderState = Literal[
    "connecting", "connected", "deaf", "away", "credentials", "address", "refused", "conflict", "between"
]
"""How the leader stands with the provider. ``credentials``: client id or key are wrong, ``address``: 10001,
``refused``: any other no, ``conflict``: the connection is left to another listener, ``between``: one session ended in
order and the next is being made."""

ListenOutcome = Literal["ended", "refused", "silent", "away", "shutdown"]
PushKind = Literal["mail", "unread", "version", "online"]
Dropped = Literal["bad-json", "not-object", "unknown-shape", "truncated", "too-large", "bad-address"]
Endpoint = Literal["token", "user/list", "user/get", "mail/newcount", "mail/authkey", "other"]
"""What worker and sign-on ask the provider; ``other`` is there for what a later release may ask."""
Refused = Literal["1001", "1002", "1200", "1301", "1303", "1304", "1310", "1400", "10001", "other"]
"""By which code the provider refuses a call; ``other`` is any that no document names."""
Eviction = Literal["noeviction", "volatile", "allkeys", "other"]
"""What Redis does when its memory is used up: refuse writes, or throw away keys that expire, or any."""
CallOutcome = Literal["ok", "refused", "busy", "away", "token"]
Committed = Literal["published", "duplicate", "unchanged", "moved", "refused", "again"]
SyncKind = Literal["delta", "full"]
SyncOutcome = Literal["changed", "unchanged", "refused", "failed", "held", "short"]
Reconciled = Literal["corrected", "right", "failed", "moved"]

Transport = Literal["websocket", "sse"]
Close = Literal[1000, 1001, 1002, 1006, 1007, 3001, 3005, 3008, 3009, 3012, 3013, 3500, 3501, 3503, 3504, 3507, "other"]
"""How a browser's connection may end: 1001 the page was left, 1006 cut, ``other`` a client's own code."""
TurnedAway = Literal[3001, 3005, 3009, 3013, 3500, 3501, 3503, 3504, 3507]
"""The close code with which an opening may be refused."""
Resumed = Literal["resumed", "first", "expired", "epoch"]
Gap = Literal["seq", "reconnect", "top"]
Refusal = Literal[
    "address",
    "algorithm",
    "audience",
    "barred",
    "busy",
    "claim",
    "closing",
    "crowd",
    "expired",
    "full",
    "issuer",
    "keys",
    "kicked",
    "mailbox",
    "missing",
    "moved",
    "oa",
    "origin",
    "premature",
    "rate",
    "request",
    "scope",
    "signature",
    "ticket",
    "token",
    "two",
]
"""Which check failed. Too many connections: ``full`` of the process, ``address`` from one, ``crowd`` of a mailbox;
``rate``: too many openings a second. ``oa``: the OA does not say who asks."""

Answered = Literal["known", "nobody", "wrong", "away", "full"]
"""How the OA answered whose session a browser's cookies are: with a mailbox, with 401 or 403, with a mailbox that
cannot be read, not or by nothing that can be used; ``full``: it was not asked, because too many wait for it."""

Click = Literal["opened", "refused", "scope", "request", "limited", "away", "busy", "denied", "unknown", "journal"]
"""The outcome of a click; ``unknown``: the provider knows no such mailbox, ``journal``: Redis is away."""


_CLOSES: Final = frozenset(get_args(Close))


def close_of(code: int) -> Close:
    """The label of a close code: a client may close with any from 3000 on; those that are not ours are one series."""
    return cast(Close, code) if code in _CLOSES else "other"


def endpoint_of(name: str) -> Endpoint:
    """The label of an endpoint of the provider."""
    return cast(Endpoint, name) if name in get_args(Endpoint) else "other"


def refused_of(code: str) -> Refused:
    """The label of a code with which the provider refused a call."""
    return cast(Refused, code) if code in get_args(Refused) else "other"


def eviction_of(policy: str) -> Eviction:
    """The label of a ``maxmemory-policy``, of which there are several each for keys that expire and for all."""
    kind = policy.partition("-")[0]
    return cast(Eviction, kind) if kind in get_args(Eviction) else "other"
