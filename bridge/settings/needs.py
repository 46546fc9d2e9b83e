"""Checks over several settings: what a program needs, and what must not be set twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from bridge.settings.errors import SettingsError
from bridge.settings.table import Settings
from bridge.settings.values import Address

_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - compared with, never listened on
_LAST_PORT: Final = 65535


def require_for(settings: Settings, command: str, *, processes: int = 1) -> None:
    """Check what ``command`` (``worker``, ``edge``, ``signon``, ``api``) needs, and what must not be set twice.

    Raises:
        SettingsError: what is missing or set twice.
    """
    if problems := list(_unmet(settings, command, processes=processes)):
        raise SettingsError(problems)


def _unmet(settings: Settings, command: str, *, processes: int = 1) -> Iterator[str]:
    """Yield what is missing, or set twice, for ``command`` (``worker``, ``edge``, ``signon``, ``api``).

    ``processes``: of ``edge --workers``, each of which has an admin port of its own.
    """
    if command in ("worker", "signon", "api"):
        given = {
            "BRIDGE_PROVIDER_CLIENT_ID": bool(settings.provider.client_id),
            "BRIDGE_PROVIDER_CLIENT_SECRET": bool(settings.provider.client_secret),
        }
        yield from (f"{variable} is not set; {command} needs it" for variable, there in given.items() if not there)
    edge = settings.edge
    by_token = bool(edge.jwt_secrets), bool(edge.jwks_url)
    if command in ("edge", "signon") and (all(by_token) or not (any(by_token) or edge.auth_header or edge.auth_url)):
        how = "both are set" if edge.jwks_url else "neither is set, nor BRIDGE_EDGE_AUTH_HEADER or _AUTH_URL"
        yield f"BRIDGE_EDGE_JWT_SECRET or BRIDGE_EDGE_JWKS_URL: {command} needs exactly one, {how}"
    if command == "signon" and settings.signon.mode == "off":
        yield "BRIDGE_SIGNON is off, and signon serves nothing else"
    admin = edge.admin_listen
    if command == "edge" and admin.port and processes > 1 and admin.port + processes > _LAST_PORT:
        yield (
            f"BRIDGE_EDGE_ADMIN_LISTEN: {processes} processes take the {processes} ports above {admin.port}, and the "
            f"last port is {_LAST_PORT}"
        )
        return
    for (one, its), (other, others) in combinations(listening(settings, command, processes=processes), 2):
        if one != other and its.port == others.port and its.port and _meet(its.host, others.host):
            yield f"{other}: port {others.port} is that of {one} too"
            return


def listening(settings: Settings, command: str, *, processes: int = 1) -> Iterator[tuple[str, Address]]:
    """Yield the addresses that ``command`` listens on, each with the variable that says so."""
    if command == "worker":
        yield "BRIDGE_WORKER_ADMIN_LISTEN", settings.worker.admin_listen
    elif command == "signon":
        yield "BRIDGE_SIGNON_LISTEN", settings.signon.listen
        yield "BRIDGE_SIGNON_ADMIN_LISTEN", settings.signon.admin_listen
    elif command == "edge":
        yield "BRIDGE_EDGE_LISTEN", settings.edge.listen
        host, port = settings.edge.admin_listen
        for number in range(processes + 1 if processes > 1 and port else 1):
            yield "BRIDGE_EDGE_ADMIN_LISTEN", Address(host, port + number)


def calling(settings: Settings, command: str) -> Iterator[tuple[str, str]]:
    """Yield the URLs that ``command`` calls, each with the variable that says so."""
    known = bool(settings.provider.client_id) and bool(settings.provider.client_secret)
    clicks = command == "signon" or (command == "edge" and known and settings.signon.mode != "off")
    if command in ("worker", "api") or clicks:
        yield "BRIDGE_PROVIDER_API_URL", settings.provider.api_url
        yield "BRIDGE_PROVIDER_AUTH_URL", settings.provider.auth_url
    if command in ("edge", "signon") and settings.edge.jwks_url:
        yield "BRIDGE_EDGE_JWKS_URL", settings.edge.jwks_url
    if command in ("edge", "signon") and settings.edge.auth_url:
        yield "BRIDGE_EDGE_AUTH_URL", settings.edge.auth_url


def _meet(one: str, other: str) -> bool:
    return one == other or one in _ANY or other in _ANY
