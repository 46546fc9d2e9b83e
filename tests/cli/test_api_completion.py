"""Completion of ``api``: bash's script is run, and every script has every word."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from bridge.cli import run_command_line
from bridge.commands.api.completion import options_of, script
from bridge.commands.api.words import SHELLS, endpoints_by_word
from tests.support.waiting import PATIENCE_S


def completed(bash: str, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in words)
    program = f"""
{script("bash")}
COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}
_exmail_bridge_api
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    told = subprocess.run([bash, "--norc", "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)
    assert not told.stderr
    return told.stdout.split()


def test_completion_of_bash(require_binary: Callable[[str], str]) -> None:
    """Endpoints, then options of that endpoint, then values; nothing where only a person knows."""
    bash = require_binary("bash")
    assert completed(bash, "exmail-bridge", "api", "party") == ["party/sync", "party/list", "partyuser/list"]
    assert set(endpoints_by_word()) < set(completed(bash, "exmail-bridge", "api", ""))
    assert completed(bash, "exmail-bridge", "api", "user/sync", "--p") == [
        "--position",
        "--party-path",
        "--password-file",
    ]
    assert completed(bash, "exmail-bridge", "api", "user/sync", "--action", "") == ["ADD", "MOD", "DEL"]
    assert completed(bash, "exmail-bridge", "api", "group/add", "--status", "i") == ["inner"]
    assert completed(bash, "exmail-bridge", "api", "--completion", "") == list(SHELLS)
    assert completed(bash, "exmail-bridge", "api", "user/get", "--config", "") == []
    assert completed(bash, "exmail-bridge", "worker", "") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_has_every_word(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each endpoint with each of its options, and nothing that takes a password."""
    assert run_command_line(["api", "--completion", shell]) == 0
    told = capsys.readouterr().out
    assert told == script(shell)
    for word, group in endpoints_by_word().items():
        assert word in told
        for name in options_of(group):
            assert (f"-l {name[2:]}" if shell == "fish" else name) in told
    assert "--password " not in told
    assert "--ticket" not in told


def test_completed_options_are_those_of_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    """What is offered is taken: the help of each endpoint names the same options."""
    for word, group in endpoints_by_word().items():
        with pytest.raises(SystemExit):
            run_command_line(["api", word, "--help"])
        told = capsys.readouterr().out
        assert not [name for name in options_of(group) if name not in told]
