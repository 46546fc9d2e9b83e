"""The file in ``/etc`` that nobody names: read where it is, and never passed over where that cannot be told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.settings import Present, SettingsFileError, load_settings

_NOBODY = 65_534


@contextmanager
def as_nobody() -> Iterator[None]:
    """For root no folder is closed."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file would be; its folder is not there yet."""
    path = tmp_path / "exmail-bridge" / "bridge.toml"
    monkeypatch.setattr("bridge.settings.load.DEFAULT_CONFIG", path)
    return path


def test_where_it_is_it_is_read_and_where_it_is_not_there_are_defaults(default: Path) -> None:
    """No folder, an empty folder, a file."""
    assert load_settings({}).namespace == "exmail"
    default.parent.mkdir()
    assert load_settings({}).namespace == "exmail"
    default.write_text('namespace = "corp"\n')
    assert load_settings({}).namespace == "corp"


def test_a_closed_folder_is_named_and_is_not_an_absent_file(default: Path) -> None:
    """A service whose folder was closed (``chmod 700 /etc/exmail-bridge``) says so, and no other settings hold; one
    that runs keeps those that it has."""
    default.parent.mkdir()
    default.write_text('namespace = "corp"\n')
    present = Present(load_settings({}), lambda: load_settings({}))
    default.parent.chmod(0)
    try:
        with as_nobody(), pytest.raises(SettingsFileError) as refused:
            load_settings({})
        assert list(refused.value.problems) == [f"cannot read {default}: Permission denied"]
        with as_nobody():
            present.reload()
    finally:
        default.parent.chmod(0o700)
    assert present.settings.namespace == "corp"
