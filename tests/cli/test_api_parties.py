"""``api user/sync --from FILE``: departments that rows name and that are not there."""

from __future__ import annotations

import pytest

from bridge.simulator import Simulator

from .conftest import AMY, FASTER, Api

BOB = "bob@gzdev.com"
SYNC = ("user/sync", "--rate", "1000", "--from", "-")
FILE = f"账号,部门\n{AMY},深圳研发中心/测试部/一组；广州研发中心\n{BOB},深圳研发中心/测试部/一组\n"
NEW = "深圳研发中心/测试部/一组"


def words(out: str) -> list[tuple[str, str]]:
    return [(line.split("\t")[1], line.split("\t")[2]) for line in out.splitlines()]


async def test_without_being_asked_no_department_is_added(api: Api, simulator: Simulator) -> None:
    """Whoever is to be put into one is left as he is, and the dry run says so already."""
    for more in ("--dry-run",), ():
        code, out, _ = await api(*SYNC, *more, stdin=f"{FILE.splitlines()[0]}\n{AMY},没有的部门\n{BOB},广州研发中心\n")
        assert (code, words(out)[0]) == (4, (AMY, "refused"))
        assert "there is no department 没有的部门; --add-parties adds it" in out
    assert simulator.calls.count("user/sync", "ok") == 1


@pytest.mark.parametrize("fault", ["", "lost", "busy"])
async def test_departments_are_added_first(api: Api, simulator: Simulator, fault: str) -> None:
    """Each once, with those above it; nobody is put into one before it is shown, and a lost answer is no second try."""
    # Longer than the pause after a lost answer: the second try is refused, because it exists, and is not shown yet.
    simulator.rules.party_delay_s = (1.2 if fault == "lost" else 0.3) / FASTER
    if fault:
        kind, value = ("lost", None) if fault == "lost" else ("errcode", 1002)
        simulator.faults.on(kind, endpoint="party/sync", value=value, times=1)
    code, out, _ = await api(*SYNC, "--add-parties", "--dry-run", stdin=FILE)
    assert (code, words(out)) == (0, [(NEW, "would-add"), (AMY, "would-change"), (BOB, "would-change")])
    assert simulator.calls.count("party/sync") == 0
    code, out, _ = await api(*SYNC, "--add-parties", stdin=FILE)
    assert (code, words(out)) == (0, [(NEW, "added"), (AMY, "changed"), (BOB, "changed")])
    assert set(simulator.world.accounts[AMY].parties) == {NEW, "广州研发中心"}
    code, out, _ = await api(*SYNC, "--add-parties", stdin=FILE)
    assert (code, words(out)) == (0, [(AMY, "unchanged"), (BOB, "unchanged")])


async def test_a_department_that_is_refused_is_told(api: Api, simulator: Simulator) -> None:
    """And then those who are to be in it."""
    simulator.faults.on("errcode", endpoint="party/sync", value=1001)
    code, out, _ = await api(*SYNC, "--add-parties", stdin=FILE)
    assert (code, words(out)) == (4, [(NEW, "refused"), (AMY, "refused"), (BOB, "refused")])
    assert "there is no such department" in out
