"""``deploy/compose.yaml`` and the files beside it: Docker's own reader takes them, and what they name is there."""

from __future__ import annotations

import io
import ipaddress
import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import COMMANDS, run_command_line
from bridge.settings import load_settings
from bridge.settings.table import TABLE
from tests.deploy.programs import ROOT
from tests.support.composed import COMPOSE, DEPLOY, OURS, make_secrets, resolved, yaml
from tests.support.stopping import longest_stop_s, seconds_of
from tests.support.waiting import PATIENCE_S

PARTS = {"worker": ("worker-1", "worker-2"), "edge": ("edge-1", "edge-2"), "signon": ("signon",)}
Require = Callable[[str], str]


@pytest.fixture
def compose(require_binary: Require) -> str:
    return require_binary("docker-compose")


@pytest.fixture
def everything(compose: str) -> dict[str, Any]:
    """The file with all of its profiles, and nothing set but the client id."""
    return resolved(compose, "--profile", "*", BRIDGE_PROVIDER_CLIENT_ID="corp")


def environ_of(service: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = service["environment"]
    return found


NOTHING = ("--env-file", os.devnull)
DEMO = ("--env-file", str(DEPLOY / "demo.env"))


@pytest.mark.parametrize("profile", [NOTHING, (*NOTHING, "--profile", "operator"), DEMO], ids=("", "operator", "demo"))
def test_the_compose_file_is_valid(profile: tuple[str, ...], compose: str):
    """``docker-compose config`` accepts it without a word, with nothing set, in each profile."""
    told = subprocess.run(
        [compose, "-f", str(COMPOSE), *profile, "config", "-q"], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_a_demonstration_is_a_profile_of_its_own(compose: str, everything: dict[str, Any]):
    """With the demonstration's variables everybody asks the simulated provider, under another project's name and with
    other secrets; without them nothing simulated runs."""
    usual = resolved(compose)
    demo = resolved(compose, "--env-file", str(DEPLOY / "demo.env"))
    assert "provider" not in usual["services"]
    assert set(demo["services"]) - set(usual["services"]) == {"provider"}
    assert set(everything["services"]) - set(demo["services"]) == {"operator"}
    assert demo["name"] != usual["name"]
    provider = demo["services"]["provider"]["command"]
    port = provider[provider.index("--listen") + 1].partition(":")[2]
    for name in ("worker-1", "worker-2", "signon"):
        environ = environ_of(demo["services"][name])
        settings = load_settings({name: value for name, value in environ.items() if not name.endswith("_FILE")}, None)
        assert settings.provider.api_url == settings.provider.auth_url == f"http://provider:{port}"
        assert settings.provider.client_id == provider[provider.index("--client-id") + 1]
        assert set(demo["services"][name]["networks"]) & set(demo["services"]["provider"]["networks"])
    files = [{each["file"] for each in found["secrets"].values()} for found in (usual, demo)]
    assert not files[0] & files[1]


def test_all_that_is_named_is_there(everything: dict[str, Any]):
    """A folder or file that is mounted stands in the checkout, a volume is declared; an image is ours, built from a
    file that is there, or has a version; and a command of ours is one that the command line knows."""
    commands = {command.name for command in COMMANDS}
    for name, service in everything["services"].items():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert Path(volume["source"]).exists(), (name, volume)
                assert volume["read_only"]
            else:
                assert volume["source"] in everything["volumes"]
        for secret in service.get("secrets", []):
            assert secret["source"] in everything["secrets"]
        if service["image"] == "exmail-bridge":
            assert (Path(service["build"]["context"]) / service["build"]["dockerfile"]).samefile(DEPLOY / "Dockerfile")
            assert Path(service["build"]["context"]).samefile(ROOT)
            assert service["command"][0] in commands, name
        else:
            assert re.search(r":v?\d", service["image"]), name


def test_index_and_base_reach_the_build(compose: str):
    """What the shell says of base image and index, and nothing where it says nothing."""
    asked = {"BASE_IMAGE": "registry.corp.com/python:3.13-slim", "PIP_INDEX_URL": "https://pypi.corp.com/simple"}
    built = resolved(compose, **asked)["services"]["edge-1"]["build"]["args"]
    assert {name: built.get(name) for name in asked} == asked
    left = resolved(compose)["services"]["edge-1"]["build"].get("args") or {}
    assert not [value for value in left.values() if value]


def test_every_container_is_bounded_and_closed(everything: dict[str, Any]):
    """Memory, processes and log have an end, the root is read only, no right is kept that is not named, and each says
    how it is."""
    for name, service in everything["services"].items():
        assert int(service["mem_limit"]) <= 2 << 30, name
        assert service["pids_limit"] <= 256, name
        assert service["logging"]["options"] == {"max-size": "20m", "max-file": "5"}, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        # The image of ours says it by itself.
        healthy = service["image"] == "exmail-bridge" or service["healthcheck"]["test"]
        assert healthy, name
    root = {name for name, service in everything["services"].items() if service.get("cap_add")}
    assert root == {"valkey", "proxy"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    return make_secrets(tmp_path / "secrets")


@pytest.mark.parametrize(("part", "service"), [(part, name) for part, names in PARTS.items() for name in names])
def test_the_composed_settings_are_enough(
    part: str, service: str, compose: str, secrets: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every variable is a setting of ours, and ``config check`` says so of all that the container is told, with the
    files that are mounted; the user of Redis is one whose password is mounted, and is named like the part."""
    found = resolved(compose, BRIDGE_PROVIDER_CLIENT_ID="corp", SECRETS=str(secrets))
    told = found["services"][service]
    mounted = {each["target"]: found["secrets"][each["source"]]["file"] for each in told["secrets"]}
    assert told["command"] == [part]
    known = {setting.variable for setting in TABLE}
    for name in list(os.environ):
        if name.startswith("BRIDGE_"):
            monkeypatch.delenv(name)
    for name, value in environ_of(told).items():
        assert name.removesuffix("_FILE") in known
        monkeypatch.setenv(name, mounted[value] if name.endswith("_FILE") else value)
    with redirect_stdout(io.StringIO()) as said:
        code = run_command_line(["config", "check", "--for", part])
    assert (code, said.getvalue()) == (0, "the settings are valid\n")
    environ = environ_of(told)
    assert environ["BRIDGE_REDIS_USERNAME"] == part
    assert mounted[environ["BRIDGE_REDIS_PASSWORD_FILE"]] == str(secrets / "redis" / part)
    assert set(mounted) == {value for name, value in environ.items() if name.endswith("_FILE")}


def test_two_of_a_kind_are_alike(everything: dict[str, Any]):
    """Workers and edges differ in nothing but where they are."""
    for names in PARTS.values():
        told = [
            {key: value for key, value in everything["services"][name].items() if key not in ("ports", "networks")}
            for name in names
        ]
        assert told == told[:1] * len(names)


def test_our_proxy_is_believed_and_nobody_else(compose: str):
    """Edges and sign-on believe one address, which is nginx's own in the network where they meet; nobody else can be
    given it. A proxy before ours is believed, too, if it is named."""
    found = resolved(compose)
    services, front = found["services"], found["networks"]["front"]["ipam"]["config"][0]
    [proxy] = [name for name, service in services.items() if service["image"].startswith("nginx:")]
    address = services[proxy]["networks"]["front"]["ipv4_address"]
    fixed = [
        service["networks"]["front"]["ipv4_address"]
        for service in services.values()
        if (service["networks"].get("front") or {}).get("ipv4_address")
    ]
    assert len(fixed) == len(set(fixed)) == 4
    given_out = ipaddress.ip_network(front["ip_range"])
    assert given_out.subnet_of(ipaddress.ip_network(front["subnet"]))
    for each in (*fixed, front["gateway"]):
        assert ipaddress.ip_address(each) not in given_out
        assert ipaddress.ip_address(each) in ipaddress.ip_network(front["subnet"])
    with_oa = resolved(compose, OA_PROXY="10.0.0.5")["services"]
    for name in ("edge-1", "edge-2", "signon"):
        variable = "BRIDGE_EDGE_TRUSTED_PROXIES"
        trusted = load_settings({variable: environ_of(services[name])[variable]}, None).edge.trusted_proxies
        assert [str(each) for each in trusted] == [f"{address}/32"]
        trusted = load_settings({variable: environ_of(with_oa[name])[variable]}, None).edge.trusted_proxies
        assert [str(each) for each in trusted] == [f"{address}/32", "10.0.0.5/32"]


def test_a_proxy_on_the_host_reaches_what_its_file_asks(everything: dict[str, Any]):
    """Browsers' ports, and the edge's health, where HAProxy's and Caddy's files look for them; nothing is reached from
    other machines unless somebody says so."""
    published = [port for service in everything["services"].values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in published} == {"127.0.0.1", "127.0.0.2"}
    reached = {f"{port['host_ip']}:{port['published']}" for port in published}
    assert len(reached) == len(published)
    for file in ("haproxy.cfg", "Caddyfile"):
        lines = re.sub(r"#.*", "", (DEPLOY / "proxy" / file).read_text())
        asked = set(re.findall(r"127\.0\.0\.\d:\d+", lines))
        asked |= {
            f"127.0.0.1:{port}" for port in re.findall(r"check port (\d+)|health_port (\d+)", lines) for port in port
        }
        asked -= {"127.0.0.1:"}
        assert asked
        assert asked <= reached


def test_valkey_keeps_what_it_is_given(everything: dict[str, Any]):
    """The journal's server writes an append-only file, never evicts, knows our users alone, and is reached by the
    bridge alone."""
    valkey = everything["services"]["valkey"]
    command = " ".join(valkey["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    [users] = [each["target"] for each in valkey["secrets"] if each["source"] == "users_acl"]
    assert f"--aclfile {users}" in command
    assert "ports" not in valkey
    assert [everything["networks"][name].get("internal") for name in valkey["networks"]] == [True]
    inside = {name for name, each in everything["services"].items() if set(each["networks"]) & set(valkey["networks"])}
    assert inside == {"valkey", "operator", *OURS}


def test_a_container_lets_the_edge_end_by_itself(everything: dict[str, Any]):
    """Docker waits longer than an edge may take by its settings, as systemd does."""
    for name in PARTS["edge"]:
        assert seconds_of(everything["services"][name]["stop_grace_period"]) > longest_stop_s() + 5


def listening(service: Mapping[str, Any]) -> set[str]:
    return {value.rpartition(":")[2] for name, value in environ_of(service).items() if name.endswith("_LISTEN")}


def test_what_is_scraped_listens(compose: str, everything: dict[str, Any]):
    """Every target of Prometheus is a service that it shares a network with, at its admin port, and each part of ours
    is a target of the job that has its name; its Alertmanager is a service, too."""
    config = yaml(compose, DEPLOY / "prometheus" / "prometheus.yml")
    services = everything["services"]
    seen: dict[str, set[str]] = {}
    for job in config["scrape_configs"]:
        targets = [target for each in job["static_configs"] for target in each["targets"]]
        part = job["job_name"].removeprefix("exmail-bridge-")
        seen[part] = set()
        for target in targets:
            name, _, port = target.partition(":")
            admin = environ_of(services[name])[f"BRIDGE_{part.upper()}_ADMIN_LISTEN"]
            assert admin == f"0.0.0.0:{port}"
            assert set(services[name]["networks"]) & set(services["prometheus"]["networks"])
            seen[part].add(name)
    assert seen == {part: set(names) for part, names in PARTS.items()}
    [told] = config["alerting"]["alertmanagers"]
    [[target]] = [each["targets"] for each in told["static_configs"]]
    name, _, port = target.partition(":")
    assert set(services[name]["networks"]) & set(services["prometheus"]["networks"])
    assert [each["target"] for each in services[name]["ports"]] == [int(port)]


@pytest.mark.parametrize("page", ["deployment", "deployment.zh-CN", "operations", "operations.zh-CN"])
def test_the_pages_name_services_that_there_are(page: str, everything: dict[str, Any]):
    """Each call of Docker on a page; who is told to read secrets again is everybody of ours who reads any."""
    calls = re.findall(r"docker compose ([^`\n]*)", (ROOT / "docs" / f"{page}.md").read_text())
    assert calls
    for call in calls:
        words = re.sub(r"(^| )-(f|p|s) \S+|(^| )--?\w+", "", call).split()
        named = words[1:2] if words[0] in ("run", "exec") else words[1:]
        assert set(named) <= set(everything["services"]), call
        if words[0] == "kill":
            assert tuple(named) == OURS


def test_alerting_has_its_files(compose: str, everything: dict[str, Any]):
    """Alertmanager reads the example until another file is named."""
    mounted = {each["target"]: each["source"] for each in everything["services"]["alertmanager"]["volumes"]}
    [file] = [
        word.partition("=")[2]
        for word in everything["services"]["alertmanager"]["command"]
        if word.startswith("--config.file=")
    ]
    assert Path(mounted[file]).samefile(DEPLOY / "prometheus" / "alertmanager.yml")
    own = resolved(compose, ALERTMANAGER_CONFIG="/etc/ours.yml")["services"]["alertmanager"]["volumes"]
    assert {"/etc/ours.yml"} < {each["source"] for each in own}


def test_grafana_finds_board_and_data_source(compose: str, everything: dict[str, Any]):
    """What it is provided with is YAML that names our board's folder as it is mounted, and a data source of the kind
    that the board's variable asks for, at the port where Prometheus is; its password is a secret."""
    grafana, prometheus = (everything["services"][name] for name in ("grafana", "prometheus"))
    provisioning = DEPLOY / "grafana" / "provisioning"
    mounted = {each["target"]: each["source"] for each in grafana["volumes"]}
    assert Path(mounted["/etc/grafana/provisioning"]).samefile(provisioning)
    [provider] = yaml(compose, provisioning / "dashboards" / "exmail-bridge.yml")["providers"]
    folder = Path(mounted[provider["options"]["path"]])
    boards = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    [kind] = [each["query"] for board in boards for each in board["templating"]["list"] if each["type"] == "datasource"]
    [source] = yaml(compose, provisioning / "datasources" / "prometheus.yml")["datasources"]
    assert source["type"] == kind
    assert source["isDefault"] is True
    port = prometheus["ports"][0]["target"]
    assert source["url"] == f"http://prometheus:{port}"
    assert set(grafana["networks"]) & set(prometheus["networks"])
    scraped = yaml(compose, DEPLOY / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
    [password] = [value for name, value in environ_of(grafana).items() if name.endswith("__FILE")]
    assert password in {each["target"] for each in grafana["secrets"]}
