"""The settings of Redis: one server, the master that sentinels name, or the node of a cluster that holds our keys.

The URL is taken apart here and not with ``urllib``, which knows no list of hosts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qs

from bridge.settings.secret import Secret
from bridge.settings.setting import secret, setting
from bridge.settings.values import ca_file, is_host, key_pair, one_of, secret_text, text

_SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_HOST: Final = re.compile(r"(\[[^\s\[\]@,]+\]|[^\s:\[\]@,]+)(?::([0-9]{1,5}))?")
_DATABASE: Final = r"[0-9]{0,6}"
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_TAKEN: Final = {
    "ssl_check_hostname": (r"(?i)true|false|yes|no|1|0", "true or false"),
    "db": (r"[0-9]{1,6}", "the number of a database"),
}
_OPTIONS: Final = (*_FILES, *_TAKEN)


class UrlParts(NamedTuple):
    """A URL cut at its punctuation; ``user`` may hold a password and is never shown."""

    scheme: str
    user: str
    hosts: str
    path: str
    query: str


def cut_url(value: str) -> UrlParts:
    """Cut ``scheme://user:password@hosts/path?query``; what is missing is empty."""
    scheme, _, rest = value.strip().partition("://")
    end = next((place for place, sign in enumerate(rest) if sign in "/?#"), len(rest))
    user, _, hosts = rest[:end].rpartition("@")
    path, _, query = rest[end:].partition("?")
    return UrlParts(scheme.lower(), user, hosts, path, query)


def redis_url(value: str) -> str:
    """A URL of Redis. Never quoted: it may hold a password."""
    parts = cut_url(value)
    if parts.scheme not in _SCHEMES or "://" not in value:
        raise ValueError(
            "must begin with redis://, rediss:// or unix://, redis+sentinel:// or redis+cluster:// "
            "(rediss+sentinel://, rediss+cluster:// for TLS)"
        )
    if "#" in parts.path + parts.query:
        raise ValueError("holds a #; in a user or password write %23")
    if "password" in parse_qs(parts.query):
        raise ValueError("holds a password in its query; use BRIDGE_REDIS_PASSWORD")
    kind = parts.scheme.partition("+")[2]
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.hosts:
            raise ValueError("must name the socket by its whole path, as in unix:///run/valkey/valkey.sock")
    elif kind == "sentinel":
        _check_hosts(parts.hosts, "redis+sentinel://h1:26379,h2:26379/mymaster/0")
        if not re.fullmatch(rf"/[^/\s]+(/{_DATABASE})?", parts.path):
            raise ValueError("must name the master after the sentinels, as in redis+sentinel://h1:26379/mymaster/0")
    elif kind == "cluster":
        _check_hosts(parts.hosts, "redis+cluster://h1:6379,h2:6379")
        if parts.path not in ("", "/", "/0"):
            raise ValueError("must end after the hosts: a cluster has database 0 only")
    else:
        _check_hosts(parts.hosts, "redis://127.0.0.1:6379/0", most=1)
        if not re.fullmatch(f"/?{_DATABASE}", parts.path):
            raise ValueError("must look like redis://127.0.0.1:6379/0")
    # Last, so that a file that is not there hides nothing that only a person can mend.
    _check_query(parts, only_database_0=kind == "cluster")
    return value.strip()


def names_cluster(url: str) -> bool:
    """Whether a URL that was checked is that of a cluster."""
    return cut_url(url).scheme.endswith("+cluster")


def _check_query(parts: UrlParts, *, only_database_0: bool) -> None:
    """What may follow the ``?``. Files are looked into now: at three in the morning it is too late."""
    options = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    for name, value in options.items():
        if name not in _OPTIONS:
            # An unescaped ? in a password makes the rest of it an option: only what looks like ours is quoted.
            quote = f" {name!r}" if re.fullmatch(r"ssl_[a-z_]{1,30}", name) else ""
            raise ValueError(f"holds the unknown option{quote}; there are {', '.join(_OPTIONS)}")
        if name.startswith("ssl_") and not parts.scheme.startswith("rediss"):
            raise ValueError(f"holds {name} without TLS; it must begin with rediss")
        if name in _FILES:
            try:
                # A key is no certificate; it is tried together with its own.
                path = text(value) if name == "ssl_keyfile" else ca_file(value)
            except ValueError as error:
                raise type(error)(f"{name} {error}") from None
            if not path:
                raise ValueError(f"{name} names no file")
        elif not re.fullmatch(_TAKEN[name][0], value):
            raise ValueError(f"holds {name} with something else than {_TAKEN[name][1]}")
    if only_database_0 and int(options.get("db", 0)):
        raise ValueError("names a database: a cluster has database 0 only")
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("holds ssl_keyfile without ssl_certfile")
    if "ssl_certfile" in options:
        key_pair(options["ssl_certfile"], options.get("ssl_keyfile"))


def _check_hosts(hosts: str, example: str, *, most: int = 100) -> None:
    names = hosts.split(",")
    if len(names) > most:
        raise ValueError(
            "names several hosts; redis+sentinel:// and redis+cluster:// take a list, redis:// and rediss:// one server"
        )
    for place, name in enumerate(names, start=1):
        match = _HOST.fullmatch(name)
        if match is None or int(match[2] or 0) > 65535 or not is_host(match[1]):
            which = f"host {place} of {len(names)} is no host:port" if len(names) > 1 else "must name a host"
            raise ValueError(f"{which}; it must look like {example}, an IPv6 host in brackets")


@dataclass(frozen=True, slots=True)
class Redis:
    """Where the journal is. A user and password within the URL are taken out of it."""

    url: str = setting(
        "BRIDGE_REDIS_URL",
        redis_url,
        "redis://127.0.0.1:6379/0",
        "Redis 7.0 or Valkey 7.2 and later: `redis://`, `rediss://` (TLS) or `unix://`; "
        "`redis+sentinel://h1:26379,h2:26379/mymaster/0` for the master that sentinels name; "
        "`redis+cluster://h1:6379,h2:6379` for the node of a cluster that holds the namespace; "
        "`rediss+sentinel://` and `rediss+cluster://` with TLS. With TLS `?ssl_ca_certs=/etc/ssl/corp.pem` names the "
        "file of a private authority, `&ssl_certfile=…&ssl_keyfile=…` a certificate of ours.",
        quoted=False,
    )
    username: str = setting(
        "BRIDGE_REDIS_USERNAME",
        text,
        "",
        "User of Redis's ACL; not used for sentinels.",
        # Taken out of a URL it may be a password that lacks its colon.
        quoted=False,
    )
    password: Secret[str] = secret(  # noqa: RUF009 - a dataclasses.field() with metadata
        "BRIDGE_REDIS_PASSWORD", secret_text, "Password of that user; not used for sentinels."
    )
    sentinel_password: Secret[str] = secret(  # noqa: RUF009 - a dataclasses.field() with metadata
        "BRIDGE_REDIS_SENTINEL_PASSWORD",
        secret_text,
        "Password of the sentinels' default user (their `requirepass`), where they have one.",
    )
    sharded: Literal["off", "beside", "instead"] = setting(
        "BRIDGE_REDIS_SHARDED",
        one_of("off", "beside", "instead"),
        "off",
        "How the worker publishes what concerns a mailbox in a cluster (`redis+cluster://`). `instead`: by SPUBLISH on "
        "`{<namespace>}:mailbox:<address>`, which only the node that holds the namespace handles, and no longer by "
        "PUBLISH on `<namespace>:mailbox:<address>`, which goes to every node. `beside`: by both. Edges see which, and "
        "follow. `instead` is for where no other service listens to single mailboxes, and no edge is older than this "
        "setting.",
    )
