"""The proxies' files, read by the programs that they are written for: as they are, and with edges on other hosts."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.settings import load_settings
from tests.deploy.programs import ROOT
from tests.docs.pages import Page
from tests.support.proxies import FILES, changed
from tests.support.waiting import PATIENCE_S

THERE = {"10.0.0.11:8080", "10.0.0.12:8080", "10.0.0.11:8081"}


def on_other_hosts(text: str) -> str:
    """The variant that the file has in comments."""
    lines = []
    for line in text.splitlines():
        if re.match(r"\s*# (server|reverse_proxy) .*\b10\.0\.0\.", line):
            lines.append(line.replace("# ", "", 1))
        elif not re.match(r"\s*(server|reverse_proxy) .*\b127\.0\.0\.", line):
            lines.append(line)
    return "\n".join([*lines, ""])


def told(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return subprocess.run(words, env=environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def haproxy_takes(program: str, text: str, folder: Path) -> set[str]:
    file = folder / "haproxy.cfg"
    file.write_text(text)
    said = told(program, "-c", "-f", str(file), folder=folder)
    assert (said.returncode, said.stderr) == (0, "")
    return set(re.findall(r"^ +server \S+ ([0-9.:]+)", text, re.MULTILINE))


def dialled(part: Any) -> set[str]:
    """The addresses in a configuration of Caddy's."""
    if isinstance(part, list):
        return set().union(*map(dialled, part))
    if isinstance(part, dict):
        return {part["dial"]} if "dial" in part else set().union(*map(dialled, part.values()))
    return set()


def caddy_takes(program: str, text: str, folder: Path) -> set[str]:
    file = folder / "Caddyfile"
    file.write_text(changed(text, [("/var/log/caddy/", f"{folder}/")]))
    said = told(program, "validate", "--config", str(file), "--adapter", "caddyfile", folder=folder)
    assert said.returncode == 0, said.stderr
    # It warns of what it would write otherwise.
    assert '"level":"warn"' not in said.stderr
    found = told(program, "adapt", "--config", str(file), "--adapter", "caddyfile", folder=folder)
    return dialled(json.loads(found.stdout))


def nginx_takes(program: str, text: str, folder: Path) -> set[str]:
    file = folder / "nginx.conf"
    logs = changed(text, [("/var/log/nginx/", f"{folder}/")])
    file.write_text(f"pid {folder}/pid; events {{}} http {{ {logs} }}")
    said = told(program, "-t", "-q", "-e", "stderr", "-c", str(file), folder=folder)
    assert (said.returncode, said.stderr) == (0, "")
    return set(re.findall(r"^ +server ([0-9.:]+)", text, re.MULTILINE))


TAKES: dict[str, tuple[str, Callable[[str, str, Path], set[str]]]] = {
    "nginx": ("nginx.conf", nginx_takes),
    "haproxy": ("haproxy.cfg", haproxy_takes),
    "caddy": ("Caddyfile", caddy_takes),
}


@pytest.mark.parametrize("name", TAKES)
def test_the_file_is_taken(name: str, require_binary: Callable[[str], str], tmp_path: Path) -> None:
    """Without a warning, as it stands; it looks for all parts on its own machine."""
    file, takes = TAKES[name]
    found = takes(require_binary(name), (FILES / file).read_text(), tmp_path)
    assert {"127.0.0.1:8080", "127.0.0.1:8081"} <= found
    assert all(each.startswith("127.0.0.") for each in found)


@pytest.mark.parametrize("name", TAKES)
def test_the_file_is_taken_for_other_hosts(name: str, require_binary: Callable[[str], str], tmp_path: Path) -> None:
    """With the lines that it has in comments, and then nothing is looked for on its own machine."""
    file, takes = TAKES[name]
    assert takes(require_binary(name), on_other_hosts((FILES / file).read_text()), tmp_path) == THERE


def test_the_page_tells_an_edge_on_another_host_what_the_files_expect(tmp_path: Path) -> None:
    """It listens where they look for it, for browsers and for health, and believes the proxy and nobody else."""
    page = Page(ROOT / "docs" / "deployment.md")
    text = page.block("toml", holding="trusted_proxies")
    # The authority's file is on that host; here it would be missed before anything else is read.
    (tmp_path / "bridge.toml").write_text(re.sub(r"\?ssl_ca_certs=[^\"]*", "", text))
    edge = load_settings({}, tmp_path / "bridge.toml").edge
    assert str(edge.listen) in THERE
    for name in ("haproxy.cfg", "Caddyfile"):
        assert str(edge.admin_listen.port) in (FILES / name).read_text()
    assert [str(each) for each in edge.trusted_proxies] == ["10.0.0.5/32"]


def test_each_file_stands_in_the_page() -> None:
    """Whoever looks for his proxy finds the file."""
    for page in ("deployment.md", "deployment.zh-CN.md"):
        text = (ROOT / "docs" / page).read_text()
        assert not {each.name for each in FILES.iterdir() if f"../deploy/proxy/{each.name}" not in text}
