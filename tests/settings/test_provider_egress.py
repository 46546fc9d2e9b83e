"""The settings of the way out: the machine's proxy unless there is one of our own, and no password on a screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings import Settings, SettingsError, load_settings, show
from tests.support.certificates import make_authority

LOOPBACK = ("localhost", "127.0.0.0/8", "::1")


def proxy_of(settings: Settings) -> str:
    return settings.provider.proxy() if settings.provider.proxy else ""


def shown(environ: dict[str, str], variable: str) -> list[str]:
    lines = show(load_settings(environ)).splitlines()
    return next(line.split(maxsplit=2)[1:] for line in lines if line.startswith(f"{variable} "))


def problems_of(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as refused:
        load_settings(environ)
    return tuple(refused.value.problems)


def test_no_proxy_by_default() -> None:
    """And what is on this machine is never behind one."""
    settings = load_settings({})
    assert proxy_of(settings) == ""
    assert settings.provider.no_proxy == LOOPBACK
    assert settings.provider.ca_file == ""


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_machines_proxy(name: str) -> None:
    """As curl reads it: in both spellings, without a scheme too; ``config show`` says where it came from."""
    environ = {name: "proxy.corp.com:3128", "NO_PROXY": "corp.com, 10.0.0.0/8"}
    settings = load_settings(environ)
    assert proxy_of(settings) == "http://proxy.corp.com:3128"
    assert settings.provider.no_proxy == ("corp.com", "10.0.0.0/8", *LOOPBACK)
    assert shown(environ, "BRIDGE_PROVIDER_PROXY") == ["http://proxy.corp.com:3128", f"environment, {name}"]
    assert shown(environ, "BRIDGE_PROVIDER_NO_PROXY")[-1].endswith("environment, NO_PROXY")


def test_our_own_wins_over_the_machines(tmp_path: Path) -> None:
    """Each of the two for itself, in the environment and in the file."""
    machine = {"HTTPS_PROXY": "http://a:1", "NO_PROXY": "corp.com"}
    settings = load_settings({**machine, "BRIDGE_PROVIDER_PROXY": "http://b:2"})
    assert (proxy_of(settings), settings.provider.no_proxy) == ("http://b:2", ("corp.com", *LOOPBACK))
    (tmp_path / "bridge.toml").write_text('[provider]\nno_proxy = ["x", "y"]\nproxy = "http://c:3"\n')
    settings = load_settings(machine, tmp_path / "bridge.toml")
    assert (proxy_of(settings), settings.provider.no_proxy) == ("http://c:3", ("x", "y"))


def test_a_password_in_the_url_is_hidden(tmp_path: Path) -> None:
    """``config show`` keeps the host, which is what one looks for; nothing else says more; a file works too."""
    environ = {"BRIDGE_PROVIDER_PROXY": "http://me:s3cret@proxy:3128"}
    assert shown(environ, "BRIDGE_PROVIDER_PROXY") == ["http://(hidden)@proxy:3128", "environment"]
    assert "s3cret" not in repr(load_settings(environ))
    (tmp_path / "proxy").write_text("http://me:s3cret@proxy:3128\n")
    from_file = {"BRIDGE_PROVIDER_PROXY_FILE": str(tmp_path / "proxy")}
    assert proxy_of(load_settings(from_file)) == environ["BRIDGE_PROVIDER_PROXY"]
    assert "s3cret" not in show(load_settings(from_file))


@pytest.mark.parametrize(
    "url",
    ["socks5://me:s3cret@proxy:1", "http://", "http://me:s3cret@proxy/path", "http://me:s3c/ret@proxy", "http://p:x"],
)
def test_what_is_no_proxy(url: str) -> None:
    """Refused by name, without quoting it; the machine's can be left unused."""
    for name in ("BRIDGE_PROVIDER_PROXY", "HTTPS_PROXY"):
        [problem] = problems_of({name: url})
        assert problem.startswith(f"{name}: ")
        assert "s3c" not in problem
    assert proxy_of(load_settings({"HTTPS_PROXY": url, "BRIDGE_PROVIDER_NO_PROXY": "*"})) == ""


def test_the_file_of_certificates(tmp_path: Path) -> None:
    """Looked into when the settings are read: its place must be a whole path, and hold certificates."""
    ca_file = make_authority(tmp_path).ca_file
    assert load_settings({"BRIDGE_PROVIDER_CA_FILE": str(ca_file)}).provider.ca_file == str(ca_file)
    (tmp_path / "text.pem").write_text("hello")
    for path, says in (
        ("corp.pem", "must be a whole path"),
        (str(tmp_path / "none.pem"), "cannot be read (No such file or directory)"),
        (str(tmp_path / "text.pem"), "holds no PEM certificate"),
    ):
        assert f"BRIDGE_PROVIDER_CA_FILE: {says}" in problems_of({"BRIDGE_PROVIDER_CA_FILE": path})[0]
