"""``size``: what is needed, from what somebody says, from what is set, and from what a Redis in use can tell."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.cli import run_command_line
from bridge.events import timestamp
from bridge.journal.calls import Advance
from bridge.journal.keys import Keys
from bridge.sizing.measured import MEASURED
from tests.support.guarded import Guarded
from tests.support.processes import ROOT
from tests.support.stage import BOB, KEYS, count, leading_writer, mail

PAGE = (ROOT / "docs/deployment.md").read_text()
Size = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def size(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Size:
    """Run ``size`` with these words and settings; exit code, standard output, standard error."""

    async def run(*words: str, **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

        def ran() -> int:
            try:
                return run_command_line(["size", *words])
            except SystemExit as done:
                return int(str(done.code))

        # The command has an event loop of its own.
        return await asyncio.to_thread(ran), *capsys.readouterr()

    return run


async def facts(size: Size, *words: str, **environ: str) -> Any:
    code, out, err = await size("--json", *words, **environ)
    assert code == 0, err
    return json.loads(out)


async def test_it_needs_no_redis(size: Size) -> None:
    """One screen: every part of the bridge, with the line to put into Redis's file."""
    code, out, _ = await size("--accounts", "5,000")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines() if not line.startswith(" ")]
    assert names == ["for", "redis", "edges", "worker", "network", "provider", "look"]
    found = await facts(size, "--accounts", "5000")
    memory = found["redis"]["memory"]
    assert f"maxmemory {memory['maxmemory'] // 1024 // 1024}mb;" in out
    assert memory["all"] == sum(
        memory[part]
        for part in ("server", "directory", "mailboxes", "histories", "seen", "stream", "clicks", "unreadable")
    )
    assert f"edge --workers {found['edges']['processes']}," in out
    assert found["measured"] is None


async def test_what_is_set_is_taken_and_an_option_counts_more(size: Size) -> None:
    """History and streams as the programs would keep them; to try another value nothing need be set."""
    few = await facts(size, "--accounts", "5000", BRIDGE_HISTORY_EVENTS="10", BRIDGE_EVENTS_MAX="1000")
    assert (few["corporation"]["history_events"], few["corporation"]["events_max"]) == (10, 1000)
    words = ("--accounts", "5000", "--history-events", "20", "--history-seconds", "172800", "--events-max", "2000")
    given = await facts(size, *words)
    assert [given["corporation"][name] for name in ("history_events", "history_s", "events_max")] == [20, 172800, 2000]
    assert few["redis"]["memory"]["all"] < given["redis"]["memory"]["all"]


async def test_the_pages_say_what_the_command_says(size: Size) -> None:
    """The table of ``docs/deployment.md`` is computed with the figures of this release."""
    rows = re.findall(
        r"^\| ([\d,]+) \| `(maxmemory \w+)`, (.*?) \| `(.*?)`, (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE
    )
    assert len(rows) == 4
    for accounts, *cells in rows:
        _, out, _ = await size("--accounts", accounts)
        assert not [cell for cell in cells if cell not in out]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--accounts", "many"), "argument --accounts: a number from 0 to 100,000,000"),
        (("--accounts", "-1"), "argument --accounts: a number from 0 to 100,000,000"),
        (("--accounts", "1.5"), "argument --accounts: a number from 0 to 100,000,000"),
        (("--accounts", "5000", "--mails", "nan"), "argument --mails: a number from 0 to 100,000,000"),
        (("--accounts", "5000", "--aliases", "1e99"), "argument --aliases: a number from 0 to 100,000,000"),
        (("--accounts", "0"), "how many accounts are there? Say it with --accounts N; --measured asks Redis"),
        ((), "how many accounts are there? Say it with --accounts N; --measured asks Redis"),
    ],
)
async def test_what_cannot_be_is_one_line(size: Size, words: tuple[str, ...], said: str) -> None:
    """A wrong call, exit code 2, and nothing is computed."""
    code, out, err = await size(*words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].endswith(said)


async def test_a_corporation_without_mail_has_an_answer(size: Size) -> None:
    """No division by what does not come."""
    code, out, _ = await size("--accounts", "1", "--mails", "0", "--online", "0", "--aliases", "0")
    assert code == 0
    assert "reaches back" not in out
    assert "worker_connections" not in out


async def test_a_redis_in_use_says_what_it_can(redis_url: str, size: Size) -> None:
    """Accounts, aliases, bytes of an event and of a mailbox; what is given counts more; nobody is named."""
    async with leading_writer(redis_url) as (writer, redis):
        addresses = [f"u{number}@gzdev.com" for number in range(10)]
        profiles = dict.fromkeys(addresses, b"{}")
        slaves = {f"s{number}-{address}": address for address in addresses for number in range(3)}
        await writer.commit([Advance(None, 7, profiles=profiles, slaves=slaves)])
        calls = [mail(f"Z{number}", number, addresses[number % 10]) for number in range(30)]
        await writer.commit([*calls, *(count(90, address) for address in addresses)])
        await redis.config_set("maxmemory", 64 * 1024 * 1024)
        try:
            found = await facts(size, "--measured", BRIDGE_REDIS_URL=redis_url)
            code, out, _ = await size("--measured")
            given = await facts(size, "--measured", "--accounts", "2000", "--aliases", "0", "--mails", "7")
        finally:
            await redis.config_set("maxmemory", 0)
    measured, corporation = found["measured"], found["corporation"]
    assert (measured["accounts"], measured["aliases"], measured["events"]) == (10, 30, 40)
    assert (measured["mails"], measured["counts"]) == (30, 10)
    assert (corporation["accounts"], corporation["aliases"], corporation["online"]) == (10, 3, 10)
    assert 250 < corporation["mail_bytes"] < MEASURED.mail_event
    assert corporation["count_bytes"] == pytest.approx(MEASURED.count_event, rel=0.3)
    assert corporation["mailbox_bytes"] > MEASURED.mailbox + MEASURED.history
    assert code == 0
    assert "measured   40 events kept" in out
    assert BOB.partition("@")[2] not in out + json.dumps(found)
    assert any("Redis has maxmemory 64mb now, which is less" in line for line in found["look_at"])
    assert [given["corporation"][name] for name in ("accounts", "aliases", "mails")] == [2000, 0, 7]


async def test_mails_a_day_are_those_of_the_time_that_the_stream_spans(redis_url: str, size: Size) -> None:
    """Ten mails to five accounts in two days are one a day to each; before there are any, nothing is guessed."""
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([Advance(None, 7, profiles={f"u{number}@x.cn": b"{}" for number in range(5)})])
        none = await facts(size, "--measured", BRIDGE_REDIS_URL=redis_url)
        _, said, _ = await size("--measured")
        now, _ = await redis.time()
        old = {"specversion": "1.0", "time": timestamp(now - 2 * 86_400)}
        for number in range(10):
            fields = {"event": json.dumps(old, separators=(",", ":")), "type": "exmail.mail.new", "mailbox": "u1@x.cn"}
            await redis.xadd(KEYS.events, fields, id=f"1-{number + 1}")
        some = await facts(size, "--measured")
    assert none["corporation"]["mails"] == 50
    assert "how many mails come is not known from this Redis yet" in said
    assert "events a second on average" in (await size("--measured"))[1]
    assert some["corporation"]["mails"] == pytest.approx(1, rel=0.01)


async def test_an_empty_redis_asks_for_a_number(redis_url: str, size: Size) -> None:
    """It has nobody to count; with a number given it is of use all the same."""
    code, _, err = await size("--measured", BRIDGE_REDIS_URL=redis_url)
    assert code == 2
    why = "Say it with --accounts N; the directory in this Redis is empty"
    assert err == f"exmail-bridge: how many accounts are there? {why}\n"
    assert (await size("--measured", "--accounts", "100"))[0] == 0


async def test_a_redis_that_is_away_is_one_line(size: Size) -> None:
    """As for every command that needs it: exit code 1."""
    code, out, err = await size("--measured", BRIDGE_REDIS_URL="redis://127.0.0.1:1/0")
    assert (code, out) == (1, "")
    assert err.startswith("exmail-bridge: Redis does not answer: ")
    assert len(err.splitlines()) == 1


async def test_an_operators_rights_suffice(tmp_path: Path, size: Size) -> None:
    """The Redis user of all commands may ask for everything that is asked here."""
    with Guarded(tmp_path) as guarded:
        with guarded.client("admin") as admin:
            admin.hset(Keys("exmail").directory, "u1@x.cn", "{}")
        found = await facts(size, "--measured", BRIDGE_REDIS_URL=guarded.server.url, **guarded.settings("operator"))
        assert found["measured"]["accounts"] == 1
        assert not guarded.refusals()
