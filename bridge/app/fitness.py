"""Whether programs can be started with these settings, as far as that can be known without the network.

The start and ``config check`` use the same function. It builds the parts of the programs, so that the check finds
everything that would refuse its settings at the start.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final

from aiohttp import web

from bridge.app.egress import build_egress
from bridge.app.parts import redis_address
from bridge.app.public_port import cookie_path, route_below
from bridge.settings import Settings, SettingsError, SettingsFileError, calling, require_for
from bridge.settings.redis import names_cluster


def check_fitness(settings: Settings, *programs: str, processes: int = 1) -> None:
    """Make sure that ``programs`` (``worker``, ``edge``, ``signon``) can be started; ``processes``: of ``edge``.

    Settings of other programs are checked too.

    Raises:
        SettingsFileError: files that are named cannot be used, and nothing else is wrong.
        SettingsError: something else is wrong; one line for each fault.
    """
    problems: list[str] = []
    for program in programs:
        try:
            require_for(settings, program, processes=processes)
            build_egress(settings, *(url for _, url in calling(settings, program)))
        except SettingsFileError:
            # The file of certificates, which is reported below.
            continue
        except SettingsError as error:
            problems += [each for each in error.problems if each not in problems]
    of_files: list[str] = []
    for variable, make in _PARTS:
        try:
            make(settings)
        except SettingsFileError as error:
            of_files += error.problems
        except SettingsError as error:
            problems += error.problems
        except ValueError as error:
            problems.append(f"{variable}: {error}")
        except (OSError, ssl.SSLError) as error:
            of_files.append(f"{variable}: {error}")
    if problems:
        raise SettingsError([*problems, *of_files])
    if of_files:
        raise SettingsFileError(of_files)


# The edge's parts are imported only if something is set for them: a worker does not need the edge.


def _sharded(settings: Settings) -> None:
    if settings.redis.sharded != "off" and not names_cluster(settings.redis.url):
        raise ValueError("only a cluster has shards; BRIDGE_REDIS_URL must begin with redis+cluster://")


def _origins(settings: Settings) -> None:
    if not settings.edge.public_url and not settings.edge.allowed_origins:
        return
    from bridge.app.doors import build_origins

    build_origins(settings)


def _verifier(settings: Settings) -> None:
    secrets = settings.edge.jwt_secrets
    if not secrets:
        return
    from bridge.access.secret import SecretVerifier

    try:
        SecretVerifier(secrets)
    except ValueError as error:
        kind = SettingsFileError if secrets.of_file else SettingsError
        raise kind([f"BRIDGE_EDGE_JWT_SECRET: {error}"]) from None


def _herald(settings: Settings) -> None:
    """Who may say who asks must be named: the default is meant for what a mistake about costs little."""
    edge = settings.edge
    named = settings.sources["BRIDGE_EDGE_TRUSTED_PROXIES"] != "default" and edge.trusted_proxies
    if edge.auth_header and not named:
        raise ValueError("set BRIDGE_EDGE_TRUSTED_PROXIES too, to the proxies that may say who asks")


def _office(settings: Settings) -> None:
    """Without a name the OA would be asked about nobody, or be sent what is none of its business."""
    if settings.edge.auth_url and not settings.edge.auth_cookies:
        raise ValueError("set BRIDGE_EDGE_AUTH_COOKIES too, to the OA's session cookies")


def _routes(settings: Settings) -> None:
    async def nothing(_request: web.Request) -> web.Response:
        return web.Response()

    web.Application().router.add_get(f"{route_below(settings.edge.public_url)}/ws", nothing)
    cookie_path(settings.edge.public_url)


_PARTS: Final[tuple[tuple[str, Callable[[Settings], object]], ...]] = (
    ("BRIDGE_REDIS_URL", lambda settings: redis_address(settings).client()),
    ("BRIDGE_REDIS_SHARDED", _sharded),
    ("BRIDGE_EGRESS_PROXY", build_egress),
    ("BRIDGE_EDGE_PUBLIC_URL, BRIDGE_EDGE_ALLOWED_ORIGINS", _origins),
    ("BRIDGE_EDGE_JWT_SECRET", _verifier),
    ("BRIDGE_EDGE_AUTH_HEADER", _herald),
    ("BRIDGE_EDGE_AUTH_URL", _office),
    ("BRIDGE_EDGE_PUBLIC_URL", _routes),
)
