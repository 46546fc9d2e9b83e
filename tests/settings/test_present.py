"""What a running program takes of settings that changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.app.fitness import check_fitness
from bridge.settings import Present, Settings, SettingsError, load_settings
from bridge.settings.table import TABLE
from tests.support.waiting import PATIENCE_S

JWT = "a-secret-for-tests-of-32-bytes-or-more"
OTHER = {
    "BRIDGE_EDGE_TRUSTED_PROXIES": "10.0.0.0/8",
    "BRIDGE_EDGE_ALLOWED_ORIGINS": "https://oa.corp.com",
    "BRIDGE_EDGE_MAX_CONNECTIONS": "17",
    "BRIDGE_EDGE_PER_ADDRESS": "17",
    "BRIDGE_EDGE_PER_MAILBOX": "17",
    "BRIDGE_EDGE_HANDSHAKE_RATE": "17",
    "BRIDGE_EDGE_MAX_LIFE": "17",
    "BRIDGE_EDGE_DRAIN": "17",
    "BRIDGE_EDGE_DRAIN_DELAY": "17",
    "BRIDGE_SIGNON_RATE": "17",
    "BRIDGE_LOG_LEVEL": "debug",
}
"""Another value of each setting that is taken."""

KEPT = {
    "BRIDGE_NAMESPACE": "other",
    "BRIDGE_EDGE_LISTEN": "127.0.0.1:17",
    "BRIDGE_EDGE_KICK_SECONDS": "170",
    "BRIDGE_REDIS_URL": "redis://other",
    "BRIDGE_WORKER_LEASE": "17",
}
"""Some that are not."""


def changing(*states: dict[str, str], fits: Callable[[Settings], None] = lambda settings: None) -> Present:
    """Settings that are found as each of ``states`` in turn."""
    found = iter(states)

    def again() -> Settings:
        return load_settings(next(found), None)

    return Present(again(), again, fits)


def said(caplog: pytest.LogCaptureFixture, message: str) -> list[object]:
    return [vars(record) for record in caplog.records if record.message == message]


def test_every_setting_that_is_marked_is_tried() -> None:
    """The column of ``docs/settings.md`` is the table's; what it promises has a value below."""
    assert {setting.variable for setting in TABLE if setting.live and not setting.secret} == set(OTHER)


@pytest.mark.parametrize("variable", OTHER)
def test_what_is_marked_is_taken(variable: str, caplog: pytest.LogCaptureFixture) -> None:
    """In force at once, and shown with its new source."""
    caplog.set_level("INFO")
    present = changing({}, {variable: OTHER[variable]})
    before = present.settings
    present.reload()
    assert present.settings != before
    assert present.settings.texts[variable] == OTHER[variable]
    assert [line["taken"] for line in said(caplog, "settings read again")] == [[variable]]
    assert not said(caplog, "some changed settings need a restart")


@pytest.mark.parametrize("variable", KEPT)
def test_what_is_not_marked_stays_and_is_named(variable: str, caplog: pytest.LogCaptureFixture) -> None:
    """By name alone: the log is no place for values."""
    present = changing({}, {variable: KEPT[variable]})
    before = present.settings
    present.reload()
    assert present.settings == before
    assert [line["settings"] for line in said(caplog, "some changed settings need a restart")] == [[variable]]
    assert KEPT[variable] not in caplog.text


def test_whoever_has_a_secret_has_its_new_text() -> None:
    """The object that rooms were given says another word from then on."""
    present = changing({"BRIDGE_REDIS_PASSWORD": "one"}, {"BRIDGE_REDIS_PASSWORD": "two"})
    password = present.settings.redis.password
    assert password() == "one"
    present.reload()
    assert password() == "two"


def test_a_secret_may_move_to_another_file(tmp_path: Path) -> None:
    """Its ``_FILE`` is a setting like others."""
    (tmp_path / "one").write_text("one")
    (tmp_path / "two").write_text("two")
    present = changing(*({"BRIDGE_REDIS_PASSWORD_FILE": str(tmp_path / name)} for name in ("one", "two")))
    present.reload()
    assert present.settings.redis.password() == "two"


@pytest.mark.parametrize("states", [({}, {"BRIDGE_REDIS_PASSWORD": "x"}), ({"BRIDGE_REDIS_PASSWORD": "x"}, {})])
def test_whether_there_is_a_secret_stays(states: tuple[dict[str, str], ...], caplog: pytest.LogCaptureFixture) -> None:
    """It decides what a program consists of."""
    present = changing(*states)
    present.reload()
    assert bool(present.settings.redis.password) is bool(states[0])
    assert said(caplog, "some changed settings need a restart")


@pytest.mark.parametrize(
    "found", [{"BRIDGE_EDGE_PER_MAILBOX": "many"}, {"BRIDGE_REDIS_PASSWORD_FILE": "/nowhere"}, {"BRIDGE_NO": "1"}]
)
def test_settings_that_cannot_be_used_change_nothing(found: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """Whatever else stands beside them; why is said, and the program goes on."""
    present = changing({}, found | {"BRIDGE_LOG_LEVEL": "debug"})
    before = present.settings
    present.reload()
    assert present.settings is before
    assert said(caplog, "settings cannot be used, those before stay in force")


def test_what_is_taken_must_go_with_what_stays(caplog: pytest.LogCaptureFixture) -> None:
    """A header is believed from proxies that are named: taking their names away and not the header would believe it
    from everybody on this machine."""
    named = {"BRIDGE_EDGE_AUTH_HEADER": "X-Mailbox", "BRIDGE_EDGE_TRUSTED_PROXIES": "10.0.0.1"}
    present = changing(named, {"BRIDGE_EDGE_JWT_SECRET": JWT}, fits=lambda settings: check_fitness(settings, "edge"))
    before = present.settings
    present.reload()
    assert present.settings is before
    [line] = said(caplog, "settings cannot be used, those before stay in force")
    assert "BRIDGE_EDGE_TRUSTED_PROXIES" in str(line["problems"])


async def test_whoever_waits_hears_of_a_reload_that_failed_too() -> None:
    """Files of secrets may have changed while the settings cannot be read."""
    present = changing({}, {"BRIDGE_NO": "1"})
    reloads = present.reloads()
    heard = asyncio.ensure_future(anext(reloads))
    await asyncio.sleep(0)
    present.reload()
    async with asyncio.timeout(PATIENCE_S):
        await heard
    await reloads.aclose()


def test_what_follows_is_made_once_for_each_change() -> None:
    """A thousand handshakes a second ask for it."""
    made: list[int] = []

    def per_mailbox(settings: Settings) -> int:
        made.append(settings.edge.per_mailbox)
        return settings.edge.per_mailbox

    present = changing({}, {"BRIDGE_EDGE_PER_MAILBOX": "3"})
    most = present.following(per_mailbox)
    assert [most(), most()] == [0, 0]
    present.reload()
    assert [most(), most()] == [3, 3]
    assert made == [0, 3]


def test_plain_settings_never_change() -> None:
    """Whoever is given them needs no other way."""
    with pytest.raises(SettingsError):
        load_settings({"BRIDGE_NO": "1"}, None)
    settings = load_settings({}, None)
    present = Present.of(settings)
    present.reload()
    assert present.settings is settings
