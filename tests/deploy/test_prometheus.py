"""Alerts and dashboard against a real Prometheus: a query that finds nothing is a query that nobody can trust.

The rules have tests of their own (``rules_test.yml``); here a Prometheus scrapes a real worker and a real edge that
have lived through a little of everything, and is asked each query of the board and each rule.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.obs.metrics import Metrics
from tests.deploy.programs import ROOT, accepts, bridge, running
from tests.support.browser_side import open_sse, open_ws
from tests.support.processes import free_port
from tests.support.prometheus import RULES, Prometheus, scraping
from tests.support.stage import SECRET, bearer
from tests.support.waiting import PATIENCE_S, until

BOARD = json.loads((ROOT / "dashboards" / "overview.json").read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
BOB = "bob@gzdev.com"


def expressions() -> list[tuple[str, str]]:
    """Each query of the board: the panel's title, and the query as Grafana would send it."""
    return [
        (
            panel["title"],
            re.sub(r"\$(namespace|job|instance)\b", ".*", target["expr"]).replace("$__rate_interval", "1m"),
        )
        for panel in PANELS
        for target in panel["targets"]
    ]


@pytest.fixture
async def prometheus(redis_url: str, require_binary: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that has scraped a worker and an edge several times, after all that metrics tell of happened."""
    program = require_binary("prometheus")
    ports = {name: free_port() for name in ("provider", "worker", "edge", "public")}
    provider, public = (f"http://127.0.0.1:{ports[name]}" for name in ("provider", "public"))
    environ = {
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_PROVIDER_API_URL": provider,
        "BRIDGE_PROVIDER_AUTH_URL": provider,
        "BRIDGE_PROVIDER_CLIENT_ID": "simulated",
        "BRIDGE_PROVIDER_CLIENT_SECRET": "a-secret-of-the-simulator",
        "BRIDGE_WORKER_ADMIN_LISTEN": f"127.0.0.1:{ports['worker']}",
        "BRIDGE_EDGE_ADMIN_LISTEN": f"127.0.0.1:{ports['edge']}",
        "BRIDGE_EDGE_LISTEN": f"127.0.0.1:{ports['public']}",
        "BRIDGE_EDGE_JWT_SECRET": SECRET,
    }
    simulate = ("simulate", "--listen", f"127.0.0.1:{ports['provider']}", "--rate", "20")
    secret = ("--client-secret", environ["BRIDGE_PROVIDER_CLIENT_SECRET"])
    log = tmp_path / "programs.log"
    async with (
        running(*bridge(*simulate, *secret), log=log),
        running(*bridge("worker"), log=log, **environ),
        running(*bridge("edge"), log=log, **environ),
        scraping(program, tmp_path, {"worker": [ports["worker"]], "edge": [ports["edge"]]}) as prometheus,
    ):
        await until(lambda: all(accepts(port) for port in ports.values()))
        await _a_little_of_everything(prometheus.session, provider, public)

        happened = (
            "sum(exmail_bridge_leader) == 1",
            "sum(exmail_bridge_edge_refusals_total) > 0",
            "sum(exmail_bridge_documents_dropped_total) > 0",
            'sum(exmail_bridge_provider_calls_total{outcome!="ok"}) > 0',
            "min(count_over_time(exmail_bridge_edge_closes_total[1m])) > 3",
        )

        async def has_seen_it() -> bool:
            return all([await prometheus.query(expression) for expression in happened])

        await until(has_seen_it)
        yield prometheus


async def _a_little_of_everything(session: aiohttp.ClientSession, provider: str, public: str) -> None:
    async with await open_ws(public, **bearer()) as ws, await open_sse(public, **bearer()) as sse:
        await ws.until("exmail.snapshot")
        # Traffic goes on: an event says that the worker listens.
        await ws.events(1)
        commands: tuple[tuple[str, dict[str, object]], ...] = (
            ("push", {"text": "no JSON {"}),
            ("cut", {}),
            ("fault", {"kind": "errcode", "value": 1002, "endpoint": "user/list", "times": 1}),
            ("modify-user", {"alias": BOB, "name": "Bob"}),
        )
        for command, arguments in commands:
            async with session.post(f"{provider}/simulator/{command}", json=arguments) as answer:
                assert answer.status == 200, await answer.text()
        for client in (ws, sse):
            # Traffic goes on: an event says that the worker has come back.
            await client.events(1)
    async with await open_sse(public, Authorization="Bearer forged") as refused:
        assert await refused.end() == 3500


async def test_every_query_finds_something(prometheus: Prometheus):
    """Each query of the board gives at least one series; the metrics that a rule reads exist; no rule is unwell."""
    empty: list[tuple[str, str]] = []

    async def none_is_empty() -> bool:
        empty[:] = [(title, query) for title, query in expressions() if not await prometheus.query(query)]
        return not empty

    with suppress(TimeoutError):
        await until(none_is_empty)
    assert not empty
    names = set(await prometheus.get("label/__name__/values"))
    groups = (await prometheus.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert rules
    for rule in rules:
        assert rule["health"] == "ok", rule
        read = set(re.findall(r"\b(?:exmail_bridge|process)_\w+", rule["query"]))
        assert read <= names, (rule["name"], read - names)
        await prometheus.query(rule["query"])


async def test_every_metric_is_on_the_board(prometheus: Prometheus):
    """What the bridge counts, somebody can look at."""
    names = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for name in await prometheus.get("label/__name__/values")
        if name.startswith("exmail_bridge_")
    }
    shown = " ".join(query for _, query in expressions())
    assert not {name for name in names if name not in shown}


def test_rules_fire_when_they_should(require_binary: Callable[[str], str]):
    """``promtool`` accepts the files, and each alert fires on its fault and on no ordinary hour."""
    promtool = require_binary("promtool")
    for words in (("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")):
        told = subprocess.run([promtool, *words], cwd=RULES, capture_output=True, text=True, timeout=PATIENCE_S)
        assert told.returncode == 0, told.stdout + told.stderr


def test_alerts_reach_whom_they_are_for(require_binary: Callable[[str], str]):
    """``amtool`` accepts the example and routes each severity of ours; the dead man's switch goes out."""
    amtool = require_binary("amtool")

    def ask(*words: str) -> str:
        told = subprocess.run([amtool, *words], cwd=RULES, capture_output=True, text=True, timeout=PATIENCE_S)
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stdout.strip()

    ask("check-config", "alertmanager.yml")
    severities = set(re.findall(r"severity: (\w+)", (RULES / "rules.yml").read_text()))
    assert severities == {"page", "ticket"}
    route = ("config", "routes", "test", "--config.file=alertmanager.yml", "alertname=X", "namespace=exmail")
    found = {severity: ask(*route, f"severity={severity}") for severity in (*severities, "watchdog")}
    assert found == {"page": "night-shift", "ticket": "tickets", "watchdog": "dead-mans-switch"}
    assert re.search(r"^rule_files: .*watchdog\.yml", (RULES / "prometheus.yml").read_text(), re.MULTILINE)
    named = re.findall(r"ExmailBridge\((.*?)\)", (RULES / "alertmanager.yml").read_text())
    assert named
    alerts = (RULES / "rules.yml").read_text()
    for name in "|".join(named).split("|"):
        assert f"alert: ExmailBridge{name}\n" in alerts


def test_each_alert_is_tested_and_explained():
    """Every alert has a test, and a section in the operator's page under its own name."""
    alerts = re.findall(r"- alert: (\w+)", (RULES / "rules.yml").read_text())
    tested = re.findall(r"^  - name: (Exmail\w+)$", (RULES / "rules_test.yml").read_text(), re.MULTILINE)
    explained = re.findall(r"^### (Exmail\w+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    assert len(alerts) == len(set(alerts))
    assert sorted(alerts) == sorted(tested) == sorted(explained)


def test_the_rules_are_tested_with_what_is_exported():
    """A series that a test of the rules makes up is one that ``/metrics`` has, name and values of labels."""
    exported: dict[str, list[dict[str, str]]] = {}
    for family in text_string_to_metric_families(Metrics(namespace="exmail").render().decode()):
        for sample in family.samples:
            exported.setdefault(sample.name, []).append(sample.labels)
    made_up = re.findall(r"'(exmail_bridge_\w+)\{(.*?)\}'", (RULES / "rules_test.yml").read_text())
    assert len(made_up) > 50
    for name, labels in made_up:
        ours = dict(re.findall(r'(\w+)="(.*?)"', labels))
        assert ours.pop("job").startswith("exmail-bridge-")
        del ours["instance"]
        # A second corporation beside the first.
        ours["namespace"] = "exmail"
        assert ours in exported.get(name, []), (name, ours)


def test_every_rule_names_values_that_are_said():
    """What a rule asks of a label, by equality or by pattern, some series can answer."""
    page = Metrics().render().decode()
    for name, matcher in re.findall(r"(exmail_bridge_\w+)\{([^}]*)\}", (RULES / "rules.yml").read_text()):
        for label, _, pattern in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matcher):
            told = set(re.findall(rf'^{name}{{.*?\b{label}="(.*?)".*}}', page, re.MULTILINE))
            assert told, (name, label)
            for part in pattern.split("|"):
                assert any(re.fullmatch(part, value) for value in told), (name, label, part)


def test_the_board_can_be_imported():
    """Grafana needs unique ids, a datasource that is a variable, and panels that do not overlap."""
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    variables = {each["name"]: each["type"] for each in BOARD["templating"]["list"]}
    assert variables == {"datasource": "datasource", "namespace": "query", "job": "query", "instance": "query"}
    chosen = 'namespace=~"$namespace",job=~"$job",instance=~"$instance"'
    for panel in PANELS:
        for target in panel["targets"]:
            read = re.findall(r"\b(?:exmail_bridge|process)_\w+(?:\{[^}]*\})?", target["expr"])
            assert read
            assert all(chosen in each for each in read), target["expr"]
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["description"]


def test_the_board_is_explained():
    """Each panel stands in ``dashboards/README.md``, under the question that it answers."""
    page = (ROOT / "dashboards" / "README.md").read_text()
    assert not [panel["title"] for panel in PANELS if f"**{panel['title']}**" not in page]
