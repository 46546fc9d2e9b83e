"""The settings of the edge: where it is, who may talk to it, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.settings.secret import Secret
from bridge.settings.setting import optional, secret, setting
from bridge.settings.values import (
    COOKIE_NAME,
    Address,
    Network,
    address,
    cookie_names,
    http_url,
    integer,
    jwt_secrets,
    matching,
    networks,
    number,
    origins,
    text,
)

_STOP_S: Final = 10.0
"""What the end of a process takes besides: Redis that does not answer, goodbyes that nobody takes."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What browsers talk to, and who may."""

    listen: Address = setting(
        "BRIDGE_EDGE_LISTEN", address, "127.0.0.1:8080", "Where browsers, or the proxy, connect.", unit="host:port"
    )
    public_url: str = setting(
        "BRIDGE_EDGE_PUBLIC_URL",
        optional(http_url, ""),
        "",
        "The edge as browsers see it; its origin is allowed, its path prefix accepted and removed.",
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "BRIDGE_EDGE_TRUSTED_PROXIES",
        networks,
        "loopback",
        "Addresses and networks, commas; only from these is `X-Forwarded-*` believed. `loopback`, `none`.",
        live=True,
    )
    allowed_origins: tuple[str, ...] = setting(
        "BRIDGE_EDGE_ALLOWED_ORIGINS",
        origins,
        "",
        "Exact origins, commas, allowed beside the edge's own.",
        live=True,
    )
    jwt_secrets: Secret[tuple[bytes, ...]] = secret(
        "BRIDGE_EDGE_JWT_SECRET",
        jwt_secrets,
        "Secret of HS256/384/512 tokens, 32 bytes or more of its UTF-8, bytes after `base64:`; several = one a line, "
        "all verify. `edge` needs this or the next, never both.",
    )
    jwks_url: str = setting(
        "BRIDGE_EDGE_JWKS_URL", optional(http_url, ""), "", "Public keys of RS/ES tokens; instead of a secret."
    )
    jwks_keep_s: int = setting(
        "BRIDGE_EDGE_JWKS_KEEP",
        integer(60, 31_536_000),
        "86400",
        "How long keys that were fetched go on to verify while their URL gives none; an empty set is an answer.",
        unit="seconds",
    )
    jwt_audience: str = setting("BRIDGE_EDGE_JWT_AUDIENCE", text, "", "Required `aud`; empty: not looked at.")
    jwt_issuer: str = setting("BRIDGE_EDGE_JWT_ISSUER", text, "", "Required `iss`; empty: not looked at.")
    jwt_claim: str = setting(
        "BRIDGE_EDGE_JWT_CLAIM", matching(r"[\x21-\x7e]{1,128}", "sub"), "sub", "Claim that names the mailbox."
    )
    cookie: str = setting(
        "BRIDGE_EDGE_COOKIE",
        matching(COOKIE_NAME, "exmail_bridge"),
        "exmail_bridge",
        "Cookie that may carry the token.",
    )
    auth_header: str = setting(
        "BRIDGE_EDGE_AUTH_HEADER",
        optional(matching(r"[A-Za-z0-9-]{1,64}", "X-Exmail-Mailbox"), ""),
        "",
        "Header in which a trusted proxy that has signed people in names the mailbox; with it nobody need sign tokens. "
        "Needs `BRIDGE_EDGE_TRUSTED_PROXIES`, and the proxy must take away what browsers send under that name.",
    )
    auth_url: str = setting(
        "BRIDGE_EDGE_AUTH_URL",
        optional(http_url, ""),
        "",
        "URL of the OA that says whose session the cookies of `BRIDGE_EDGE_AUTH_COOKIES` are; with it nobody need sign "
        "tokens. It answers 200 with JSON that names the mailbox, or 401.",
    )
    auth_cookies: tuple[str, ...] = setting(
        "BRIDGE_EDGE_AUTH_COOKIES",
        cookie_names,
        "",
        "Names of the OA's session cookies, commas; of a browser's cookies the OA is sent these and no others.",
    )
    auth_keep_s: int = setting(
        "BRIDGE_EDGE_AUTH_KEEP",
        integer(0, 86_400),
        "900",
        "How long those who are connected stay so beyond the OA's last answer while it gives none; who comes anew is "
        "told to come later.",
        unit="seconds",
    )
    kick_s: int = setting(
        "BRIDGE_EDGE_KICK_SECONDS",
        integer(60, 31_536_000),
        "86400",
        "How long a session that was ended stays out, and an address that came to mean another person asks for a token "
        "with a newer `iat`; at least the longest life of your tokens.",
        unit="seconds",
    )
    request_timeout_s: int = setting(
        "BRIDGE_EDGE_REQUEST_TIMEOUT",
        integer(1, 3600),
        "65",
        "A connection that sends no whole request head for so long is closed, the next on a kept connection too; so "
        "is one that does not take its answer. Longer than the proxy keeps its own.",
        unit="seconds",
    )
    max_connections: int = setting(
        "BRIDGE_EDGE_MAX_CONNECTIONS",
        optional(integer(1, 10_000_000), 0),
        "",
        "Open connections of one process; who comes beyond it is told to come later. Not set: what the limit of "
        "descriptors leaves beside what the process itself needs.",
        unit="connections",
        live=True,
    )
    per_address: int = setting(
        "BRIDGE_EDGE_PER_ADDRESS",
        integer(0, 10_000_000),
        "0",
        "Of them from one client address (of IPv6 one /64), found by `BRIDGE_EDGE_TRUSTED_PROXIES`; who comes beyond "
        "it is told to come later. 0: any number. A company behind one address has all its browsers there.",
        unit="connections",
        live=True,
    )
    per_mailbox: int = setting(
        "BRIDGE_EDGE_PER_MAILBOX",
        integer(0, 10_000_000),
        "0",
        "Of them to one mailbox; who comes beyond it is told not to come back. 0: any number.",
        unit="connections",
        live=True,
    )
    handshake_rate: int = setting(
        "BRIDGE_EDGE_HANDSHAKE_RATE",
        integer(0, 100_000),
        "2500",
        "Openings of connections that one process takes on; who comes beyond it is told to come later, so that open "
        "connections get their mails while everybody comes back. 0: any number.",
        unit="openings a second",
        live=True,
    )
    max_life_s: int = setting(
        "BRIDGE_EDGE_MAX_LIFE",
        integer(10, 31_536_000),
        "7200",
        "How long a connection lives, 20 % more or less; then it is told to come back, and so finds its way to edges "
        "that were added or restarted.",
        unit="seconds",
        live=True,
    )
    drain_s: float = setting(
        "BRIDGE_EDGE_DRAIN",
        number(0, 120),
        "10",
        "A process that stops sends its connections away evenly over this time. 0: all at once, "
        "which suits a lone edge.",
        unit="seconds",
        live=True,
    )
    drain_delay_s: float = setting(
        "BRIDGE_EDGE_DRAIN_DELAY",
        number(0, 60),
        "0",
        "Before that, `/readyz` says 503 for so long while the port still accepts, for "
        "balancers that ask now and then.",
        unit="seconds",
        live=True,
    )
    admin_listen: Address = setting(
        "BRIDGE_EDGE_ADMIN_LISTEN",
        address,
        "127.0.0.1:9102",
        "`/metrics`, `/livez`, `/readyz` of the edge, +1 for each further process; port 0 takes any.",
        unit="host:port",
    )

    @property
    def stop_s(self) -> float:
        """How long a process that is told to stop may take, in seconds; everybody who waits for it waits so long."""
        return self.drain_delay_s + self.drain_s + _STOP_S
