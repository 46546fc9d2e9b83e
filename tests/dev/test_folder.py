"""What ``dev`` writes into its folder: a settings file that says what was set, what was made up, and nothing torn."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from bridge.dev.folder import DevFolder, given, is_given, to_toml
from bridge.settings import SettingsError
from bridge.supervision import StartRefused

SECRET = "dev-" + "s" * 40


def test_any_text_survives_the_file() -> None:
    """Line ends, quotes, backslashes, DEL and Chinese in a value, and a name that is no bare key, are read back."""
    text = 'two\nlines "quoted" back\\slash \x7f 密钥 \t'
    entries = {("", "namespace"): "x", ("edge", "jwt_secret"): text, ("odd name", "k é"): ["a", "b"], ("edge", "n"): 3}
    assert tomllib.loads(to_toml(entries)) == {
        "namespace": "x",
        "edge": {"jwt_secret": text, "n": 3},
        "odd name": {"k é": ["a", "b"]},
    }


def test_only_the_owner_reads_it_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    """The file has mode 0600; settings that cannot be used leave the former file, and no draft."""
    with DevFolder(tmp_path / "home") as home:
        home.load({("edge", "jwt_secret"): SECRET}, {})
        with pytest.raises(SettingsError):
            home.load({("edge", "jwt_secret"): "short"}, {})
        assert home.kept() == {("edge", "jwt_secret"): SECRET}
        assert stat.S_IMODE(home.settings_path.stat().st_mode) == 0o600
        assert sorted(path.name for path in home.path.iterdir()) == ["bridge.toml", "dev.lock"]


@pytest.mark.parametrize(
    "left",
    [
        None,
        b"",
        b"not toml [",
        b'[edge]\njwt_secret = "\xff"',
        b"[history]\nevents = 3\n",
        b"[edge]\njwt_secret='operator'\n",
    ],
)
def test_of_an_earlier_run_only_secrets_are_kept(tmp_path: Path, left: bytes | None) -> None:
    """Whatever an earlier run left, an operator set for it, or somebody broke, gives nothing and no error."""
    home = DevFolder(tmp_path)
    if left is not None:
        home.settings_path.write_bytes(left)
    assert home.kept() == {}


def test_the_environment_stands_over_the_named_file(tmp_path: Path) -> None:
    """``BRIDGE_CONFIG`` counts, the environment counts more; a secret's file keeps its place."""
    (tmp_path / "bridge.toml").write_text(
        'namespace = "corp"\n[redis]\nurl = "redis://file:1"\npassword_file = "pw"\n'
        '[edge]\njwt_secret_file = "jwt"\n[provider]\napi_url = "http://production:1"\n'
    )
    environ = {
        "BRIDGE_CONFIG": str(tmp_path / "bridge.toml"),
        "BRIDGE_REDIS_URL": "redis://environment:1",
        "BRIDGE_EDGE_JWT_SECRET": SECRET,
        "BRIDGE_PROVIDER_AUTH_URL": "http://production:2",
        "BRIDGE_PROVIDER_CLIENT_SECRET_FILE": str(tmp_path / "cs"),
        "HOME": "/",
    }
    entries, used = given(environ, simulated=True)
    assert entries == {
        ("", "namespace"): "corp",
        ("redis", "url"): "redis://environment:1",
        ("redis", "password_file"): str(tmp_path / "pw"),
        ("edge", "jwt_secret"): SECRET,
        ("provider", "client_secret_file"): str(tmp_path / "cs"),
    }
    assert is_given(entries, "provider", "client_secret")
    assert not is_given(entries, "provider", "api_url")
    # A simulated provider is not replaced by production's; neither file nor environment may say so later.
    assert "BRIDGE_CONFIG" not in used
    assert "BRIDGE_PROVIDER_AUTH_URL" not in used
    entries, used = given(environ, simulated=False)
    assert entries["provider", "api_url"] == "http://production:1"
    assert used["BRIDGE_PROVIDER_AUTH_URL"] == "http://production:2"


def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    """A file in the folder's place is named."""
    (tmp_path / "home").write_text("")
    with pytest.raises(StartRefused, match=r"cannot write to .*home"), DevFolder(tmp_path / "home"):
        pass
