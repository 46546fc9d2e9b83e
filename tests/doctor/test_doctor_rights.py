"""``doctor --passwords``: every right of every user is tried, harmlessly, and what lacks is named with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.doctor import rights
from bridge.doctor.access_list import shipped, trials
from bridge.doctor.check import examine
from bridge.doctor.checks import CHECKS
from bridge.doctor.means import Means
from bridge.journal.connect import RedisAddress
from bridge.journal.rights import denied
from bridge.settings import load_settings
from tests.support.guarded import Guarded
from tests.support.healthy import codes, judged, patient
from tests.support.processes import free_port
from tests.support.stage import KEYS, SECRET, running_edge
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import running_worker, simulating, worker_environment


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with Guarded(tmp_path_factory.mktemp("guarded")) as server:
        yield server


def means_of(guarded: Guarded, passwords: Path | None = None) -> Means:
    settings = load_settings({"BRIDGE_REDIS_URL": guarded.server.url, **guarded.settings("operator")}, None)
    return Means(units={}, operator=settings, passwords=passwords or guarded.passwords)


async def test_the_shipped_list_gives_everything_and_nothing_was_done(guarded: Guarded) -> None:
    """No finding, and afterwards no key is there: a dry run."""
    outcome = await judged(rights.CHECK, means_of(guarded))
    assert [finding.facts for finding in outcome.findings] == []
    with guarded.client("admin") as admin:
        assert admin.dbsize() == 0


async def test_each_right_that_is_taken_away_is_named(guarded: Guarded) -> None:
    """Token by token through the whole file: a server without it is told from one with it."""
    text = shipped()
    wanted = trials(text, "exmail")
    unseen = []
    admin = RedisAddress(guarded.server.url, "admin", lambda: "password of admin").client()
    sync: Any = guarded.client("admin")
    made = {line.split()[1]: _sections(line) for line in guarded.file.read_text().splitlines()}
    async with admin:
        for user in sorted({trial.user for trial in wanted}):
            own = [trial for trial in wanted if trial.user == user]
            assert not any(await denied(admin, user, [trial.command for trial in own]))
            for number, section in enumerate(made[user]):
                others = {word for other in made[user] if other is not section for word in other}
                for word in section:
                    # A rule that takes away gives nothing, and what another rule gives too does not lack.
                    if not re.match(r"[+~%&]", word) or word in others or _within(word, {*others, *section}):
                        continue
                    less = [[each for each in one if each != word or one is not section] for one in made[user]]
                    sync.execute_command("ACL SETUSER", "trial", "reset", *less[0], *map(_selector, less[1:]))
                    refused = await denied(admin, "trial", [trial.command for trial in own])
                    if not any(refused):
                        unseen.append(f"{user}, rule {number}: {word}")
    sync.execute_command("ACL DELUSER", "trial")
    sync.close()
    assert not unseen


def _sections(line: str) -> list[list[str]]:
    """The rules outside of all parentheses, then those within each."""
    outside = re.sub(r"\([^)]*\)", "", line).split()[2:]
    within = [found.split() for found in re.findall(r"\(([^)]*)\)", line)]
    return [[word for word in outside if not word.startswith("#")], *within]


def _selector(section: list[str]) -> str:
    return f"({' '.join(section)})"


def _within(word: str, others: set[str]) -> bool:
    """Whether a category that is given too has this command."""
    return ("+@connection" in others and word == "+ping") or ("+@read" in others and word == "+xpending")


async def test_who_is_missing_or_has_another_password_is_named(guarded: Guarded, tmp_path: Path) -> None:
    """And a server that everybody may enter; and where nobody may look, that is said."""
    sync: Any = guarded.client("admin")
    for path in guarded.passwords.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "edge").write_text("another\n")
    sync.execute_command("ACL DELUSER", "reader")
    sync.execute_command("ACL SETUSER", "worker", "-time")
    sync.execute_command("ACL SETUSER", "default", "on", "nopass")
    outcome = await judged(rights.CHECK, means_of(guarded, tmp_path))
    assert codes(outcome) == ["default-open", "user-password", "user-missing", "user-right"]
    assert outcome.findings[-1].facts["right"] == "+time"
    sync.execute_command("ACL LOAD")
    sync.close()
    (tmp_path / "admin").unlink()
    assert codes(await judged(rights.CHECK, means_of(guarded, tmp_path))) == ["?passwords-closed"]
    assert codes(await judged(rights.CHECK, means_of(guarded, tmp_path / "none"))) == ["?passwords-closed"]


def test_each_line_that_is_named_is_the_line_of_the_file() -> None:
    """An operator finds what is named where it is said to stand."""
    lines = shipped().splitlines()
    for trial in trials(shipped(), "exmail"):
        assert trial.token.removeprefix("+") in lines[trial.line - 1] or trial.token == "&__sentinel__:hello"


async def test_least_rights_suffice_for_everything(guarded: Guarded) -> None:
    """Each program as its own user, the doctor as ``operator``: nothing is refused, nothing is found."""
    port = free_port()
    own = {name: guarded.settings(name) for name in ("worker", "edge", "operator")}
    edge = {
        "BRIDGE_EDGE_LISTEN": f"127.0.0.1:{port}",
        "BRIDGE_EDGE_PUBLIC_URL": f"http://127.0.0.1:{port}/",
        "BRIDGE_EVENTS_MAX": "1000",
    }
    url = guarded.server.url
    for path in guarded.passwords.iterdir():
        path.chmod(0o600)
    async with (
        simulating() as simulator,
        running_worker(url, simulator, **own["worker"]) as one,
        running_worker(url, simulator, **own["worker"]) as other,
        running_edge(url, **own["edge"], **edge),
    ):
        await until(lambda: one.metric("upstream_connected") + other.metric("upstream_connected") == 1)
        settings = {
            name: load_settings(
                {**worker_environment(url, simulator, **edge), "BRIDGE_EDGE_JWT_SECRET": SECRET, **own[name]}, None
            )
            for name in own
        }
        means = Means(
            units={"worker": settings["worker"], "edge": settings["edge"]},
            operator=settings["operator"],
            passwords=guarded.passwords,
        )
        refused = guarded.refusals()
        with guarded.client("admin") as admin:
            await until(lambda: bool(admin.zcard(KEYS.standbys)))
            admin.config_set("appendonly", "yes")
        outcomes = await examine(patient(CHECKS), means, within_s=PATIENCE_S)
        assert [code for each in outcomes for code in codes(each) if not code.startswith("?")] == []
        assert guarded.refusals() == refused
