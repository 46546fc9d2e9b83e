"""``deploy/compose.yaml`` as Docker would read it, and its services as processes: each has an address of its own on the
loopback network, as a container has in its, and the ports that the file gives it."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.programs import ROOT, bridge
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_S

DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
OURS = ("worker-1", "worker-2", "edge-1", "edge-2", "signon")


@functools.cache
def resolved(program: str, *words: str, **environ: str) -> dict[str, Any]:
    """What ``docker-compose`` makes of the file. ``words``: its options; ``environ``: what the shell has besides."""
    # Not what deploy/.env says of this machine.
    named = words if "--env-file" in words else ("--env-file", os.devnull, *words)
    command = [program, "-f", str(COMPOSE), *named, "config", "--format", "json"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    told = subprocess.run(command, env=kept | environ, capture_output=True, text=True, timeout=PATIENCE_S)
    assert told.returncode == 0, told.stderr
    # What may be read again as a compose file: the $ of others is doubled.
    found: dict[str, Any] = json.loads(told.stdout.replace("$$", "$"))
    return found


def yaml(program: str, file: Path) -> Any:
    """What stands in a YAML file. No reader of YAML is a dependency of ours; Docker's own reads what is below x-."""
    text = "".join(f"  {line}\n" for line in file.read_text().splitlines())
    command = [program, "-f", "-", "config", "--format", "json", "--no-interpolate"]
    document = f"name: x\nx-it:\n{text}\nservices: {{x: {{image: x}}}}\n"
    told = subprocess.run(command, input=document, capture_output=True, text=True, timeout=PATIENCE_S, cwd=file.parent)
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)["x-it"]


def make_secrets(folder: Path) -> Path:
    """The folder that ``make-secrets`` makes, with the interface key of the simulated provider."""
    told = subprocess.run([DEPLOY / "make-secrets", folder], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (told.returncode, told.stderr) == (0, "")
    (folder / "client_secret").write_text("simulated")
    return folder


@dataclass(frozen=True)
class Machine:
    """Where the services of a resolved file are when they run here without Docker."""

    services: dict[str, Any]
    secrets: dict[str, str]
    hosts: dict[str, str]

    def here(self, text: str, service: str) -> str:
        """A text of the file, with what is within its container in place of how it is called there."""
        text = re.sub(r"\b0\.0\.0\.0(?=:)", self.hosts[service], text)
        text = re.sub(r"/run/secrets/(\w+)", lambda found: self.secrets[found[1]], text)
        names = "|".join(map(re.escape, sorted(self.hosts, key=len, reverse=True)))
        return re.sub(rf"(?<![\w.-])({names})(?=:\d)", lambda found: self.hosts[found[1]], text)

    def environ(self, service: str) -> dict[str, str]:
        """What a service of ours is told, here."""
        return {name: self.here(value, service) for name, value in self.services[service]["environment"].items()}

    def words(self, service: str) -> tuple[str, ...]:
        """The command of a service of ours, here."""
        return bridge(*(self.here(word, service) for word in self.services[service]["command"]))

    def check(self, service: str) -> str:
        """The words of its health check, for a shell."""
        kind, *words = self.services[service]["healthcheck"]["test"]
        assert kind in ("CMD", "CMD-SHELL")
        return self.here(" ".join(words), service)


def machine(program: str, secrets: Path) -> Machine:
    """A machine of its own, with the simulated provider on it."""
    # A network that no other test has: free_port gives no number twice.
    high, low = divmod(free_port(), 256)
    network = f"127.{high}.{low}"
    words = ("--env-file", str(DEPLOY / "demo.env"), "--profile", "demo", "--profile", "operator")
    found = resolved(program, *words, FRONT_NET=network, SECRETS=str(secrets))
    hosts = {}
    for number, (name, service) in enumerate(found["services"].items()):
        front = (service["networks"].get("front") or {}).get("ipv4_address")
        hosts[name] = front or f"{network}.{100 + number}"
    files = {name: each["file"] for name, each in found["secrets"].items()}
    return Machine(found["services"], files, hosts)
