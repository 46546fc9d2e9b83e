"""What comes in and goes out as bytes: other encodings, a full disk, what editors leave in files."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis as redis_sync

from bridge.journal.keys import Keys
from bridge.journal.layout import FORMAT
from bridge.settings import Secret, Settings, load_settings
from bridge.settings.setting import settings_in
from bridge.settings.table import GROUPS, TABLE
from bridge.simulator import Simulator, World
from bridge.simulator.world.account import digest
from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
BOB, AMY = "bob@gzdev.com", "amy@gzdev.com"
NAME = "艾米 👩\u200d💻"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    world = World(7, users=1)
    world.add_user(AMY, name=NAME)
    async with await Simulator.start(world) as running:
        yield running


@pytest.fixture
def environ(simulator: Simulator, redis_url: str) -> dict[str, str]:
    return {
        "BRIDGE_REDIS_URL": redis_url,
        "BRIDGE_PROVIDER_API_URL": simulator.url,
        "BRIDGE_PROVIDER_AUTH_URL": simulator.url,
        "BRIDGE_PROVIDER_CLIENT_ID": simulator.world.client_id,
        "BRIDGE_PROVIDER_CLIENT_SECRET": simulator.world.client_secret,
    }


async def run(
    environ: dict[str, str], *words: str | bytes, stdin: bytes = b"", stdout: int | None = None
) -> tuple[int, bytes, str]:
    """Exit code, standard output and error of a program of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", *words),
        env={**kept, "PYTHONPATH": str(ROOT), **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE if stdout is None else stdout,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), PATIENCE_S)
    assert process.returncode is not None
    return process.returncode, out or b"", err.decode()


@pytest.mark.parametrize("encoding", ["gbk", "ascii", "utf-8"])
async def test_every_character_can_be_written(environ: dict[str, str], encoding: str) -> None:
    """What the terminal's encoding lacks is escaped as in JSON: a program reads all, and nobody a traceback."""
    there = {**environ, "PYTHONIOENCODING": encoding}
    code, out, err = await run(there, "api", "user/get", "--alias", AMY, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out.decode(encoding))["name"] == NAME
    code, out, err = await run(there, "api", "user/get", "--alias", AMY)
    assert (code, err) == (0, "")
    assert ("艾米" in out.decode(encoding)) == (encoding != "ascii")


async def test_a_machine_without_a_locale() -> None:
    """Nothing but ASCII: what holds other letters is shown all the same."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for words in (("config", "reference"), ("api", "--help")):
        code, out, err = await run(plain, *words)
        assert (code, err) == (0, "")
        assert out.isascii()


async def test_a_machine_without_a_locale_shows_what_is_stored(redis_url: str) -> None:
    """Names in another script, in every command that prints them: escaped, and never a traceback; JSON is UTF-8."""
    keys = Keys("exmail")
    with redis_sync.Redis.from_url(redis_url) as redis:
        redis.set(keys.format, FORMAT)
        redis.hset(keys.directory, AMY, json.dumps({"alias": AMY, "name": NAME, "parties": ["研发"]}))
        redis.hset(keys.owed, AMY, json.dumps({"since": 1, "why": "太多"}))
        redis.xadd(keys.dead, {"reason": "no-object", "size": 9, "kept": "whole", "document": "邮件"})
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "BRIDGE_REDIS_URL": redis_url}
    commands = (
        *(("directory", "list"), ("directory", "list", "--json"), ("directory", "find", "艾米")),
        *(("directory", "show", AMY), ("directory", "owed"), ("why", AMY), ("dead", "list")),
        ("config", "show"),
    )
    told = await asyncio.gather(*(run(plain, *words) for words in commands))
    for words, (code, out, err) in zip(commands, told, strict=True):
        assert (code in (0, 1), out.isascii() or "--json" in words, err.isascii()) == (True, True, True), words
        assert "Traceback" not in err, (words, err)
        assert "unexpected error" not in err, (words, err)
    assert json.loads(told[1][1])["name"] == NAME


async def test_an_argument_in_another_encoding(environ: dict[str, str], simulator: Simulator) -> None:
    """Is told in one line, and nothing is sent: what it means is anybody's guess."""
    for name in (b"--name", b"--alias"):
        words = [b"--action", b"MOD", b"--alias", AMY.encode(), name, "张三".encode("gbk") + b"@x.cn"]
        code, out, err = await run(environ, "api", "user/sync", *words)
        assert (code, out, err.count("\n")) == (2, b"", 1)
        assert "must be text that UTF-8 can write" in err
    assert not list(simulator.calls)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize(
    ("words", "unbuffered"),
    [
        *((("api", "--help"), ""), (("config", "reference"), ""), (("api", "user/get", "--alias", AMY), "")),
        *((("api", "--list"), "1"), (("api", "listen", "--ver", "0", "--yes"), "1")),
    ],
    ids=lambda each: " ".join(each),
)
async def test_an_output_that_cannot_be_written(
    environ: dict[str, str], words: tuple[str, ...], unbuffered: str
) -> None:
    """One line and exit code 1, whether it shows at once or when all is written out."""
    full = os.open("/dev/full", os.O_WRONLY)
    code, _, err = await run({**environ, "PYTHONUNBUFFERED": unbuffered}, *words, stdout=full)
    os.close(full)
    told = "exmail-bridge: standard output cannot be written: No space left on device\n"
    assert (code, err) == (1, told)


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfhush hush\r\n", b"hush hush\n\nmore", b"hush hush"])
async def test_a_password_is_what_was_typed(
    environ: dict[str, str], simulator: Simulator, tmp_path: Path, text: bytes
) -> None:
    """A byte order mark and the line's end are an editor's, from a file as from standard input."""
    file = tmp_path / "password"
    file.write_bytes(text)
    words = ("api", "user/sync", "--action", "MOD", "--alias", AMY, "--password-file")
    for source, stdin in ((str(file), b""), ("-", text)):
        simulator.world.modify_user(AMY, password_md5="")
        code, _, err = await run(environ, *words, source, stdin=stdin)
        assert (code, err) == (0, "")
        assert simulator.world.accounts[AMY].password_md5 == digest("hush hush")


@pytest.mark.parametrize("text", ["hush hush".encode("utf-16"), b"\xc4\xe3\xba\xc3", b"hush\x00hush", b"\xef\xbb\xbf"])
async def test_a_file_that_holds_no_password(
    environ: dict[str, str], simulator: Simulator, tmp_path: Path, text: bytes
) -> None:
    """Of another encoding, or empty: refused without showing it."""
    file = tmp_path / "password"
    file.write_bytes(text)
    code, _, err = await run(
        environ, "api", "user/sync", "--action", "MOD", "--alias", AMY, "--password-file", str(file)
    )
    assert (code, err.count("\n"), "hush" in err) == (2, 1, False)
    assert err.startswith("exmail-bridge: Password ")
    assert not list(simulator.calls)


def test_a_secret_is_what_was_typed(tmp_path: Path) -> None:
    """Whatever secret it is: a byte order mark in front of its file is none of it."""
    file = tmp_path / "secret"
    file.write_bytes(b"\xef\xbb\xbfs3cret-of-thirty-two-characters-x\n")
    settings = load_settings({"BRIDGE_PROVIDER_CLIENT_SECRET_FILE": str(file), "BRIDGE_REDIS_PASSWORD_FILE": str(file)})
    assert settings.provider.client_secret() == "s3cret-of-thirty-two-characters-x"
    assert settings.redis.password() == "s3cret-of-thirty-two-characters-x"


@pytest.mark.parametrize("variable", [setting.variable for setting in TABLE if setting.secret])
def test_no_secret_has_a_byte_order_mark(tmp_path: Path, variable: str) -> None:
    """Each that there is, from a file and from a variable alike: it is what it is without what an editor puts there."""
    text = "http://proxy:1" if variable.endswith("PROXY") else "s3cret-of-thirty-two-characters-x"
    (tmp_path / "secret").write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")
    for given in ({f"{variable}_FILE": str(tmp_path / "secret")}, {variable: "\ufeff" + text}):
        assert secret_of(load_settings(given), variable)() == secret_of(load_settings({variable: text}), variable)()


def secret_of(settings: Settings, variable: str) -> Secret[object]:
    groups = (settings, *(getattr(settings, name) for name in GROUPS))
    [found] = [
        getattr(group, name) for group in groups for name, each in settings_in(type(group)) if each.variable == variable
    ]
    assert isinstance(found, Secret)
    return found


async def test_help_says_what_takes_the_place_of_what(environ: dict[str, str]) -> None:
    """One further address that is given is the only one afterwards."""
    _, out, _ = await run(environ, "api", "user/sync", "--help")
    told = " ".join(out.decode().split())
    assert "further address, in place of all those before; empty for none, may be repeated" in told
    assert "department that exists, in place of all those before; empty for the root, may be repeated" in told
