"""nginx and HAProxy with the files that come with the bridge serve browsers that come by IPv6."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from tests.support.nginx import running_nginx
from tests.support.processes import free_port, has_ipv6
from tests.support.proxies import Place, running_haproxy

pytestmark = pytest.mark.skipif(not has_ipv6(), reason="IPv6 on this machine")
NOBODY = 9


async def away(port: int, host: str) -> int:
    """What is said where no edge answers."""
    async with aiohttp.ClientSession() as http, http.get(f"http://{host}:{port}/exmail/snapshot") as answer:
        return answer.status


async def test_nginx(require_binary: Callable[[str], str], tmp_path: Path) -> None:
    """As by IPv4."""
    port = free_port()
    async with running_nginx(require_binary("nginx"), tmp_path, port=port, edges=[f"127.0.0.1:{NOBODY}"]):
        assert await away(port, "[::1]") == await away(port, "127.0.0.1")


async def test_haproxy(require_binary: Callable[[str], str], tmp_path: Path) -> None:
    """As by IPv4."""
    place = Place(free_port(), NOBODY, NOBODY)
    async with running_haproxy(require_binary("haproxy"), tmp_path, place):
        assert await away(place.port, "[::1]") == await away(place.port, "127.0.0.1")
