"""The browser's client for npm: made from what the edge serves, typed, and built into a Vue and a React project."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from bridge import __version__
from bridge.edge.scripts import read_package
from bridge.schemas.events import EVENT_TYPES
from bridge.schemas.frames import FRAMES
from tests.deploy.programs import ROOT, accepts, running
from tests.docs.pages import Page as Document
from tests.support.chromium import blank_page
from tests.support.npm import install
from tests.support.processes import free_port
from tests.support.scripted_edge import ScriptedEdge, event, scripted_edge, snapshot
from tests.support.stage import leading_writer, mail, running_edge, token
from tests.support.waiting import until

SAMPLES = ROOT / "tests" / "samples" / "npm"
EMBEDDING = Document(ROOT / "docs" / "embedding.md")
PARTS = ROOT / "bridge" / "edge" / "static" / "client"


def run(*words: str | Path, cwd: Path) -> str:
    """Run to the end; what it says."""
    told = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert told.returncode == 0, f"{told.stdout}\n{told.stderr}"
    return told.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files."""
    folder = tmp_path_factory.mktemp("package")
    for name, content in read_package().items():
        (folder / name).write_bytes(content)
    shutil.copy(ROOT / "deploy" / "npm" / "package.json", folder)
    return folder


@pytest.fixture(scope="module")
def tarball(require_binary: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make npm`` makes."""
    require_binary("npm")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "deploy/npm/make.py", folder, cwd=ROOT)
    return folder / f"exmail-bridge-client-{__version__}.tgz"


@pytest.fixture(scope="module")
def project(require_binary: Callable[[str], str], tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project that has installed it, beside Vite, Vue, React and the linters of packages."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(SAMPLES, folder, dirs_exist_ok=True)
    install(require_binary("npm"), folder, tarball)
    return folder


def test_a_server_may_import_it(package: Path, require_binary: Callable[[str], str]) -> None:
    """As a module and as CommonJS; only ``connect()`` needs a browser, and says so."""
    node = require_binary("node")
    after = "try { connect({ url: '/' }); } catch (error) { console.log(error.name, error.message); }"
    module = f"import {{ connect }} from './index.mjs'; {after}"
    common = f"const {{ connect }} = require('./index.cjs'); {after}"
    for words in (("--input-type=module", "-e", module), ("-e", common)):
        assert run(node, *words, cwd=package).strip() == "TypeError ExmailBridge: connect() needs a browser"


def test_it_depends_on_nothing(package: Path) -> None:
    """Neither when it runs nor when it is installed."""
    about = json.loads((package / "package.json").read_text())
    assert not {name for name in about if name.lower().endswith("dependencies") or name == "scripts"}


def members(interface: str) -> set[str]:
    """What an interface of the types names."""
    found = re.search(rf"export interface {interface} \{{\n(.*?)\n\}}", (PARTS / "client.d.ts").read_text(), re.DOTALL)
    assert found is not None
    return set(re.findall(r"^  (?:readonly )?(\w+)\??[(:<]", found[1], re.MULTILINE))


def test_the_types_name_what_there_is() -> None:
    """Every option, event, property and method, and no other."""
    connect = (PARTS / "connect.js").read_text()
    code = "".join((PARTS / name).read_text() for name in ("connect.js", "page.js", "share.js"))
    options = set(re.findall(r"\bsettings\.(\w+)", code)) | {"mailbox", "transport", "session"}
    assert members("Options") == options
    [names] = re.findall(r"const NAMES = \[(.*?)\];", code)
    assert members("Handlers") == set(re.findall(r"\w+", names))
    returned = connect[connect.rindex("\n  return {\n") :]
    getters = set(re.findall(r"^    get (\w+)\(", returned, re.MULTILINE))
    methods = set(re.findall(r"^    (?:async )?(\w+)(?:\(.*\) \{|,)$", returned, re.MULTILINE))
    assert members("Mail") == getters | methods


def typed(interface: str) -> dict[str, tuple[bool, bool]]:
    """Of each member of an interface: is it always there, and may it be null?"""
    types = (PARTS / "client.d.ts").read_text()
    found = re.search(rf"export interface {interface}\b.*? \{{\n(.*?)\n\}}", types, re.DOTALL)
    assert found is not None
    lines = re.findall(r"^  (\w+)(\??): (.*);$", found[1], re.MULTILINE)
    return {name: (not absent, "null" in kind.split(" | ")) for name, absent, kind in lines}


def described(schema: dict[str, Any]) -> dict[str, tuple[bool, bool]]:
    """The same of a schema."""
    return {
        name: (name in schema["required"], "null" in member.get("type", []))
        for name, member in schema["properties"].items()
    }


def test_the_types_are_what_the_edge_sends() -> None:
    """Of mails, counts and snapshots each member, and whether it may be absent or null."""
    new, missed = EVENT_TYPES["exmail.mail.new"].schema, EVENT_TYPES["exmail.mail.missed"].schema
    assert typed("BridgeEvent") == described(new)
    assert typed("NewMail") == described(new["properties"]["data"])
    assert typed("Missed") == described(missed["properties"]["data"])
    for interface, frame in (("Snapshot", "snapshot"), ("Upstream", "upstream"), ("Withdrawn", "withdrawn")):
        assert typed(interface) == described(FRAMES[f"exmail.{frame}"]["properties"]["data"]), interface


def test_the_package_is_clean(project: Path, tarball: Path, require_binary: Callable[[str], str]) -> None:
    """publint has nothing to say, and the types are right for whoever resolves them."""
    npx = [require_binary("node"), "--no-warnings"]
    modules = project / "node_modules"
    told = run(*npx, modules / "publint" / "src" / "cli.js", modules / "exmail-bridge-client", "--strict", cwd=project)
    assert "All good!" in told
    assert "Suggestions" not in told
    told = run(*npx, modules / "@arethetypeswrong" / "cli" / "dist" / "index.js", tarball, cwd=project)
    assert "No problems found" in told


def test_wrong_use_is_found_by_types(project: Path, require_binary: Callable[[str], str]) -> None:
    """What the manual shows compiles strictly; a misspelt event or transport does not."""
    tsc = [require_binary("node"), project / "node_modules" / "typescript" / "bin" / "tsc"]
    words = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom", "types.ts"]
    run(*tsc, *words, cwd=project)


@pytest.fixture
async def edge() -> AsyncIterator[ScriptedEdge]:
    async with scripted_edge() as edge:
        yield edge


async def show(page: Page, edge: ScriptedEdge, built: Path) -> None:
    """Open what was built, on the edge's own host."""

    async def answer(route: Route) -> None:
        path = built / route.request.url.partition("/app/")[2]
        await route.fulfill(path=path)

    await page.route(f"{edge.url}app/**", answer)
    await page.goto(f"{edge.url}app/index.html")


async def test_what_a_developer_runs(
    project: Path, redis_url: str, require_binary: Callable[[str], str], tmp_path: Path
) -> None:
    """The Vue lines of the page with Vite's own server before a bridge that knows no ``/exmail/``, as ``dev``."""
    folder, port, index = project / "developed", free_port(), '<div id="app"></div>'
    (folder / "src").mkdir(parents=True)
    for script in ('src="/exmail/client.js"', 'type="module" src="/src/main.js"'):
        index += f"<script {script}></script>"
    (folder / "index.html").write_text(f"<!doctype html>{index}")
    (folder / "src" / "App.vue").write_text(EMBEDDING.block("html", holding="<script setup>"))
    shutil.copy(project / "vue" / "src" / "main.ts", folder / "src" / "main.js")
    async with running_edge(redis_url) as (url, _), leading_writer(redis_url) as (writer, _):
        config = EMBEDDING.block("javascript", holding="proxy:")
        (folder / "vite.config.js").write_text(config.replace("http://127.0.0.1:8080", url))
        await writer.commit([mail("1", 7)])
        words = (require_binary("node"), str(project / "node_modules" / "vite" / "bin" / "vite.js"))
        where = ("--host", "127.0.0.1", "--port", str(port), "--strictPort")
        async with (
            running(*words, *where, log=tmp_path / "vite.log", cwd=folder),
            blank_page(require_binary("chromium")) as page,
        ):
            await until(lambda: accepts(port))
            await page.context.add_cookies([{"name": "exmail_bridge", "value": token(), "url": url}])
            await page.goto(f"http://127.0.0.1:{port}/")
            await expect(page.locator(".badge")).to_have_text("7")


@pytest.mark.parametrize("kind", ["vue", "react"])
async def test_it_is_built_into_a_project(
    project: Path, edge: ScriptedEdge, require_binary: Callable[[str], str], kind: str
) -> None:
    """A fresh Vite project in TypeScript: it checks, it builds, and the page shows mails."""
    node, modules, folder = require_binary("node"), project / "node_modules", project / kind
    checker = {"vue": "vue-tsc/bin/vue-tsc.js", "react": "typescript/bin/tsc"}[kind]
    run(node, modules / checker, "-p", "tsconfig.json", cwd=folder)
    run(node, modules / "vite" / "bin" / "vite.js", "build", cwd=folder)
    async with blank_page(require_binary("chromium")) as page:
        await show(page, edge, folder / "dist")
        connection = await edge.connection()
        await connection.say(snapshot(0), event(1), event(2))
        await expect(page.locator("#unread")).to_have_text("2")
        await expect(page.locator("li")).to_have_text(["M1", "M2"])
        await expect(page).to_have_title("(2) OA")
