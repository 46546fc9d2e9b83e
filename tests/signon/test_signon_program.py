"""``exmail-bridge signon``: a process of its own, with its admin port, its refusals to start and its end."""

from __future__ import annotations

import aiohttp
import pytest

from bridge.journal.embedded import EmbeddedServer
from bridge.settings import SettingsError, load_settings, require_for
from bridge.simulator import Simulator
from tests.support.clicks import Browser, credentials
from tests.support.processes import free_port, program
from tests.support.stage import BOB, SECRET, bearer
from tests.support.waiting import until

COMPLETE = {
    "BRIDGE_PROVIDER_CLIENT_ID": "corp",
    "BRIDGE_PROVIDER_CLIENT_SECRET": "an-interface-key",
    "BRIDGE_EDGE_JWT_SECRET": SECRET,
}


async def test_it_serves_and_ends(own_server: EmbeddedServer, simulator: Simulator) -> None:
    """Ready when Redis answers, alive when it does not; shows its own metrics and no other part's; SIGTERM ends it."""
    port = free_port()
    environ = credentials(
        simulator,
        BRIDGE_REDIS_URL=own_server.url,
        BRIDGE_EDGE_JWT_SECRET=SECRET,
        BRIDGE_SIGNON_LISTEN=f"127.0.0.1:{port}",
        BRIDGE_SIGNON_ADMIN_LISTEN="127.0.0.1:0",
        BRIDGE_LOG_LEVEL="debug",
    )
    async with program("signon", environ=environ) as signon, aiohttp.ClientSession() as session:
        await signon.ready()
        browser = Browser(session, f"http://127.0.0.1:{port}")
        answer = await browser.get(f"{browser.url}/mail/open", **bearer())
        assert (await browser.get(answer.location)).page.facts["data-mailbox"] == BOB
        [line] = await signon.heard("click on a mail")
        assert (line["result"], line["mailbox"], line["address"]) == ("opened", BOB, "127.0.0.1")
        _, metrics = await signon.admin("/metrics")
        assert 'exmail_bridge_signon_clicks_total{namespace="exmail",result="opened"} 1.0' in metrics
        assert (
            'exmail_bridge_provider_calls_total{endpoint="mail/authkey",namespace="exmail",outcome="ok"} 1.0' in metrics
        )
        assert "exmail_bridge_edge_" not in metrics
        assert "exmail_bridge_leader" not in metrics
        own_server.kill()

        async def unready() -> bool:
            return (await signon.admin("/readyz"))[0] == 503

        await until(unready)
        assert (await signon.admin("/livez"))[0] == 200
        assert await signon.stop() == 0
        assert answer.location.partition("ticket=")[2] not in repr(signon.lines)


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"BRIDGE_PROVIDER_CLIENT_SECRET": ""}, "BRIDGE_PROVIDER_CLIENT_SECRET is not set; signon needs it"),
        ({"BRIDGE_EDGE_JWT_SECRET": ""}, "signon needs exactly one, neither is set"),
        ({"BRIDGE_SIGNON": "off"}, "BRIDGE_SIGNON is off"),
    ],
)
def test_what_it_cannot_do_without(environ: dict[str, str], problem: str) -> None:
    """The provider's credentials, a way to prove tokens, and something to serve."""
    require_for(load_settings(COMPLETE), "signon")
    with pytest.raises(SettingsError, match=problem):
        require_for(load_settings(COMPLETE | environ), "signon")
