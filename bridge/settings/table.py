"""Every setting, declared once: its name, type, unit, default, meaning and whether it is secret.

The groups below are the declaration and, at the same time, what the composition root reads: a field's type is
checked by mypy, its metadata feeds the loader, ``config show`` and the reference. Defaults are written as an
operator would write them, so that they go through the same checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from bridge.settings.edge import Edge
from bridge.settings.egress import Egress
from bridge.settings.provider import Provider
from bridge.settings.redis import Redis
from bridge.settings.secret import Secret
from bridge.settings.setting import setting, settings_in
from bridge.settings.values import (
    Address,
    address,
    fields_of,
    integer,
    matching,
    number,
    one_of,
)

Privacy = Literal["full", "subject", "sender", "count"]
SignonMode = Literal["on", "scope", "off"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "text"]

PROFILE_FIELDS: Final = (
    *("alias", "name", "gender", "slaves", "position", "tel"),
    *("mobile", "ext_id", "parties", "open_type", "status"),
)


@dataclass(frozen=True, slots=True)
class Worker:
    """The long-connection worker."""

    lease_s: float = setting(
        "BRIDGE_WORKER_LEASE",
        number(1, 300),
        "10",
        "How long a leader that hangs, or whose host is gone, keeps the others waiting; renewed every third of it. "
        "On its own host, outside of containers, the end of its process is known at once.",
        unit="seconds",
    )
    backlog: int = setting(
        "BRIDGE_WORKER_BACKLOG",
        integer(1, 10_000_000),
        "10000",
        "Pushes kept in order while Redis is away; beyond it the provider's socket is left unread.",
        unit="pushes",
    )
    newcount_rate: float = setting(
        "BRIDGE_WORKER_NEWCOUNT_RATE",
        number(0.1, 10_000),
        "20",
        "Bound on the calls that ask for unread counts after a gap.",
        unit="calls a second",
    )
    newcount_sweep: Literal["off", "on"] = setting(
        "BRIDGE_WORKER_NEWCOUNT_SWEEP",
        one_of("off", "on"),
        "off",
        "After a gap ask, slowly and last of all, for every account whose count was stored too, not only for who is "
        "online or was active.",
    )
    admin_listen: Address = setting(
        "BRIDGE_WORKER_ADMIN_LISTEN",
        address,
        "127.0.0.1:9101",
        "`/metrics`, `/livez`, `/readyz` of the worker; port 0 takes any.",
        unit="host:port",
    )


@dataclass(frozen=True, slots=True)
class Directory:
    """The mirror of accounts."""

    fields: tuple[str, ...] = setting(
        "BRIDGE_DIRECTORY_FIELDS",
        fields_of(PROFILE_FIELDS, always="alias"),
        "alias,name,parties,slaves,status",
        f"Profile fields to store and publish, commas, of {', '.join(PROFILE_FIELDS)}.",
    )
    delete_share: float = setting(
        "BRIDGE_DIRECTORY_DELETE_SHARE",
        number(0, 1),
        "0.10",
        "An answer that would delete a larger share of all accounts, and more than the next, is held.",
        unit="share of 1",
    )
    delete_count: int = setting(
        "BRIDGE_DIRECTORY_DELETE_COUNT",
        integer(0, 10_000_000),
        "5",
        "So many deletions at once are never held.",
        unit="accounts",
    )


@dataclass(frozen=True, slots=True)
class History:
    """What a browser that comes back can still be given."""

    events: int = setting(
        "BRIDGE_HISTORY_EVENTS", integer(1, 100_000), "200", "Events kept for each mailbox.", unit="events"
    )
    seconds: int = setting(
        "BRIDGE_HISTORY_SECONDS",
        integer(60, 31_536_000),
        "86400",
        "How long they are given out; a few that are older may stay in Redis until others have followed.",
        unit="seconds",
    )


@dataclass(frozen=True, slots=True)
class Events:
    """The stream that other services read."""

    max: int = setting(
        "BRIDGE_EVENTS_MAX",
        integer(1000, 100_000_000),
        "200000",
        "Entries of the stream `{ns}:events`, about: up to a hundred more stay.",
        unit="events",
    )


@dataclass(frozen=True, slots=True)
class Signon:
    """The click-through login, in the edge or as a process of its own."""

    mode: SignonMode = setting(
        "BRIDGE_SIGNON",
        one_of(*get_args(SignonMode)),
        "on",
        "`/mail/open`: on; scope: the token must carry the scope `open`; off: answered with 404. Works where the "
        "provider's client id and secret are set.",
        own_key="mode",
    )
    rate: int = setting(
        "BRIDGE_SIGNON_RATE",
        integer(1, 10_000),
        "20",
        "Bound on the clicks of one mailbox, over all processes.",
        unit="clicks a minute",
        live=True,
    )
    listen: Address = setting(
        "BRIDGE_SIGNON_LISTEN",
        address,
        "127.0.0.1:8081",
        "Where the proxy connects to `signon`, the process of its own.",
        unit="host:port",
    )
    admin_listen: Address = setting(
        "BRIDGE_SIGNON_ADMIN_LISTEN",
        address,
        "127.0.0.1:9103",
        "`/metrics`, `/livez`, `/readyz` of `signon`; beside `edge --workers` choose another port, 0 takes any.",
        unit="host:port",
    )


@dataclass(frozen=True, slots=True)
class Audit:
    """The record of clicks, ``{ns}:audit``."""

    max: int = setting(
        "BRIDGE_AUDIT_MAX", integer(100, 100_000_000), "100000", "Entries of the stream `{ns}:audit`.", unit="entries"
    )
    seconds: int = setting(
        "BRIDGE_AUDIT_SECONDS",
        integer(3600, 315_360_000),
        "15552000",
        "How long they are kept, up to the next click after that.",
        unit="seconds",
    )


@dataclass(frozen=True, slots=True)
class Dead:
    """Documents of the provider that could not be read, ``{ns}:dead``."""

    max: int = setting(
        "BRIDGE_DEAD_MAX",
        integer(0, 10_000),
        "1000",
        "Entries of the stream `{ns}:dead`, the newest; up to 16 KiB each. 0: none is kept, they are only counted.",
        unit="entries",
    )
    seconds: int = setting(
        "BRIDGE_DEAD_SECONDS",
        integer(60, 31_536_000),
        "604800",
        "How long they are kept; up to twice that if no other follows.",
        unit="seconds",
    )


@dataclass(frozen=True, slots=True)
class Log:
    """The program's own words, on standard error."""

    level: LogLevel = setting(
        "BRIDGE_LOG_LEVEL", one_of(*get_args(LogLevel)), "info", "debug, info, warning or error.", live=True
    )
    format: LogFormat = setting(
        "BRIDGE_LOG_FORMAT", one_of(*get_args(LogFormat)), "auto", "json, text, or auto: text on a terminal, else json."
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one process, read and checked.

    ``sources`` says for each variable where its value came from, ``texts`` what an operator may see of it;
    ``unusable_proxy`` why the machine's own proxy is none for us, which concerns who would need it.
    """

    sources: Mapping[str, str] = field(repr=False)
    texts: Mapping[str, str] = field(repr=False)
    unusable_proxy: str
    redis: Redis
    provider: Provider
    egress: Egress
    worker: Worker
    edge: Edge
    directory: Directory
    history: History
    events: Events
    signon: Signon
    audit: Audit
    dead: Dead
    log: Log
    namespace: str = setting(
        "BRIDGE_NAMESPACE",
        matching(r"[a-z0-9-]{1,32}", "exmail: small letters, digits and -, at most 32"),
        "exmail",
        "One corporation (one client id) a namespace; begins every key and channel in Redis, and is one bridge's on a "
        "server: channels know no databases.",
    )
    privacy: Privacy = setting(
        "BRIDGE_PRIVACY",
        one_of(*get_args(Privacy)),
        "full",
        "What of a mail may be stored and published: full, subject (no summary), sender (no subject), count (nothing).",
    )

    def secrets(self) -> Iterator[Secret[Any]]:
        """Every secret, set or not."""
        for name, group in GROUPS.items():
            for attribute, declared in settings_in(group):
                if declared.secret:
                    yield getattr(getattr(self, name), attribute)


GROUPS: Final[Mapping[str, type[Any]]] = {
    "redis": Redis,
    "provider": Provider,
    "egress": Egress,
    "worker": Worker,
    "edge": Edge,
    "directory": Directory,
    "history": History,
    "events": Events,
    "signon": Signon,
    "audit": Audit,
    "dead": Dead,
    "log": Log,
}

_ALL_GROUPS: Final[tuple[type[Any], ...]] = (Settings, *GROUPS.values())
TABLE: Final = tuple(setting for group in _ALL_GROUPS for _, setting in settings_in(group))
"""All settings, in the order of the reference."""
