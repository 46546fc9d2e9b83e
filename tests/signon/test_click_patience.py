"""A provider that takes the question and says nothing: the person is told within a bound."""

from __future__ import annotations

import aiohttp
from aiohttp import web

from bridge.app.doors import build_access, build_origins, running_verifier
from bridge.app.parts import build_reader, redis_address
from bridge.app.provider import running_client
from bridge.journal.clicks import Clicks
from bridge.journal.standing import Standings
from bridge.obs.metrics import Metrics
from bridge.provider.bizmail.ports import BizMailLogin
from bridge.settings import load_settings
from bridge.signon.door import Door
from bridge.signon.signon import SignOn
from bridge.simulator import Kind, Simulator
from tests.support.clicks import HTML, Browser, credentials
from tests.support.stage import KEYS, SECRET
from tests.support.waiting import PATIENCE_S


async def test_a_silent_provider(redis_url: str, simulator: Simulator) -> None:
    """502 and the page, long before the client's own patience or the browser's ends."""
    simulator.faults.on(Kind.SILENT, endpoint="mail/authkey")
    settings = load_settings(
        credentials(simulator, BRIDGE_REDIS_URL=redis_url, BRIDGE_EDGE_JWT_SECRET=SECRET, BRIDGE_SIGNON_RATE="5")
    )
    metrics = Metrics()
    redis = redis_address(settings).client(timeout_s=PATIENCE_S)
    async with (
        running_verifier(settings) as verifier,
        running_client(settings, redis, metrics) as client,
        aiohttp.ClientSession() as session,
    ):
        signon = SignOn(
            door=Door(
                build_access(settings, verifier, build_reader(settings, redis)),
                build_origins(settings),
                Standings(redis, KEYS),
                kick_s=settings.edge.kick_s,
            ),
            login=BizMailLogin(client),
            ledger=Clicks(redis, KEYS, audit_max=100, audit_s=3600),
            metrics=metrics,
            login_page=f"{settings.provider.auth_url}/",
            scope=None,
            clicks_a_minute=lambda: settings.signon.rate,
            trusted_proxies=lambda: settings.edge.trusted_proxies,
            provider_s=0.1,
        )
        app = web.Application()
        signon.mount(app)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        browser = Browser(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
        answer = await browser.click(**HTML)
        assert (answer.status, answer.page.facts["data-result"]) == (502, "away")
        await runner.cleanup()
    await redis.aclose()
