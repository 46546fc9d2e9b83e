"""``doctor --prometheus``: whether the alerts are loaded, something is measured, and somebody would be told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from bridge.doctor import alerts
from bridge.doctor.alerts import shipped_alerts
from bridge.doctor.means import Means
from tests.support.healthy import codes, judged
from tests.support.prometheus import RULES, scraping
from tests.support.waiting import until


def means_of(url: str) -> Means:
    return Means(units={}, operator=None, prometheus=url)


async def test_a_real_prometheus_without_alerts_or_anybody_to_tell(
    require_binary: Callable[[str], str], tmp_path: Path
) -> None:
    """One rule is left out: it is named. Nothing is scraped, no Alertmanager is named: both are said."""
    text = (RULES / "rules.yml").read_text()
    first, second = text.index("      - alert: "), text.index("      - alert: ", text.index("      - alert: ") + 1)
    rules = text[:first] + text[second:]
    async with scraping(require_binary("prometheus"), tmp_path, {}, rules=rules) as prometheus:

        async def loaded() -> bool:
            async with prometheus.session.get(f"{prometheus.url}/api/v1/rules") as answer:
                return answer.status == 200 and bool((await answer.json())["data"]["groups"])

        await until(loaded)
        outcome = await judged(alerts.CHECK, means_of(prometheus.url))
    assert codes(outcome) == ["alerts-missing", "nothing-measured", "nobody-told"]
    assert outcome.findings[0].facts["names"] == text[first:second].split("alert: ")[1].split()[0]


@asynccontextmanager
async def answering(firing: str = "") -> AsyncIterator[str]:
    """What a Prometheus answers where all is well, but for one alert."""
    rules = [
        {"type": "alerting", "name": name, "state": "firing" if name == firing else "inactive"}
        for name in shipped_alerts()
    ]

    async def answer(request: web.Request) -> web.Response:
        data = {
            "rules": {"groups": [{"rules": rules}]},
            "query": {"result": [{}]},
            "alertmanagers": {"activeAlertmanagers": [{}]},
        }
        return web.json_response({"status": "success", "data": data[request.match_info["what"]]})

    app = web.Application()
    app.router.add_get("/api/v1/{what}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_what_is_well_is_told_nothing_and_what_fires_is_named() -> None:
    """Everything loaded, measured and routed; one alert fires; nobody there; no URL."""
    async with answering() as url:
        assert codes(await judged(alerts.CHECK, means_of(f"{url}/"))) == []
        assert codes(await judged(alerts.CHECK, means_of(f"{url}/elsewhere"))) == ["prometheus-away"]
    async with answering("ExmailBridgeDown") as url:
        assert codes(await judged(alerts.CHECK, means_of(url))) == ["alerts-fire"]
    assert codes(await judged(alerts.CHECK, means_of("http://127.0.0.1:1"))) == ["prometheus-away"]
    assert codes(await judged(alerts.CHECK, means_of(""))) == ["?no-prometheus"]
