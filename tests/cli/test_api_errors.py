"""``api``: how it ends, for a person and for a script."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from bridge.cli import run_command_line
from bridge.simulator import Simulator

from .conftest import AMY, Api

BOB = "bob@gzdev.com"


async def test_a_refusal_in_words(api: Api, simulator: Simulator) -> None:
    """What it means, and the errcode; the exit code tells not found, refused, busy and away apart."""
    code, out, err = await api("user/get", "--alias", "nobody@gzdev.com")
    assert (code, out) == (3, "")
    assert err == "exmail-bridge: user/get: there is no such account or address (errcode 1301 'user_not_found')\n"
    simulator.faults.on("errcode", endpoint="party/list", value=10001)
    code, _, err = await api("party/list")
    assert (code, "allow-list" in err, "10001" in err) == (4, True, True)
    simulator.faults.on("errcode", endpoint="group/delete", value=1002)
    assert (await api("group/delete", "--group-alias", "team@gzdev.com", "--yes"))[0] == 5
    await simulator.stop()
    code, _, err = await api("user/get", "--alias", BOB)
    assert code == 6
    assert err.startswith("exmail-bridge: user/get: ClientConnectorError")


async def test_errors_are_json_on_demand(
    api: Api, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``--json``: one object on standard error for whatever went wrong, with what a program may want to know of it."""

    async def error(*words: str, stdin: str = "") -> tuple[int, dict[str, object]]:
        code, out, err = await api(*words, "--json", stdin=stdin)
        assert out == ""
        return code, json.loads(err)["error"]

    code, told = await error("user/get", "--alias", "nobody@gzdev.com")
    assert code == 3
    assert told.pop("message")
    assert told == {"kind": "not-found", "endpoint": "user/get", "errcode": "1301"}
    code, told = await error("user/list", "--ver", "x")
    assert (code, told["kind"], told["parameter"], told["section"]) == (2, "misused", "Ver", "3.3.3")
    code, told = await error("user/sync", "--action", "DEL", "--alias", AMY)
    assert (code, told["kind"], "--yes" in str(told["message"])) == (2, "misused", True)
    modify = ("user/sync", "--action", "MOD", "--alias", AMY, "--password-file", "-")
    code, told = await error(*modify, stdin="hush\n")
    assert (code, told["parameter"], "hush" in str(told)) == (2, "Password", False)
    simulator.faults.on("answer", endpoint="group/delete", value="<html>\u202e")
    code, told = await error("group/delete", "--group-alias", "team@gzdev.com", "--yes")
    assert (code, told["kind"]) == (6, "unknown")
    simulator.faults.on("http-status", endpoint="party/list", value=502)
    code, told = await error("party/list")
    assert (code, told["kind"], told["status"]) == (6, "away", 502)
    monkeypatch.setenv("BRIDGE_PROVIDER_CLIENT_SECRET", "another-key")
    code, told = await error("token", "--anew")
    assert (code, told["kind"]) == (4, "refused")
    monkeypatch.setenv("BRIDGE_REDIS_URL", f"unix://{tmp_path}/none.sock")
    code, _, err = await api("user/get", "--alias", BOB, "--json")
    assert [list(json.loads(line)) for line in err.splitlines()] == [["note"], ["error"]]
    monkeypatch.delenv("BRIDGE_PROVIDER_CLIENT_ID")
    code, told = await error("party/list")
    assert (code, told["kind"]) == (2, "misused")


def test_the_help_has_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the command and of each of its endpoints."""
    for words in (["--help"], ["user/get", "--help"]):
        with pytest.raises(SystemExit):
            run_command_line(["api", *words])
        assert "  3  not found: there is no such account\n" in capsys.readouterr().out


async def test_a_password_from_a_standard_input_that_is_closed(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in ``<&-``: there is none, in one line."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", None)
    for more in ["--password-file", "-"], []:
        words = ["api", "user/sync", "--action", "ADD", "--alias", "new@gzdev.com", "--name", "N", *more]
        assert await asyncio.to_thread(run_command_line, words) == 2
        assert capsys.readouterr().err.startswith("exmail-bridge: Password ")
