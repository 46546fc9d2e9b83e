"""``api … --from FILE`` with a provider that limits, breaks off, or answers with pages: nothing twice, nothing lost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bridge.commands.api import pause
from bridge.simulator import Simulator

from .conftest import AMY, FASTER, Api

BOB = "bob@gzdev.com"
NEW = "new@gzdev.com"
SYNC = ("user/sync", "--rate", "1000", "--from", "-")
PASSWORD = "a first password"
ADDED = f"alias,name,password\n{NEW},N,{PASSWORD}\n"


async def results(api: Api, *words: str, stdin: str) -> tuple[int, list[dict[str, Any]]]:
    code, out, _ = await api(*SYNC, *words, "--json", stdin=stdin)
    assert PASSWORD not in out
    return code, [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize(
    ("kind", "value"), [("errcode", 1002), ("errcode", 45009), ("http-status", 429), ("http-status", 200)]
)
async def test_all_that_means_later_is_waited_for(api: Api, simulator: Simulator, kind: str, value: int) -> None:
    """An errcode, one of no document, an HTTP status, a page of HTML: a pause, a look, and then it is done once."""
    simulator.faults.on(kind, endpoint="user/sync", value=value, times=1)
    code, [row] = await results(api, stdin=ADDED)
    assert (code, row["result"]) == (0, "added")
    assert simulator.world.accounts[NEW].name == "N"
    asked = [call for call in simulator.calls if call.endpoint in ("user/sync", "user/get")]
    assert [call.endpoint for call in asked] == ["user/get", "user/sync", "user/get", "user/sync"]


async def test_a_limit_of_reads_holds_up_everything(api: Api, simulator: Simulator) -> None:
    """Readers share one pause; a code that no document has is nobody's own as long as nothing else is answered."""
    simulator.faults.on("errcode", endpoint="*/*", value=45009, times=5)
    code, rows = await results(api, stdin=f"alias,name\n{AMY},Amy\n{BOB},Robert\n")
    assert (code, [row["result"] for row in rows]) == (0, ["changed", "changed"])


async def test_a_provider_that_stays_busy_or_away_ends_the_run(api: Api, simulator: Simulator) -> None:
    """After ``--wait`` seconds without an answer; the exit code says which, and that nothing was changed."""
    simulator.faults.on("errcode", endpoint="*/*", value=45009)
    code, out, err = await api(*SYNC, "--wait", "0", stdin=ADDED)
    assert (code, out) == (5, "")
    assert err.startswith("exmail-bridge: nothing was changed: ")
    assert "45009" in err
    simulator.faults.on("http-status", endpoint="user/get", value=502)
    simulator.faults.off("errcode")
    code, out, err = await api(*SYNC, "--wait", "0", stdin=ADDED)
    assert (code, out) == (6, "")


async def test_a_write_whose_answer_was_lost_is_looked_at(api: Api, simulator: Simulator) -> None:
    """The connection broke after the provider had done it: once there, and said as what it was."""
    file = f"alias,name,action,password\n{NEW},N,,{PASSWORD}\n{AMY},Amy,,\n{BOB},,DEL,\n"
    simulator.faults.on("lost", endpoint="user/sync")
    code, rows = await results(api, "--yes", stdin=file)
    assert (code, [row["result"] for row in rows]) == (0, ["added", "changed", "deleted"])
    assert [call.outcome for call in simulator.calls.of("user/sync")] == ["lost"] * 3


async def test_an_account_that_was_added_and_is_not_shown_yet(api: Api, simulator: Simulator) -> None:
    """It is looked for until it is shown; that the address exists is no refusal where we may have added it."""
    simulator.faults.on("lost", endpoint="user/sync", times=1)
    simulator.faults.on("errcode", endpoint="user/get", value=1301, times=2)
    code, rows = await results(api, stdin=ADDED)
    assert (code, [row["result"] for row in rows]) == (0, ["added"])
    assert [call.outcome for call in simulator.calls.of("user/sync")] == ["lost", "1304"]


async def test_somebody_who_went_away_meanwhile(api: Api, simulator: Simulator) -> None:
    """There when all were looked at, gone when he was to be written: deleted already, or not to be changed."""
    simulator.faults.on("errcode", endpoint="user/sync", value=1301)
    file = f"alias,name,action\n{AMY},Amy,\n{BOB},,DEL\n"
    code, rows = await results(api, "--yes", stdin=file)
    assert (code, [row["result"] for row in rows]) == (3, ["not-found", "unchanged"])


async def test_an_account_that_is_never_shown(api: Api, simulator: Simulator) -> None:
    """It exists, says the one answer, and it does not, says the other: perhaps we added it, perhaps it was there."""
    simulator.faults.on("lost", endpoint="user/sync", times=1)
    simulator.faults.on("errcode", endpoint="user/get", value=1301)
    code, [row] = await results(api, stdin=ADDED)
    assert (code, row["result"]) == (6, "unknown")
    assert "look before you try again" in row["error"]["message"]


async def test_a_run_that_was_stopped_is_started_again(api: Api, simulator: Simulator) -> None:
    """What was done is unchanged, what was open is looked at, the rest is done; the last line says where it ended."""
    file = f"alias,name,password\n{AMY},Amy,\n{NEW},N,{PASSWORD}\n{BOB},Robert,\n"
    simulator.faults.on("lost", endpoint="user/sync", times=2)
    code, rows = await results(api, "--wait", "0", stdin=file)
    assert (code, [row["result"] for row in rows]) == (6, ["unknown"])
    assert (simulator.world.accounts[AMY].name, simulator.world.accounts[BOB].name != "Robert") == ("Amy", True)
    simulator.faults.clear()
    code, rows = await results(api, stdin=file)
    assert (code, [row["result"] for row in rows]) == (0, ["unchanged", "added", "changed"])


async def test_looking_again_is_refused(api: Api, simulator: Simulator) -> None:
    """The row whose write was lost is told all the same, as one that may have been done, and is the last."""
    simulator.faults.on("lost", endpoint="user/sync", times=1)
    file = f"alias,name\n{AMY},Amy\n{BOB},Robert\n"

    async def refuse() -> None:
        await simulator.calls.wait("user/sync")
        simulator.faults.on("errcode", endpoint="user/get", value=10001)

    (code, rows), _ = await asyncio.gather(results(api, stdin=file), refuse())
    assert (code, [(row["of"], row["result"]) for row in rows]) == (6, [(AMY, "unknown")])


async def test_one_odd_account_does_not_hold_up_the_others(api: Api, simulator: Simulator) -> None:
    """An answer that nobody can read is asked for again, and is that row's own where the provider answers all else."""
    simulator.faults.on("answer", endpoint="user/get", value='{"no":"Alias"}')
    code, rows = await results(api, stdin=f"alias,name\n{AMY},Amy\n")
    assert (code, [row["result"] for row in rows]) == (6, ["away"])
    assert simulator.calls.count("user/get") == 4
    simulator.faults.off("answer")
    assert (await results(api, stdin=f"alias,name\n{AMY},Amy\n"))[0] == 0


async def test_a_provider_that_refuses_us_ends_the_run(api: Api, simulator: Simulator) -> None:
    """Every other row would get the same."""
    simulator.faults.on("errcode", endpoint="user/sync", value=10001)
    code, rows = await results(api, stdin=f"alias,name\n{AMY},Amy\n{BOB},Robert\n")
    assert (code, [(row["of"], row["result"]) for row in rows]) == (4, [(AMY, "refused")])


async def test_what_stays_open_is_said(api: Api, simulator: Simulator) -> None:
    """Pages to every write of a row: it is unknown, and says to look; the next ones are tried."""
    simulator.faults.on("http-status", endpoint="user/sync", value=200, times=3)
    code, rows = await results(api, stdin=f"alias,name\n{AMY},Amy\n{BOB},Robert\n")
    assert (code, [row["result"] for row in rows]) == (6, ["unknown", "changed"])
    assert "whether it was done is not known" in rows[0]["error"]["message"]


async def test_rows_in_succession_that_stay_open_end_the_run(api: Api, simulator: Simulator) -> None:
    """Three alike are no fault of theirs: the fourth is not sent, and what comes next is another run's."""
    for name in ("c@gzdev.com", "d@gzdev.com"):
        simulator.world.add_user(name, name="x")
    simulator.faults.on("errcode", endpoint="user/sync", value=45009)
    file = f"alias,name\n{AMY},A\n{BOB},B\nc@gzdev.com,C\nd@gzdev.com,D\n"
    code, rows = await results(api, stdin=file)
    assert (code, [row["result"] for row in rows]) == (5, ["refused", "refused", "busy"])
    assert simulator.calls.count("user/sync") == 9


async def test_a_limit_of_calls_a_second_is_kept(
    api: Api, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked faster than it allows, by a code that no document has: everything is done, more slowly."""
    # The limit counts real seconds.
    monkeypatch.setattr(pause, "FIRST_S", pause.FIRST_S * FASTER)
    for number in range(12):
        simulator.world.add_user(f"p{number}@gzdev.com", name="x")
    simulator.faults.on("rate", value=8)
    file = "alias,name\n" + "".join(f"p{number}@gzdev.com,P\n" for number in range(12))
    code, rows = await results(api, stdin=file)
    assert (code, {row["result"] for row in rows}) == (0, {"changed"})
