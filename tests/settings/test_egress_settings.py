"""The settings of the way out: the machine's proxy unless there is one of our own, and no password on a screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.settings import Settings, SettingsError, load_settings, show
from tests.support.certificates import make_authority

LOOPBACK = ("localhost", "127.0.0.0/8", "::1")


def proxy_of(settings: Settings) -> str:
    return settings.egress.proxy() if settings.egress.proxy else ""


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
    assert settings.egress.no_proxy == LOOPBACK
    assert settings.egress.ca_file == ""


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_machines_proxy(name: str) -> None:
    """As curl reads it: in both spellings, without a scheme too; ``config show`` says where it came from."""
    environ = {name: "proxy.corp.com:3128", "NO_PROXY": "corp.com, 10.0.0.0/8"}
    settings = load_settings(environ)
    assert proxy_of(settings) == "http://proxy.corp.com:3128"
    assert settings.egress.no_proxy == ("corp.com", "10.0.0.0/8", *LOOPBACK)
    assert shown(environ, "BRIDGE_EGRESS_PROXY") == ["http://proxy.corp.com:3128", f"environment, {name}"]
    assert shown(environ, "BRIDGE_EGRESS_NO_PROXY")[-1].endswith("environment, NO_PROXY")


def test_our_own_wins_over_the_machines(tmp_path: Path) -> None:
    """Each of the two for itself, in the environment and in the file."""
    machine = {"HTTPS_PROXY": "http://a:1", "NO_PROXY": "corp.com"}
    settings = load_settings({**machine, "BRIDGE_EGRESS_PROXY": "http://b:2"})
    assert (proxy_of(settings), settings.egress.no_proxy) == ("http://b:2", ("corp.com", *LOOPBACK))
    (tmp_path / "bridge.toml").write_text('[egress]\nno_proxy = ["x", "y"]\nproxy = "http://c:3"\n')
    settings = load_settings(machine, tmp_path / "bridge.toml")
    assert (proxy_of(settings), settings.egress.no_proxy) == ("http://c:3", ("x", "y"))


def test_a_password_in_the_url_is_hidden(tmp_path: Path) -> None:
    """``config show`` keeps the host, which is what one looks for; nothing else says more; a file works too."""
    environ = {"BRIDGE_EGRESS_PROXY": "http://me:s3cret@proxy:3128"}
    assert shown(environ, "BRIDGE_EGRESS_PROXY") == ["http://(hidden)@proxy:3128", "environment"]
    assert "s3cret" not in repr(load_settings(environ))
    (tmp_path / "proxy").write_text("http://me:s3cret@proxy:3128\n")
    from_file = {"BRIDGE_EGRESS_PROXY_FILE": str(tmp_path / "proxy")}
    assert proxy_of(load_settings(from_file)) == environ["BRIDGE_EGRESS_PROXY"]
    assert "s3cret" not in show(load_settings(from_file))


@pytest.mark.parametrize(
    "url",
    ["socks5://me:s3cret@proxy:1", "http://", "http://me:s3cret@proxy/path", "http://me:s3c/ret@proxy", "http://p:x"],
)
def test_what_is_no_proxy(url: str) -> None:
    """Refused by name, without quoting it; the machine's is the fault of who needs it, and can be left unused."""
    machines = load_settings({"HTTPS_PROXY": url})
    assert proxy_of(machines) == ""
    for name, problem in (
        ("BRIDGE_EGRESS_PROXY", *problems_of({"BRIDGE_EGRESS_PROXY": url})),
        ("BRIDGE_PROVIDER_PROXY", *problems_of({"BRIDGE_PROVIDER_PROXY": url})),
        ("HTTPS_PROXY", machines.unusable_proxy),
    ):
        assert problem.startswith(f"{name}: ")
        assert "s3c" not in problem + repr(machines)
    unused = load_settings({"HTTPS_PROXY": url, "BRIDGE_EGRESS_NO_PROXY": "*"})
    assert (proxy_of(unused), unused.unusable_proxy) == ("", "")


def test_the_former_names_go_on_to_work(tmp_path: Path) -> None:
    """In the environment and in the file, secrets in files of their own too; both names at once are refused."""
    ca_file = str(make_authority(tmp_path).ca_file)
    (tmp_path / "proxy").write_text("http://a:1")
    former = {
        "BRIDGE_PROVIDER_PROXY_FILE": str(tmp_path / "proxy"),
        "BRIDGE_PROVIDER_NO_PROXY": "corp.com",
        "BRIDGE_PROVIDER_CA_FILE": ca_file,
    }
    (tmp_path / "bridge.toml").write_text(
        f'[provider]\nproxy_file = "proxy"\nno_proxy = ["corp.com"]\nca_file = "{ca_file}"\n'
    )
    for settings in (load_settings(former), load_settings({}, tmp_path / "bridge.toml")):
        assert proxy_of(settings) == "http://a:1"
        assert (settings.egress.no_proxy, settings.egress.ca_file) == (("corp.com",), ca_file)
    assert shown(former, "BRIDGE_EGRESS_NO_PROXY") == ["corp.com", "environment, as BRIDGE_PROVIDER_NO_PROXY"]
    assert problems_of(former | {"BRIDGE_EGRESS_NO_PROXY": "x"}) == (
        "BRIDGE_PROVIDER_NO_PROXY: BRIDGE_EGRESS_NO_PROXY is set beside it; set one of them",
    )
    # The environment wins over the file, whichever of the names each has.
    settings = load_settings({"BRIDGE_EGRESS_NO_PROXY": "x"}, tmp_path / "bridge.toml")
    assert settings.egress.no_proxy == ("x",)


def test_the_file_of_certificates(tmp_path: Path) -> None:
    """Looked into when the settings are read: its place must be a whole path, and hold certificates."""
    ca_file = make_authority(tmp_path).ca_file
    assert load_settings({"BRIDGE_EGRESS_CA_FILE": str(ca_file)}).egress.ca_file == str(ca_file)
    (tmp_path / "text.pem").write_text("hello")
    for path, says in (
        ("corp.pem", "must be a whole path"),
        (str(tmp_path / "none.pem"), "cannot be read (No such file or directory)"),
        (str(tmp_path / "text.pem"), "holds no PEM certificate"),
    ):
        assert f"BRIDGE_EGRESS_CA_FILE: {says}" in problems_of({"BRIDGE_EGRESS_CA_FILE": path})[0]
