"""The command line as a person meets it: exit codes and one clear line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli import COMMANDS, run_command_line
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


def run(*words, **environ):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    command = [sys.executable, "-m", "bridge", *words]
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **environ}, capture_output=True, text=True, timeout=PATIENCE_S
    )


def test_what_keeps_a_program_from_starting_is_json_where_log_lines_are():
    """One line, for whatever collects them; somebody who typed a command reads plain text."""
    told = run("edge", BRIDGE_LOG_FORMAT="json", BRIDGE_REDIS_ULR="x")
    [line] = told.stderr.splitlines()
    said = json.loads(line)
    assert (told.returncode, said["level"], said["role"], said["message"]) == (2, "error", "edge", "the program ends")
    assert said["why"] == "BRIDGE_REDIS_ULR is not a setting; did you mean BRIDGE_REDIS_URL?"
    assert (
        run("why", "a@b.cn", BRIDGE_LOG_FORMAT="json", BRIDGE_REDIS_ULR="x").stderr == f"exmail-bridge: {said['why']}\n"
    )


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_explains_itself(name, capsys):
    """``COMMAND --help`` exits 0 and ends in examples that begin with the program's name."""
    with pytest.raises(SystemExit) as done:
        run_command_line([name, "--help"])
    assert done.value.code == 0
    assert f"examples:\n  exmail-bridge {name}" in capsys.readouterr().out


def test_wrong_settings_exit_2_with_one_line():
    """A misspelt variable stops a command before it does anything, without a traceback."""
    told = run("worker", BRIDGE_REDIS_ULR="x")
    assert told.returncode == 2
    assert told.stderr == "exmail-bridge: BRIDGE_REDIS_ULR is not a setting; did you mean BRIDGE_REDIS_URL?\n"


def test_missing_settings_exit_2():
    """The edge without a way to verify tokens does not start."""
    told = run("edge")
    assert told.returncode == 2
    assert told.stderr == (
        "exmail-bridge: BRIDGE_EDGE_JWT_SECRET or BRIDGE_EDGE_JWKS_URL: edge needs exactly one, neither is set, "
        "nor BRIDGE_EDGE_AUTH_HEADER or _AUTH_URL\n"
    )


@pytest.mark.parametrize("words", [(), ("frob",), ("edge", "--workers", "0"), ("dev", "--port", "x"), ("config",)])
def test_a_wrong_call_exits_2(words, capsys):
    """What the parser cannot read is a wrong call, with the usage."""
    with pytest.raises(SystemExit) as refused:
        run_command_line(words)
    assert refused.value.code == 2
    assert "usage: exmail-bridge" in capsys.readouterr().err


def test_config_check_lists_every_problem():
    """``config check`` prints all problems, one a line, and exits 2; 0 when there are none."""
    told = run("config", "check", "--for", "worker", BRIDGE_PRIVACY="x", BRIDGE_WORKER_LEASE="x")
    assert told.returncode == 2
    assert len(told.stdout.splitlines()) == 2
    told = run("config", "check", "--for", "worker", "--for", "edge")
    assert len(told.stdout.splitlines()) == 3
    told = run("config", "check")
    assert (told.returncode, told.stdout) == (0, "the settings are valid\n")


def test_config_show_hides_secrets():
    """``config show`` tells value and source, and of a secret only that it is there."""
    told = run("config", "show", BRIDGE_PROVIDER_CLIENT_SECRET="hush", BRIDGE_NAMESPACE="corp")
    lines = {line.split()[0]: line.split()[1:] for line in told.stdout.splitlines()}
    assert lines["BRIDGE_NAMESPACE"] == ["corp", "environment"]
    assert lines["BRIDGE_PROVIDER_CLIENT_SECRET"] == ["(hidden)", "environment"]
    assert "hush" not in told.stdout


def test_dev_settings_without_a_dev_are_refused(tmp_path, monkeypatch, capsys):
    """``--dev`` outside a folder where ``dev`` ran says what to do."""
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["config", "show", "--dev"]) == 2
    assert (
        capsys.readouterr().err == "exmail-bridge: there is no .dev/bridge.toml here; run `dev` in this folder first\n"
    )


def test_the_real_provider_is_not_taken_without_asking():
    """``dev --provider real`` with nobody to answer does not start."""
    told = run("dev", "--provider", "real", BRIDGE_PROVIDER_CLIENT_ID="x")
    assert told.returncode == 2
    assert told.stderr == "exmail-bridge: not started; --yes says it beforehand\n"


def test_tests_run_without_this_shells_settings(tmp_path):
    """``test`` hands pytest its words and hides every production setting from the tests."""
    file = tmp_path / "test_environment_of_tests.py"
    file.write_text(
        "import os\n"
        "def test_it():\n"
        "    assert [n for n in os.environ if n.startswith('BRIDGE_')] == ['BRIDGE_TEST_KEPT']\n"
    )
    told = run("test", "-q", str(file), BRIDGE_REDIS_URL="redis://production", BRIDGE_TEST_KEPT="1")
    assert told.returncode == 0, told.stdout
    assert "1 passed" in told.stdout
