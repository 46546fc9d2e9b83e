"""``config check`` and the start say the same of the same settings, each in one clear line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.cli import run_command_line
from tests.support.certificates import make_authority
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
SECRET = "a-secret-of-more-than-thirty-two-bytes"
PEOPLE = {"BRIDGE_EDGE_JWT_SECRET": SECRET}
ACCOUNT = {"BRIDGE_PROVIDER_CLIENT_ID": "a", "BRIDGE_PROVIDER_CLIENT_SECRET": "b"}
NOWHERE = "redis://127.0.0.1:1/0"

Told = tuple[int, str]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Told]:
    """Run a command in this process, with these settings and no others; its exit code and what it said."""
    for name in list(os.environ):
        if name.startswith("BRIDGE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)

    def run(environ: dict[str, str], *words: str) -> Told:
        with monkeypatch.context() as patch:
            for name, value in ({"BRIDGE_REDIS_URL": NOWHERE} | environ).items():
                patch.setenv(name, value)
            code = run_command_line(words)
        out = capsys.readouterr()
        return code, (out.out + out.err.removeprefix("exmail-bridge: ")).strip()

    return run


WRONG = {
    "an origin with a pattern": (
        "edge",
        {"BRIDGE_EDGE_ALLOWED_ORIGINS": "https://*.corp.com"},
        "there are no patterns",
    ),
    "an origin without a host": ("edge", {"BRIDGE_EDGE_ALLOWED_ORIGINS": "https://:443"}, "is no origin"),
    "a public url with an empty port": (
        "edge",
        {"BRIDGE_EDGE_PUBLIC_URL": "https://oa.corp.com:/x"},
        "must be an http",
    ),
    "a public url with a pattern": ("edge", {"BRIDGE_EDGE_PUBLIC_URL": "https://*.corp.com/x"}, "must be an http"),
    "no database": ("worker", {"BRIDGE_REDIS_URL": "redis://h/0?db=abc"}, "db with something else than the number"),
    "a cluster's database": ("edge", {"BRIDGE_REDIS_URL": "redis+cluster://h?db=3"}, "a cluster has database 0 only"),
    "shards of one server": (
        "edge",
        {"BRIDGE_REDIS_SHARDED": "beside"},
        "BRIDGE_REDIS_SHARDED: only a cluster has shards; BRIDGE_REDIS_URL must begin with redis+cluster://",
    ),
    "no host of redis": ("edge", {"BRIDGE_REDIS_URL": "redis://999.0.0.1"}, "must name a host"),
    "no host name check": (
        "edge",
        {"BRIDGE_REDIS_URL": "rediss://h?ssl_check_hostname=perhaps"},
        "ssl_check_hostname with something else than true or false",
    ),
    "a key without its certificate": (
        "edge",
        {"BRIDGE_REDIS_URL": "rediss://h?ssl_keyfile=/etc/hosts"},
        "ssl_keyfile without ssl_certfile",
    ),
    "every address by a star": (
        "edge",
        {"BRIDGE_EDGE_LISTEN": "*:0"},
        "every address of the machine is 0.0.0.0 or [::]",
    ),
    "no address to listen on": (
        "worker",
        {"BRIDGE_WORKER_ADMIN_LISTEN": "300.0.0.1:1"},
        "neither a name nor an address",
    ),
    "no host of the provider": ("worker", {"BRIDGE_PROVIDER_API_URL": "http://*:12211"}, "must be an http"),
    "no host of a proxy": ("worker", {"BRIDGE_EGRESS_PROXY": "http://*:3128"}, "must look like http://proxy"),
    "a header that anybody may send": (
        "edge",
        {"BRIDGE_EDGE_AUTH_HEADER": "X-Exmail-Mailbox"},
        "BRIDGE_EDGE_AUTH_HEADER: set BRIDGE_EDGE_TRUSTED_PROXIES too",
    ),
    "a header that nobody may send": (
        "signon",
        {"BRIDGE_EDGE_AUTH_HEADER": "X-Exmail-Mailbox", "BRIDGE_EDGE_TRUSTED_PROXIES": "none"},
        "BRIDGE_EDGE_AUTH_HEADER: set BRIDGE_EDGE_TRUSTED_PROXIES too",
    ),
    "an OA that is asked about nothing": (
        "edge",
        {"BRIDGE_EDGE_AUTH_URL": "http://oa.corp.com/whoami"},
        "BRIDGE_EDGE_AUTH_URL: set BRIDGE_EDGE_AUTH_COOKIES too",
    ),
    "one port for two": (
        "edge",
        {"BRIDGE_EDGE_LISTEN": "0.0.0.0:9000", "BRIDGE_EDGE_ADMIN_LISTEN": "127.0.0.1:9000"},
        "BRIDGE_EDGE_ADMIN_LISTEN: port 9000 is that of BRIDGE_EDGE_LISTEN too",
    ),
    "a public key in place of a secret": (
        "edge",
        {"BRIDGE_EDGE_JWT_SECRET": "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ"},
        "BRIDGE_EDGE_JWT_SECRET: secret 1 will not do",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_text_shows_to_be_wrong_is_exit_2_from_both(said: Callable[..., Told], case: str) -> None:
    """One line, the same from ``config check`` and from the start, and nothing was begun."""
    program, wrong, words = WRONG[case]
    environ = PEOPLE | ACCOUNT | wrong
    checked, started = said(environ, "config", "check", "--for", program), said(environ, program)
    assert checked == started
    code, line = checked
    assert (code, line.count("\n")) == (2, 0)
    assert words in line
    assert any(line.startswith(name) for name in wrong)
    # Nobody need say what it is for.
    assert said(environ, "config", "check")[0] == (0 if case == "one port for two" else 2)


def test_processes_whose_admin_ports_do_not_exist(said: Callable[..., Told]) -> None:
    """Each child would die at its start, and be started again without end."""
    last = PEOPLE | {"BRIDGE_EDGE_ADMIN_LISTEN": "127.0.0.1:65535"}
    both = [said(last, *words, "--workers", "2") for words in (("config", "check", "--for", "edge"), ("edge",))]
    assert both[0] == both[1]
    assert both[0][0] == 2
    assert "the 2 ports above 65535, and the last port is 65535" in both[0][1]
    for environ, count in ((last, "1"), (PEOPLE | {"BRIDGE_EDGE_ADMIN_LISTEN": "127.0.0.1:65533"}, "2")):
        assert said(environ, "config", "check", "--for", "edge", "--workers", count)[0] == 0
    onto = PEOPLE | {"BRIDGE_EDGE_ADMIN_LISTEN": "127.0.0.1:8078"}
    assert said(onto, "config", "check", "--for", "edge")[0] == 0
    assert "port 8080 is that of BRIDGE_EDGE_LISTEN too" in said(onto, "edge", "--workers", "2")[1]


def files_that_are_wrong(folder: Path) -> Iterator[tuple[dict[str, str], str]]:
    (folder / "text.pem").write_text("hello")
    (folder / "public").write_text("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ")
    for name in ("one", "other"):
        (folder / name).mkdir()
    one, other = make_authority(folder / "one"), make_authority(folder / "other")
    yield {"BRIDGE_EGRESS_CA_FILE": str(folder / "none.pem")}, "cannot be read (No such file or directory)"
    yield {"BRIDGE_EGRESS_CA_FILE": str(folder / "text.pem")}, "holds no PEM certificate"
    yield {"BRIDGE_REDIS_URL": f"rediss://h?ssl_ca_certs={folder}/none.pem"}, "ssl_ca_certs cannot be read"
    yield (
        {"BRIDGE_REDIS_URL": f"rediss://h?ssl_certfile={one.chain}&ssl_keyfile={other.chain}"},
        "ssl_keyfile is no key, or not that of ssl_certfile",
    )
    yield {"BRIDGE_EDGE_JWT_SECRET_FILE": str(folder / "public"), "BRIDGE_EDGE_JWT_SECRET": ""}, "will not do"
    yield {"BRIDGE_CONFIG": str(folder / "none.toml")}, "cannot read"


def test_what_files_hold_may_heal_and_is_exit_1_from_both(said: Callable[..., Told], tmp_path: Path) -> None:
    """Whoever watches over the program may start it again: a file may be there, and right, a moment later."""
    for wrong, words in files_that_are_wrong(tmp_path):
        environ = PEOPLE | wrong
        checked, started = said(environ, "config", "check", "--for", "edge"), said(environ, "edge")
        assert checked == started
        assert (checked[0], checked[1].count("\n")) == (1, 0)
        assert words in checked[1]


def test_a_proxy_that_is_none_concerns_who_would_need_it(said: Callable[..., Told]) -> None:
    """The machine's ``HTTPS_PROXY`` may be of another kind: whoever calls nobody behind it starts."""
    socks = {"HTTPS_PROXY": "socks5://proxy.corp.com:1080"}
    fetched = {"BRIDGE_EDGE_JWKS_URL": "https://oa.corp.com/keys"}
    for program, environ in (
        ("edge", PEOPLE | socks),
        ("edge", PEOPLE | ACCOUNT | socks | {"BRIDGE_SIGNON": "off"}),
        ("edge", fetched | socks | {"NO_PROXY": "corp.com"}),
        ("worker", ACCOUNT | socks | {"BRIDGE_EGRESS_NO_PROXY": "*"}),
        ("worker", ACCOUNT | socks | {"BRIDGE_EGRESS_PROXY": "http://proxy.corp.com:3128"}),
    ):
        assert said(environ, "config", "check", "--for", program) == (0, "the settings are valid")
    for program, environ in (
        ("worker", ACCOUNT | socks),
        ("signon", PEOPLE | ACCOUNT | socks),
        ("edge", PEOPLE | ACCOUNT | socks),
        ("edge", fetched | socks | {"NO_PROXY": "10.0.0.0/8"}),
    ):
        checked, started = said(environ, "config", "check", "--for", program), said(environ, program)
        assert checked == started
        assert checked[0] == 2
        assert checked[1].startswith("HTTPS_PROXY: must look like http://proxy.corp.com:3128; ")
    told = said(ACCOUNT | socks, "api", "party/list")
    assert (told[0], "HTTPS_PROXY: must look like" in told[1]) == (2, True)
    # Reads Redis, and nothing else.
    assert said(socks, "directory", "list")[0] == 1


def started_as_programs(environs: list[dict[str, str]]) -> list[Told]:
    """Start edges beside each other; what each ended with, and its last words."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    command = [sys.executable, "-m", "bridge", "edge"]
    running = [
        subprocess.Popen(command, cwd=ROOT, env={**kept, **environ}, stderr=subprocess.PIPE, text=True)
        for environ in environs
    ]
    ended = [(each.communicate(timeout=PATIENCE_S)[1], each.returncode) for each in running]
    return [(code, said.splitlines()[-1].removeprefix("exmail-bridge: ")) for said, code in ended]


def test_what_only_the_network_tells_is_exit_1_from_both(said: Callable[..., Told], redis_url: str) -> None:
    """A name to listen on, a port in use, a database: said by ``--online`` and by the start in the same words."""
    fine = PEOPLE | {
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_EDGE_ADMIN_LISTEN": "127.0.0.1:0",
        "BRIDGE_EDGE_LISTEN": "127.0.0.1:0",
    }
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wrong = {
            "cannot listen on nowhere.invalid:80: ": {"BRIDGE_EDGE_LISTEN": "nowhere.invalid:80"},
            "cannot listen on none.invalid:80: ": {"BRIDGE_EDGE_ADMIN_LISTEN": "none.invalid:80"},
            f"cannot listen on 127.0.0.1:{port}: Address already in use": {"BRIDGE_EDGE_LISTEN": f"127.0.0.1:{port}"},
            "cannot listen on 192.0.2.1:80: Cannot assign": {"BRIDGE_EDGE_LISTEN": "192.0.2.1:80"},
            "this server has no such database as BRIDGE_REDIS_URL names": {"BRIDGE_REDIS_URL": f"{redis_url}?db=99"},
        }
        words_of_start = list(wrong)[::2]
        for words, (code, line) in zip(
            words_of_start, started_as_programs([fine | wrong[words] for words in words_of_start]), strict=True
        ):
            assert code == 1
            assert words in line
        for words, each in wrong.items():
            environ = fine | each
            assert said(environ, "config", "check", "--for", "edge")[0] == 0
            code, line = said(environ, "config", "check", "--for", "edge", "--online")
            assert (code, line.count("\n")) == (1, 0)
            assert words in line
    assert said(fine, "config", "check", "--online", "--for", "edge") == (0, "the settings are valid")


def test_hosts_are_looked_up_where_they_are_connected_to(said: Callable[..., Told], redis_url: str) -> None:
    """Behind a proxy only its own name counts; without Redis that is one line more."""
    there = ACCOUNT | {"BRIDGE_REDIS_URL": redis_url}
    urls = {"BRIDGE_PROVIDER_API_URL": "http://a.invalid:1", "BRIDGE_PROVIDER_AUTH_URL": "https://b.invalid"}
    code, lines = said(there | urls, "config", "check", "--online")
    assert (code, [line.partition(": ")[0] for line in lines.splitlines()]) == (1, list(urls))
    code, lines = said(
        there | urls | {"BRIDGE_EGRESS_PROXY": "http://me:hush@c.invalid"}, "config", "check", "--online"
    )
    assert (code, lines.count("\n"), "hush" in lines) == (1, 0, False)
    assert lines.startswith("BRIDGE_EGRESS_PROXY: c.invalid is not ")
    code, lines = said(urls, "config", "check", "--online", "--for", "edge")
    assert (code, lines.startswith("BRIDGE_EDGE_JWT_SECRET or")) == (2, True)
    code, lines = said(PEOPLE, "config", "check", "--online", "--for", "edge")
    assert (code, lines.splitlines()[0].startswith("BRIDGE_REDIS_URL: ")) == (1, True)
