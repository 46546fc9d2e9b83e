"""The services of ``deploy/compose.yaml`` run together: as processes, because Docker is not here, each with the words,
the settings, the files and the ports that the compose file gives it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from bridge.journal.embedded import find_server_binary
from tests.deploy.programs import ROOT, accepts, bridge, running
from tests.support.browser_side import open_sse, open_ws
from tests.support.composed import DEPLOY, OURS, Machine, machine, make_secrets
from tests.support.nginx import main_file
from tests.support.prometheus import Prometheus
from tests.support.stage import BOB
from tests.support.waiting import PATIENCE_S, until

PORTS = (80, 6379, 8080, 8081, 9090, 9093, 9101, 9102, 9103, 12211)


@dataclass(frozen=True)
class Stack:
    """What runs. ``url``: where browsers come."""

    machine: Machine
    url: str
    prometheus: Prometheus
    provider: str
    folder: Path


def _require_ports() -> None:
    for port in PORTS:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.111", port))
            except OSError as error:
                pytest.skip(f"port {port} of the loopback network: {error.strerror}")


async def _shell(words: str, **environ: str) -> int:
    """The exit code of a health check."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec("sh", "-c", words, env=os.environ | environ, stderr=quiet)
    return await asyncio.wait_for(process.wait(), PATIENCE_S)


@pytest.fixture
async def stack(require_binary: Callable[[str], str], tmp_path: Path) -> AsyncIterator[Stack]:
    """All of it, with the simulated provider, from nothing."""
    compose, nginx = require_binary("docker-compose"), require_binary("nginx")
    prometheus, alertmanager = require_binary("prometheus"), require_binary("prometheus-alertmanager")
    cli = require_binary("valkey-cli")
    _require_ports()
    secrets = make_secrets(tmp_path / "secrets")
    here = machine(compose, secrets)
    async with AsyncExitStack() as running_here:

        async def start(*words: str, name: str, **environ: str) -> None:
            await running_here.enter_async_context(running(*words, log=tmp_path / f"{name}.log", **environ))

        data = tmp_path / "data"
        data.mkdir()
        valkey = [here.here(word, "valkey") for word in here.services["valkey"]["command"]]
        assert valkey[0] == "valkey-server"
        at = ("--bind", here.hosts["valkey"], "--port", "6379", "--dir", str(data))
        await start(str(find_server_binary()), *valkey[1:], *at, name="valkey")
        asked = here.check("valkey").replace("valkey-cli", f"{cli} -h {here.hosts['valkey']}")

        async def valkey_is_well() -> bool:
            return await _shell(asked) == 0

        await until(valkey_is_well)
        await start(*here.words("provider"), name="provider")
        for name in OURS:
            # Browsers under one address would be one too many: they have to be told apart behind nginx.
            limit = {"BRIDGE_EDGE_PER_ADDRESS": "1"} if name.startswith("edge") else {}
            await start(*here.words(name), name=name, **here.environ(name), **limit)
        await start(*_proxy_words(here, nginx, tmp_path), name="proxy")
        await start(*_prometheus_words(here, prometheus, tmp_path), name="prometheus")
        await start(*_alertmanager_words(here, alertmanager, tmp_path), name="alertmanager")
        session = await running_here.enter_async_context(aiohttp.ClientSession())
        wanted = {"proxy": 80, "prometheus": 9090, "alertmanager": 9093, "provider": 12211}
        wanted |= {"edge-1": 8080, "edge-2": 8080, "signon": 8081, "worker-1": 9101, "worker-2": 9101}

        def all_listen() -> bool:
            return all(accepts(port, here.hosts[name]) for name, port in wanted.items())

        await until(all_listen)
        yield Stack(
            here,
            f"http://{here.hosts['proxy']}",
            Prometheus(f"http://{here.hosts['prometheus']}:9090", session, tmp_path, {}),
            f"http://{here.hosts['provider']}:12211",
            tmp_path,
        )


def _proxy_words(here: Machine, program: str, folder: Path) -> list[str]:
    """nginx as its container starts it. It asks from its own address there, which has to be said here."""
    host = here.hosts["proxy"]
    (folder / "conf.d").mkdir()
    (folder / "nginx.conf").write_text(main_file(folder, more=f"proxy_bind {host};").replace("daemon off;", ""))
    site = (DEPLOY / "proxy" / "nginx.conf").read_text()
    assert "listen 80;" in site
    (folder / "site.conf").write_text(site.replace("listen 80;", f"listen {host}:80;").replace("listen [::]:80;", ""))
    *shell, script = here.services["proxy"]["command"]
    for old, new in (
        ("/etc/exmail-bridge/nginx.conf", f"{folder}/site.conf"),
        ("/etc/nginx/conf.d/", f"{folder}/conf.d/"),
        ("exec nginx ", f"exec {program} -p {folder} -e {folder}/error.log -c {folder}/nginx.conf "),
    ):
        assert old in script
        script = script.replace(old, new)
    return [*shell, script]


def _prometheus_words(here: Machine, program: str, folder: Path) -> list[str]:
    """Prometheus as its image starts it, in a hurry."""
    mounted = {each["target"]: each["source"] for each in here.services["prometheus"]["volumes"]}
    files = Path(mounted["/etc/prometheus"])
    config = here.here((files / "prometheus.yml").read_text(), "prometheus")
    hurried = config.replace("_interval: 15s", "_interval: 500ms").replace("[rules.yml", f"[{files}/rules.yml")
    assert hurried.count("500ms") == 2
    (folder / "prometheus.yml").write_text(hurried.replace(" watchdog.yml", f" {files}/watchdog.yml"))
    return [
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address={here.hosts['prometheus']}:9090",
        # What was told before Alertmanager was found is told again after a minute else.
        "--rules.alert.resend-delay=1s",
    ]


def _alertmanager_words(here: Machine, program: str, folder: Path) -> list[str]:
    volumes = here.services["alertmanager"]["volumes"]
    mounted = {each["target"]: each["source"] for each in volumes if each["type"] == "bind"}
    words = [program, f"--web.listen-address={here.hosts['alertmanager']}:9093"]
    for word in here.services["alertmanager"]["command"]:
        flag, _, value = word.partition("=")
        words.append(f"{flag}={folder}{value}" if flag == "--storage.path" else f"{flag}={mounted.get(value, value)}")
    return words


async def _said(stack: Stack, service: str, *words: str) -> str:
    """What a command says in a service's container, or as ``docker compose run`` runs the service."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *words, env=kept | stack.machine.environ(service), cwd=ROOT, stdout=pipe, stderr=pipe
    )
    told, complaints = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 0, (told, complaints)
    return told.decode()


async def test_all_services_run_together(stack: Stack) -> None:
    """A mail comes to both transports through nginx, behind which browsers are told apart; every program of ours is
    well by its image's health check; one worker leads and one stands by; Prometheus finds each of them up; and its
    alerts come to Alertmanager."""
    session, prometheus = stack.prometheus.session, stack.prometheus
    token = (await _said(stack, "edge-1", *bridge("token", BOB))).strip()
    async with AsyncExitStack() as browsers:
        looking = []
        for number in range(3):
            opened, path = ((open_ws, "/exmail/ws"), (open_sse, "/exmail/events"))[number % 2]
            client = await opened(stack.url, path, local=f"127.0.0.{71 + number}", Authorization=f"Bearer {token}")
            looking.append(await browsers.enter_async_context(client))
        for client in looking:
            assert (await client.frame()).type == "exmail.snapshot"

        async def one_listens() -> bool:
            return bool(await prometheus.query("sum(exmail_bridge_upstream_connected) == 1"))

        await until(one_listens)
        async with session.post(f"{stack.provider}/simulator/mail", json={"mailbox": BOB}) as answer:
            told = (await answer.json())["done"]
        for client in looking:
            while (await client.until("exmail.mail.new")).data["data"]["mail_id"] != told["mail_id"]:
                continue

    asked = [_shell(f"{sys.executable} {DEPLOY}/alive.py", **stack.machine.environ(name)) for name in OURS]
    assert await asyncio.gather(*asked) == [0] * len(OURS)

    async def all_are_up() -> bool:
        targets = (await prometheus.get("targets"))["activeTargets"]
        assert len(targets) == len(OURS)
        return all(each["health"] == "up" for each in targets)

    await until(all_are_up)

    async def one_leads() -> bool:
        return [len(await prometheus.query(f"exmail_bridge_leader == {value}")) for value in (1, 0)] == [1, 1]

    await until(one_leads)

    async def both_edges_answer() -> bool:
        status = json.loads(await _said(stack, "operator", *stack.machine.words("operator"), "--json"))
        return len(status["edges"]) == 2

    await until(both_edges_answer)
    alerts = f"http://{stack.machine.hosts['alertmanager']}:9093/api/v2/alerts"

    async def one_has_come() -> bool:
        async with session.get(alerts) as answer:
            return "ExmailBridgeWatchdog" in {each["labels"]["alertname"] for each in await answer.json()}

    await until(one_has_come)
