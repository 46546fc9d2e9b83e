"""Fixtures of every room's tests: a real Valkey, and programs that a machine may or may not have.

One embedded server serves the session, emptied before each test; a test that kills its server asks for
``own_server``. What a machine lacks is skipped and counted in one closing line, unless
``BRIDGE_TEST_REQUIRE_ALL=1`` says that nothing may be skipped.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from bridge.journal.embedded import EmbeddedServer
from tests.support.processes import STARTED
from tests.support.waiting import PATIENCE_S
from tests.support.warm_start import WarmPopen
from tests.support.wrapped import LIBRARIES, find_library

# Whoever looks at the clock beside each example fails on a machine that stands still for a moment.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("unhurried")

REQUIRE_ALL = os.environ.get("BRIDGE_TEST_REQUIRE_ALL") == "1"

PACKAGES = {
    "chromium": "chromium",
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "caddy": "caddy",
    "apache2": "apache2-bin",
    "mod_auth_cas": "libapache2-mod-auth-cas",
    "promtool": "prometheus",
    "amtool": "prometheus-alertmanager",
    "valkey-cli": "valkey-tools",
    "docker-compose": "docker-compose",
    "node": "nodejs",
    "npm": "npm",
    "php": "php-cli",
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "systemd-analyze": "systemd",
}
"""Programs that tests may ask for, and the Debian package that brings each."""


LONGEST = (
    *("test_model.py", "test_history.py", "test_first_run.py", "test_crash_points.py", "test_alerts_fire.py"),
    *("test_history_clocks.py", "test_npm_package.py", "test_failover.py", "test_kill.py", "test_client_js.py"),
    *("test_listen_to_events.py", "test_nginx_away.py", "test_acl.py", "test_why_command.py", "test_proxies.py"),
    *("test_bundle.py", "test_release.py"),
)
"""Files that take half a minute or more. Most of them start many programs: two beside each other are slower than one
after the other, and one at the end is waited for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the longest files over the first three quarters of all others."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    long = sorted((each for each in files if each.name in LONGEST), key=lambda each: LONGEST.index(each.name))
    order = [each for each in files if each.name not in LONGEST]
    step = max(1, len(order) * 3 // 4 // max(1, len(long)))
    for number, each in enumerate(long):
        order.insert(min(number * (step + 1), len(order)), each)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        # It is explored beside the others, in one process (tests/model/conftest.py).
        order.sort(key=lambda each: each.name == "test_model.py")
    items[:] = [item for each in order for item in files[each]]


def pytest_configure() -> None:
    """Programs end by signals: what ``nohup`` or a shell's ``&`` has had ignored, they would ignore, too."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
    setattr(subprocess, "Popen", WarmPopen)  # noqa: B010 - a class is no name that a checker lets one assign


def pytest_runtest_setup() -> None:
    STARTED.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the programs of a test had said when it failed stands beside the failure: it may never come again."""
    report = yield
    if report.failed:
        report.sections += [(f"Log of {each.name} (pid {each.pid})", each.told) for each in STARTED]
    return report


def pytest_collection_finish() -> None:
    """What was imported and collected stays until the end: no collection of garbage need walk through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """The session's server; do not stop it, and take ``redis_url`` where an address is enough.

    It keeps nothing on a disk: a server that may not go on before the disk has answered answers nobody meanwhile.
    """
    with EmbeddedServer(tmp_path_factory.mktemp("valkey"), config={"appendonly": "no"}) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedServer) -> str:
    """``unix://`` URL of an empty Valkey: no keys, no scripts, no clients left from another test."""
    with redis.Redis.from_url(redis_server.url, socket_timeout=PATIENCE_S) as client:
        client.client_kill_filter(skipme=True)
        client.flushall()
        client.script_flush()
    return redis_server.url


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server for this test alone, which may ``kill()`` and ``restart()`` it: what it confirmed is there again."""
    # With everysec it also writes later than it answers, while the disk is busy.
    with EmbeddedServer(tmp_path / "valkey", config={"appendfsync": "always"}) as server:
        yield server


@pytest.fixture(scope="session")
def require_binary() -> Callable[[str], str]:
    """``require_binary("chromium")`` returns the program's path, or skips the test; fails it under REQUIRE_ALL."""

    def require(name: str) -> str:
        found = shutil.which(name) or shutil.which(name, path=f"{Path(sys.executable).parent}:/usr/sbin:/sbin")
        if found is not None:
            return found
        package = PACKAGES.get(name, name)
        if REQUIRE_ALL:
            pytest.fail(f"{name} is missing: apt install {package}")
        pytest.skip(f"{name} is missing: apt install {package}")

    return require


@pytest.fixture
async def leap(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """``leap(60)``: for the event loop a minute has passed at once, as where its machine was suspended."""
    loop = asyncio.get_running_loop()
    real, ahead_s = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: real() + ahead_s[0])

    def leap(seconds: float) -> None:
        ahead_s[0] += seconds

    return leap


@pytest.fixture
def require_library() -> Callable[[str], str]:
    """``require_library("libfaketime.so.1")`` returns its path, or skips the test; fails it under REQUIRE_ALL."""

    def require(name: str) -> str:
        found = find_library(name)
        if found is not None:
            return found
        package = LIBRARIES[name][0]
        if REQUIRE_ALL:
            pytest.fail(f"{name} is missing: apt install {package}")
        pytest.skip(f"{name} is missing: apt install {package}")

    return require


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    # From the reasons: tests that ran in another process can tell nothing else.
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    missing = [reason.rpartition("apt install ")[2].rstrip("')") for reason in reasons if "apt install " in reason]
    if missing:
        packages = " ".join(sorted(set(missing)))
        terminalreporter.write_line(f"{len(missing)} tests skipped: apt install {packages}")
