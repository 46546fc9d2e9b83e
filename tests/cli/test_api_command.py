"""``api``: every endpoint from a terminal, against the simulated provider, with the exit codes that a script needs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from bridge.cli import run_command_line
from bridge.commands.api.answer import aligned, cells, in_words
from bridge.journal.keys import Keys
from bridge.provider.bizmail import endpoints
from bridge.provider.bizmail.endpoints import ENDPOINTS
from bridge.provider.bizmail.errcodes import BY_CODE, refusal
from bridge.provider.faults import CredentialsRefused, ProviderAway
from bridge.simulator import Simulator
from tests.support.connect_proxy import connect_proxy
from tests.support.waiting import PATIENCE_S

from .conftest import AMY, Api

ROOT = Path(__file__).parents[2]
BOB = "bob@gzdev.com"


def test_list_names_every_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each: section, endpoint and action, what it does."""
    assert run_command_line(["api", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ENDPOINTS)
    assert lines[5].split() == ["3.3.2", "user/sync", "ADD", "add", "an", "account"]


def test_without_an_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong call, with the way to the right one."""
    assert run_command_line(["api"]) == 2
    assert capsys.readouterr().err == "exmail-bridge: which endpoint? `exmail-bridge api --list` has them\n"


async def test_reading(api: Api, simulator: Simulator) -> None:
    """Tabs between columns and no headings where no person looks; JSON on demand; the token is Redis's."""
    code, out, err = await api("user/get", "--alias", AMY)
    assert (code, err) == (0, "")
    assert "name\t艾米\n" in out
    assert "slaves\ta1@gzdev.com\n" in out
    code, out, _ = await api("user/get", "--alias", AMY, "--json")
    assert json.loads(out)["slaves"] == ["a1@gzdev.com"]
    assert await api("mail/newcount", "--alias", BOB) == (0, f"{simulator.world.unread[BOB]}\n", "")
    code, out, _ = await api("user/check", "--email", BOB, "--email", "free@gzdev.com", "--email", "x", "--json")
    assert [line["kind"] for line in json.loads(out)] == ["account", "free", "invalid"]
    assert (await api("party/list"))[1].splitlines() == simulator.world.roster.parties.children(())
    assert json.loads((await api("partyuser/list", "--party-path", "广州研发中心/企业邮箱", "--json"))[1]) == [BOB]
    code, out, err = await api("user/list", "--ver", "0")
    assert out == f"ADD\t{BOB}\nADD\t{AMY}\n"
    assert err == f"exmail-bridge: 2 accounts, Ver {simulator.world.ver}\n"
    assert json.loads((await api("user/list", "--ver", "0", "--json"))[1])["changes"][0] == {
        "action": "ADD",
        "alias": BOB,
    }
    assert simulator.calls.count("token") == 1


async def test_token_and_login(api: Api, simulator: Simulator) -> None:
    """Of the token only until when it is used, and since when; the key and the address are what was asked for."""
    code, out, _ = await api("token", "--json")
    assert list(json.loads(out)) == ["expires_at", "fetched"]
    assert simulator.world.tokens.good[0] not in out + (await api("token"))[1]
    key = json.loads((await api("mail/authkey", "--alias", BOB, "--json"))[1])["auth_key"]
    assert simulator.world.auth_keys.redeem(BOB, key) == "opens"
    code, out, _ = await api("login", "--user", BOB, "--mailid", "ZC1")
    assert code == 0
    assert out.startswith(
        f"{simulator.url}/cgi-bin/login?fun=bizopenssologin&method=bizauth&agent=simulated&user=bob%40"
    )
    assert out.endswith("&mailid=ZC1\n")


async def test_a_token_of_before_proves_nothing(
    api: Api, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That client id and secret are right is said where they were asked about; ``--anew`` does, for everybody."""
    code, out, _ = await api("token")
    assert (code, out.startswith("client id and secret are right")) == (0, True)
    monkeypatch.setenv("BRIDGE_PROVIDER_CLIENT_SECRET", "another-key")
    code, out, _ = await api("token")
    assert (code, out.startswith("nobody was asked, --anew asks")) == (0, True)
    assert json.loads((await api("token", "--json"))[1])["fetched"] is False
    code, out, err = await api("token", "--anew")
    assert (code, out) == (4, "")
    assert "the provider refuses client id and secret" in err
    monkeypatch.setenv("BRIDGE_PROVIDER_CLIENT_SECRET", simulator.world.client_secret)
    assert json.loads((await api("token", "--anew", "--json"))[1])["fetched"] is True
    token = simulator.world.tokens.good[-1]
    await api("party/list")
    assert simulator.world.tokens.good[-1] == token


async def test_writing(api: Api, simulator: Simulator, tmp_path: Path) -> None:
    """What succeeds says so; repeated options are repeated keys; passwords come from a file or standard input."""
    (tmp_path / "password").write_text("from a file \nsecond line\n")
    add = ("user/sync", "--action", "add", "--alias", "new@gzdev.com", "--name", "新")
    slaves = ("--slave", "n1@gzdev.com", "--slave", "n2@gzdev.com")
    assert await api(*add, *slaves, "--password-file", str(tmp_path / "password")) == (0, "done\n", "")
    added = simulator.world.accounts["new@gzdev.com"]
    assert set(added.slaves) == {"n1@gzdev.com", "n2@gzdev.com"}
    modify = ("user/sync", "--action", "3", "--alias", "new@gzdev.com")
    assert (await api(*modify, "--open-type", "2", "--slave", ""))[0] == 0
    changed = simulator.world.accounts["new@gzdev.com"]
    assert (changed.slaves, changed.disabled, changed.password_md5) == ((), True, added.password_md5)
    assert (await api(*modify, "--password-file", "-", stdin="from stdin\n"))[0] == 0
    assert simulator.world.accounts["new@gzdev.com"].password_md5 != added.password_md5
    assert json.loads((await api("party/sync", "--action", "ADD", "--dst-path", "新/部门", "--json"))[1]) == {
        "done": True
    }
    assert (await api("party/sync", "--action", "MOD", "--src-path", "新", "--dst-path", "旧"))[0] == 0
    assert (await api("party/list", "--party-path", "旧"))[1] == "部门\n"
    group = ("--group-alias", "team@gzdev.com")
    made = ("--group-name", "team", "--group-admin", "team@gzdev.com", "--status", "list")
    assert (await api("group/add", *made, "--members", BOB, "--members", AMY))[0] == 0
    assert (await api("group/addallowlist", *group, "--allow-list", BOB, "--allow-list", AMY))[0] == 0
    assert set(simulator.world.roster.groups.all["team@gzdev.com"].allow_list) == {BOB, AMY}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("user/sync", "--action", "DEL", "--alias", AMY),
            "safe way: user/sync --action MOD --open-type 2",
        ),
        (("party/sync", "--action", "DEL", "--dst-path", "广州研发中心"), "the departments below it go too"),
        (("group/delete", "--group-alias", "team@gzdev.com"), "can be read nowhere"),
        (("listen", "--ver", "0"), "production may get no mail alerts"),
    ],
)
async def test_what_cannot_be_undone_needs_yes(
    api: Api, simulator: Simulator, words: tuple[str, ...], says: str
) -> None:
    """Without it nothing is asked of anybody, and one line says what to think of."""
    code, out, err = await api(*words)
    assert (code, out) == (2, "")
    assert err.startswith("exmail-bridge: not done, it needs --yes: ")
    assert says in err
    assert not list(simulator.calls)


async def test_with_yes_it_is_done(api: Api, simulator: Simulator) -> None:
    """An account is gone."""
    assert (await api("user/sync", "--action", "DEL", "--alias", AMY, "--yes"))[0] == 0
    assert AMY not in simulator.world.accounts


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("user/check" + " --email x" * 21, "email may be given 20 times at most (protocol 3.3.8)"),
        ("user/list --ver x", "Ver must be a whole number, 0 for everything, not 'x' (protocol 3.3.3)"),
        ("party/sync --action ADD --dst-path a//b", "DstPath must have 1 to 64 characters in each level"),
        ("party/sync --action MOD --dst-path a", "SrcPath is missing (protocol 3.3.5)"),
        ("party/sync --action ADD --dst-path a --src-path b", "SrcPath does not belong to the action ADD"),
        ("user/sync --action ADD --alias x@y.z --name x", "Password is missing: --password-file FILE"),
        (f"user/sync --action DEL --alias {AMY} --yes --ask-password", "Password does not belong to the action DEL"),
        (f"user/sync --action MOD --alias {AMY} --password-file /none", "cannot be read from /none: No such file"),
        ("user/openwxtoken --alias bob", "Alias must be a mail address, as in bob@gzdev.com, not 'bob'"),
    ],
)
async def test_a_wrong_parameter_exits_2(api: Api, simulator: Simulator, words: str, says: str) -> None:
    """One line with the rule and its section; the provider hears nothing."""
    code, out, err = await api(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith("exmail-bridge: ")
    assert says in err
    assert err.count("\n") == 1
    assert not list(simulator.calls)


async def test_a_refused_password_is_not_shown(api: Api) -> None:
    """Too short, and said without it."""
    words = ("user/sync", "--action", "MOD", "--alias", AMY, "--password-file", "-")
    code, _, err = await api(*words, stdin="hush\n")
    assert (code, err) == (2, "exmail-bridge: Password must have 6 to 32 characters (protocol 3.3.2)\n")


@pytest.mark.parametrize(
    "words",
    [("user/get",), ("user/frob", "--alias", BOB), ("user/sync", "--action", "x"), ("--list", "--completion", "bash")],
)
def test_a_wrong_call_exits_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """What the parser cannot read, with the usage."""
    with pytest.raises(SystemExit) as done:
        run_command_line(["api", *words])
    assert done.value.code == 2
    assert "usage: exmail-bridge api" in capsys.readouterr().err


def test_every_refusal_has_words() -> None:
    """Each code of the table is more than a number; a write that broke off is not known to have failed."""
    told = {code: in_words(refusal(code, "x", "e"), endpoints.USER_ADD) for code in BY_CODE}
    assert len(set(told.values())) == len(told)
    assert not [text for code, text in told.items() if "the provider refuses (" in text]
    assert "(errcode 4711 'x')" in in_words(refusal("4711", "x", "e"), endpoints.USER_ADD)
    away = ProviderAway("user/sync", "no answer in time")
    assert "whether it was done is not known" in in_words(away, endpoints.USER_ADD)
    assert "not known" not in in_words(away, endpoints.USER_MODIFY)
    refused = CredentialsRefused("", "invalid_client", "token")
    assert in_words(refused, endpoints.USER_GET) == (
        "token: the provider refuses client id and secret (it says 'invalid_client')"
    )


async def test_without_redis_a_warning(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It works, and says what it may have done to the worker."""
    monkeypatch.setenv("BRIDGE_REDIS_URL", f"unix://{tmp_path}/none.sock")
    code, out, err = await api("party/list")
    assert (code, "广州研发中心\n" in out) == (0, True)
    assert err.startswith("exmail-bridge: Redis cannot be used (")
    assert "may end that of the worker" in err
    assert err.count("\n") == 1


async def test_the_worker_takes_the_token_over(api: Api, redis_url: str, simulator: Simulator) -> None:
    """What ``api`` fetched is in Redis for all."""
    await api("party/list")
    with redis.Redis.from_url(redis_url) as client:
        assert simulator.world.tokens.good[0].encode() in client.get(Keys("exmail").token)


async def test_missing_settings_exit_2(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Named, one a line."""
    monkeypatch.delenv("BRIDGE_PROVIDER_CLIENT_ID")
    code, _, err = await api("party/list")
    assert (code, err) == (2, "exmail-bridge: BRIDGE_PROVIDER_CLIENT_ID is not set; api needs it\n")


async def test_settings_of_dev(
    api: Api, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``--dev`` asks the provider of the ``dev`` that runs in this folder."""
    (tmp_path / ".dev").mkdir()
    lines = [
        f'{name.removeprefix("BRIDGE_PROVIDER_").lower()} = "{environ[name]}"' for name in environ if "PROVIDER" in name
    ]
    (tmp_path / ".dev" / "bridge.toml").write_text("[provider]\n" + "\n".join(lines) + "\n")
    for name in environ:
        if "PROVIDER" in name:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    assert (await api("party/list"))[0] == 2
    assert (await api("party/list", "--dev"))[0] == 0


async def test_it_goes_through_the_proxy(api: Api, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """And tells in one line when there is no way through."""
    async with connect_proxy() as proxy:
        monkeypatch.setenv("BRIDGE_PROVIDER_PROXY", proxy.url)
        monkeypatch.setenv("BRIDGE_PROVIDER_NO_PROXY", "elsewhere.net")
        assert (await api("party/list"))[0] == 0
        assert proxy.targets == [f"127.0.0.1:{simulator.port}"] * len(proxy.targets)
        assert proxy.targets
        proxy.closed_ports.add(simulator.port)
        code, _, err = await api("party/list")
    assert code == 6
    assert err.endswith(f"gave no tunnel to 127.0.0.1:{simulator.port}: status 403 Forbidden\n")
    assert err.count("\n") == 1


# As a program: on a terminal, and until Ctrl-C.


def in_program(environ: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **environ}


async def test_columns_stand_below_each_other_on_a_terminal(environ: dict[str, str]) -> None:
    """A Chinese character is two cells wide; there are headings where there is somebody to read them."""
    here, there = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "api", "user/check", "--email", AMY, "--email", "艾米"),
        env=in_program(environ),
        stdout=there,
    )
    os.close(there)
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0
    assert os.read(here, 4096).decode().splitlines() == [
        "email          is",
        "amy@gzdev.com  account",
        "艾米           invalid",
    ]
    os.close(here)


def test_width_of_text() -> None:
    """Wide, narrow, and a mark that takes no cell."""
    assert (cells("艾米"), cells("Amy"), cells("e\u0301"), cells("Ａ")) == (4, 3, 1, 2)
    assert aligned([("艾米", "x"), ("Amy", "y")]) == ["艾米  x", "Amy   y"]
    assert aligned([]) == []


async def test_listen_prints_pushes_until_stopped(environ: dict[str, str], simulator: Simulator) -> None:
    """One JSON object a line, at once; SIGINT is an orderly end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "api", "listen", "--ver", str(simulator.world.ver), "--yes"),
        env=in_program(environ),
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert json.loads(await process.stdout.readline()) == {"push": "Online", "ret": 0}
        mail = simulator.world.deliver_mail(BOB)
        pushed = json.loads(await process.stdout.readline())
        assert (pushed["push"], pushed["mail_id"], pushed["mailbox"]) == ("MailArrived", mail.mail_id, BOB)
        process.send_signal(2)
        assert await process.wait() == 0
