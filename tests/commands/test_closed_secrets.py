"""Whoever may read the password of Redis, and no other secret, gets what Redis knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.cli import run_command_line
from tests.support.stage import BOB


@pytest.fixture
def closed(tmp_path: Path, redis_url: str) -> Path:
    """Settings that name a file with a secret that is not to be read: for root it is a folder."""
    (tmp_path / "secret").mkdir()
    config = tmp_path / "bridge.toml"
    config.write_text(
        f'[redis]\nurl = "{redis_url}"\n[provider]\nclient_id = "corp"\nclient_secret_file = "{tmp_path}/secret"\n'
        f'[edge]\njwt_secret_file = "{tmp_path}/secret"\n'
    )
    return config


@pytest.mark.parametrize(
    "words", [["status"], ["why", BOB], ["dead", "list"], ["events", "--since", "1h", "--until", "now"], ["kick", BOB]]
)
def test_a_command_that_asks_redis_alone_needs_no_other_secret(
    words: list[str], closed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It answers, where nobody leads as well."""
    run_command_line([*words, "--config", str(closed)])
    said = capsys.readouterr().err
    assert "_FILE" not in said
    assert "secret" not in said


def test_whoever_uses_it_is_told(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As before, and at once."""
    assert run_command_line(["api", "user/get", "--alias", BOB, "--config", str(closed)]) != 0
    assert "BRIDGE_PROVIDER_CLIENT_SECRET_FILE: cannot read" in capsys.readouterr().err
