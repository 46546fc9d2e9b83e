"""Checks of the settings that need the network: host names, ports, and Redis with its database.

None of these faults is permanent: a name can be registered, a port become free, a server be started.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from redis.asyncio import Redis

from bridge.app.egress import build_egress
from bridge.app.parts import build_reader, redis_address
from bridge.journal.errors import JournalError
from bridge.journal.keys import Keys
from bridge.journal.mirror import Mirror
from bridge.journal.standing import Standings
from bridge.obs.port import take_port
from bridge.settings import Settings, calling, listening

_WITHIN_S: Final = 5.0


async def online_problems(settings: Settings, *programs: str, processes: int = 1) -> list[str]:
    """Try what ``programs`` would use; return what does not work, one line each.

    Without programs: Redis, and all hosts in the settings. ``processes``: of ``edge``.
    """
    tried = await asyncio.gather(
        _redis(settings, programs),
        *_lookups(settings, programs),
        *(
            _port(variable, *address)
            for program in programs
            for variable, address in dict.fromkeys(listening(settings, program, processes=processes))
        ),
    )
    return [problem for problem in tried if problem]


async def unknown_names(settings: Settings, *programs: str, also: Mapping[str, str] | None = None) -> list[str]:
    """Look up the hosts that ``programs`` would connect to; return those that are not found, one line each.

    ``also``: further hosts, by the name of the setting that they stand in.
    """
    further = [_name(variable, host) for variable, host in (also or {}).items()]
    tried = await asyncio.gather(*_lookups(settings, programs), *further)
    return [problem for problem in tried if problem]


def _lookups(settings: Settings, programs: Sequence[str]) -> list[Coroutine[Any, Any, str | None]]:
    return [_name(variable, host) for variable, host in _hosts(settings, programs)]


def _hosts(settings: Settings, programs: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The hosts to connect to: those of the URLs, or of the proxy in front of them; each once."""
    egress = build_egress(settings)
    seen: set[str] = set()
    for program in programs or ("worker", "edge"):
        for variable, url in calling(settings, program):
            host = urlsplit(url).hostname or ""
            proxy = egress.proxy_to(host)
            if proxy is not None:
                variable, host = "BRIDGE_EGRESS_PROXY", proxy.host
            if host not in seen:
                seen.add(host)
                yield variable, host


async def _name(variable: str, host: str) -> str | None:
    try:
        async with asyncio.timeout(_WITHIN_S):
            await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        return f"{variable}: {host} is not looked up within {_WITHIN_S:.0f} s"
    except (OSError, UnicodeError) as error:
        return f"{variable}: {host} is not found: {getattr(error, 'strerror', None) or error}"
    return None


async def _port(variable: str, host: str, port: int) -> str | None:
    try:
        sock = await take_port(host, port)
    except OSError as error:
        return f"{variable}: {error.strerror}"
    with sock:
        try:
            sock.listen()
        except OSError as error:
            return f"{variable}: cannot listen on {host}:{port}: {error.strerror}"
    return None


async def checks_of_the_start(settings: Settings, redis: Redis, *programs: str) -> None:
    """Make the checks of Redis that ``programs`` make at their start.

    Raises:
        JournalError
    """
    keys = Keys(settings.namespace, sharded=settings.redis.sharded)
    await build_reader(settings, redis).check()
    if "worker" in programs:
        await Mirror(redis, keys).check()
    if "edge" in programs or "signon" in programs:
        await Standings(redis, keys).check()


async def _redis(settings: Settings, programs: Sequence[str]) -> str | None:
    redis = redis_address(settings).client(timeout_s=_WITHIN_S)
    try:
        async with asyncio.timeout(2 * _WITHIN_S):
            await checks_of_the_start(settings, redis, *programs)
    except TimeoutError:
        return f"BRIDGE_REDIS_URL: no answer within {2 * _WITHIN_S:.0f} s"
    except JournalError as error:
        return f"BRIDGE_REDIS_URL: {error}"
    finally:
        await redis.aclose()
    return None
