"""Every call that leaves the machine takes one way: published keys go where the provider's calls go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from bridge.access.refused import Refused
from bridge.app.doors import running_verifier
from bridge.commands.token import _check
from bridge.settings import Settings, load_settings
from tests.support.certificates import Authority, make_authority
from tests.support.connect_proxy import ConnectProxy, connect_proxy
from tests.support.waiting import PATIENCE_S

KEY = ec.generate_private_key(ec.SECP256R1())
TOKEN = jwt.encode({"sub": "bob@gzdev.com", "exp": 4_000_000_000}, KEY, "ES256", headers={"kid": "a"})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"), addresses=["127.0.0.1"])


@pytest.fixture
async def issuer(authority: Authority) -> AsyncIterator[int]:
    """The port of a company's own issuer, behind TLS."""

    async def keys(_: web.Request) -> web.Response:
        key: dict[str, Any] = ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
        return web.json_response({"keys": [{**key, "kid": "a", "use": "sig"}]})

    app = web.Application()
    app.router.add_get("/keys", keys)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=authority.server)
    await site.start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def proxy() -> AsyncIterator[ConnectProxy]:
    async with connect_proxy() as running:
        yield running


async def proved(settings: Settings) -> bool:
    """Whether an edge with these settings proves the token, and ``token --check`` says the same."""
    async with running_verifier(settings) as verifier:
        try:
            await verifier.verify(TOKEN)
        except Refused:
            return False
    return all(check.passed for check in await _check(settings, TOKEN))


def settings_for(port: int, **more: str) -> Settings:
    return load_settings({"BRIDGE_EDGE_JWKS_URL": f"https://127.0.0.1:{port}/keys", **more})


async def test_published_keys_come_through_the_proxy_and_by_the_file(
    issuer: int, authority: Authority, proxy: ConnectProxy
) -> None:
    """By either name of the settings, and by the machine's ``HTTPS_PROXY``."""
    known = {"BRIDGE_EGRESS_CA_FILE": str(authority.ca_file), "BRIDGE_EGRESS_NO_PROXY": "elsewhere.net"}
    for name in ("BRIDGE_EGRESS_PROXY", "BRIDGE_PROVIDER_PROXY", "HTTPS_PROXY"):
        before = len(proxy.targets)
        assert await proved(settings_for(issuer, **known, **{name: proxy.url}))
        assert proxy.targets[before:] == [f"127.0.0.1:{issuer}"] * 2


@pytest.mark.parametrize("hosts", ["127.0.0.0/8", "10.0.0.0/8, 127.0.0.1", "*", ""])
async def test_no_proxy_holds_for_them_too(issuer: int, authority: Authority, proxy: ConnectProxy, hosts: str) -> None:
    """Networks and addresses alike; this machine's own are never behind one unless somebody says so."""
    direct = {"BRIDGE_EGRESS_CA_FILE": str(authority.ca_file), "HTTPS_PROXY": proxy.url, "NO_PROXY": hosts}
    assert await proved(settings_for(issuer, **direct))
    assert proxy.targets == proxy.refused == []


async def test_operators_are_told_what_was_in_the_way_and_strangers_are_not(
    issuer: int, proxy: ConnectProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxy and certificate stand in the log; the refusal, which anybody may read, names no host of the company's."""
    caplog.set_level(logging.INFO)
    through = {"BRIDGE_EGRESS_PROXY": proxy.url, "BRIDGE_EGRESS_NO_PROXY": "elsewhere.net"}
    for closed, why in (({issuer}, "gave no tunnel to"), (set(), "certificate verify failed")):
        proxy.closed_ports = set(closed)
        caplog.clear()
        async with running_verifier(settings_for(issuer, **through)) as verifier:
            with pytest.raises(Refused, match="the JWKS URL cannot be reached") as refused:
                await asyncio.wait_for(verifier.verify(TOKEN), PATIENCE_S)
        assert "127.0.0.1" not in refused.value.message
        [line] = [record for record in caplog.records if record.message == "published keys cannot be had"]
        assert why in line.why
