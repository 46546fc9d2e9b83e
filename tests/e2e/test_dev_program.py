"""``dev`` as a program: one folder, one line when it cannot start, a quick end, a next start after any end."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.browser_side import open_sse, open_ws
from tests.support.dev_program import COMMAND, DevProgram, environment
from tests.support.waiting import PATIENCE_S

BOB = "bob@gzdev.com"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., DevProgram]]:
    """Start a ``dev`` in the test's folder; what still runs at the end is ended."""
    programs: list[DevProgram] = []

    def run(*words: str, folder: Path = tmp_path, **environ: str) -> DevProgram:
        program = DevProgram(folder, *words, **environ)
        programs.append(program)
        return program

    yield run
    for program in programs:
        program.__exit__(RuntimeError if program.process.poll() is None else None, None, None)


def refused(folder: Path, *words: str, **environ: str) -> str:
    """What a ``dev`` says that does not start: one line."""
    told = subprocess.run(
        [*COMMAND, "dev", *words],
        cwd=folder,
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert told.returncode in (1, 2)
    assert told.stdout == ""
    assert len(told.stderr.splitlines()) == 1, told.stderr
    return told.stderr


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def redis_pid(folder: Path) -> int:
    return int((folder / ".dev" / "redis" / "embedded.pid").read_text().split()[0])


async def test_ctrl_c_ends_everything(start: Callable[..., DevProgram], tmp_path: Path) -> None:
    """With pages open it ends with exit code 0; they are told 3001; the server is gone; nothing is complained about."""
    dev = start()
    token = {"Authorization": f"Bearer {read_token(dev)}"}
    server = redis_pid(tmp_path)
    async with await open_ws(dev.url, **token) as one, await open_sse(dev.url, **token) as other:
        await one.until("exmail.snapshot")
        await other.until("exmail.snapshot")
        assert dev.end() == 0
        assert (await one.end(), await other.end()) == (3001, 3001)
    assert dev.said[-1] == "stopped\n"
    assert not alive(server)
    assert dev.complaint == ""


def read_token(dev: DevProgram) -> str:
    assert dev.url
    return dev.run("token", BOB, "--dev").strip()


def test_sigterm_ends_it_too(start: Callable[..., DevProgram]) -> None:
    """A service manager's signal is a Ctrl-C."""
    dev = start()
    assert dev.url
    assert dev.end(signal.SIGTERM) == 0


def test_a_second_dev_in_the_folder(start: Callable[..., DevProgram], tmp_path: Path) -> None:
    """It is refused, and told where the first one is, also when Redis is somebody else's."""
    dev = start()
    url = dev.url
    for environ in ({}, {"BRIDGE_REDIS_URL": dev.settings["redis"]["url"]}):
        said = refused(tmp_path, "--port", "0", **environ)
        assert said == f"exmail-bridge: another `dev` runs in this folder, at {url}; stop it first\n"


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """The line names the address and a way out, and nothing stays behind that hinders the next start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(tmp_path, "--port", str(port))
    assert said.startswith(f"exmail-bridge: cannot listen on 127.0.0.1:{port}: ")
    assert "--port 0" in said
    with DevProgram(tmp_path) as dev:
        assert dev.end() == 0


def test_the_next_start_after_a_kill(start: Callable[..., DevProgram], tmp_path: Path) -> None:
    """After SIGKILL the next one starts over the same data with the same secret, and mails are announced again."""
    first = start()
    token = read_token(first)
    secret = first.settings["edge"]["jwt_secret"]
    server = redis_pid(tmp_path)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(PATIENCE_S)
    second = start()
    assert second.url
    assert not alive(server)
    assert second.settings["edge"]["jwt_secret"] == secret
    second.wait_for_listener()
    a_mail_arrives(second, token)


def a_mail_arrives(dev: DevProgram, token: str) -> None:
    """One of several: what is pushed between two connections is missed, and told as that."""
    request = urllib.request.Request(f"{dev.url}history", headers={"Authorization": f"Bearer {token}"})
    deadline = time.monotonic() + PATIENCE_S
    sent: set[str] = set()
    while True:
        sent.add(dev.simulator("mail", {"mailbox": BOB})["mail_id"])
        for _ in range(20):
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                events = json.load(answer)["events"]
            if any(event["data"].get("mail_id") in sent for event in events):
                return
            assert time.monotonic() < deadline, "no mail arrived"
            time.sleep(0.05)


def test_other_commands_work_beside_it(start: Callable[..., DevProgram], tmp_path: Path) -> None:
    """``token --dev`` and ``config --dev`` use its settings, which nobody else can read; of these the secrets stay."""
    dev = start("--port", "0", BRIDGE_HISTORY_EVENTS="33")
    assert dev.url
    shown = {line.split()[0]: line.split()[1] for line in dev.run("config", "show", "--dev").splitlines()}
    assert shown["BRIDGE_HISTORY_EVENTS"] == "33"
    assert shown["BRIDGE_REDIS_URL"] == dev.settings["redis"]["url"]
    assert shown["BRIDGE_EDGE_JWT_SECRET"] == "(hidden)"
    assert f"http://{shown['BRIDGE_EDGE_LISTEN']}/" == dev.url
    for name in ("WORKER", "EDGE"):
        with urllib.request.urlopen(
            f"http://{shown[f'BRIDGE_{name}_ADMIN_LISTEN']}/readyz", timeout=PATIENCE_S
        ) as answer:
            assert answer.status == 200
    file = tmp_path / ".dev" / "bridge.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = dev.settings
    assert dev.end() == 0
    again = start()
    assert again.url
    assert "history" not in again.settings
    for section, name in (("edge", "jwt_secret"), ("provider", "client_secret")):
        assert again.settings[section][name] == before[section][name]


def test_two_folders_two_devs(start: Callable[..., DevProgram], tmp_path: Path) -> None:
    """Admin ports that another one has are no reason not to start; each says where its own are."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    devs = []
    for folder in folders:
        devs.append(start(folder=folder))
        assert devs[-1].url
    assert devs[0].url != devs[1].url
    ports = [dev.settings[room]["admin_listen"] for dev in devs for room in ("worker", "edge")]
    assert len(set(ports)) == 4
    for dev in devs:
        assert f"http://{dev.settings['edge']['admin_listen']}/metrics" in "".join(dev.said)


def test_what_is_set_is_obeyed(start: Callable[..., DevProgram], redis_url: str, tmp_path: Path) -> None:
    """A Redis that is set is used and none is started; the namespace too; production's provider is not touched."""
    dev = start(
        BRIDGE_REDIS_URL=redis_url,
        BRIDGE_NAMESPACE="mine",
        BRIDGE_PROVIDER_API_URL="http://production.example:12211",
        BRIDGE_PROVIDER_CLIENT_ID="corp",
    )
    token = read_token(dev)
    assert not (tmp_path / ".dev" / "redis").exists()
    assert dev.settings["redis"]["url"] == redis_url
    assert dev.settings["provider"]["api_url"].startswith("http://127.0.0.1:")
    assert dev.settings["provider"]["client_id"] == "corp"
    dev.wait_for_listener()
    a_mail_arrives(dev, token)


def test_the_real_provider(start: Callable[..., DevProgram]) -> None:
    """With ``--provider real`` the configured one is listened to; mailboxes are its own; there is nothing to press."""
    command = [*COMMAND, "simulate", "--listen", "127.0.0.1:0", "--users", "3"]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as provider:
        assert provider.stdout is not None
        said = [provider.stdout.readline() for _ in range(5)]
        environ = dict(line.strip().split("=", 1) for line in said[1:])
        dev = start("--provider", "real", "--yes", "--port", "0", **environ)
        jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        state: dict[str, object] = {"mailbox": None}
        deadline = time.monotonic() + PATIENCE_S
        while state["mailbox"] is None:
            assert time.monotonic() < deadline, "no account is known"
            with jar.open(dev.url, timeout=PATIENCE_S), jar.open(f"{dev.url}dev/state", timeout=PATIENCE_S) as answer:
                state = json.load(answer)
        assert (state["simulated"], state["local"], state["silence"]) == (False, True, False)
        asked = {"Content-Type": "application/json"}
        body = json.dumps({"mailbox": state["mailbox"]}).encode()
        for url, data, headers, status in (
            (f"{dev.url}dev/mail", body, asked, 404),
            (f"{dev.url}dev/mailbox", body, asked, 200),
            (dev.url, None, {"Host": "evil.example"}, 403),
            (f"{dev.url}dev/state", None, {"Host": "evil.example"}, 403),
        ):
            assert status_of(urllib.request.Request(url, data, headers)) == status
        assert dev.end() == 0
        provider.terminate()


def status_of(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"BRIDGE_EDGE_JWKS_URL": "https://oa.example/jwks"}, "unset BRIDGE_EDGE_JWKS_URL"),
        ({"BRIDGE_REDIS_ULR": "x"}, "did you mean BRIDGE_REDIS_URL?"),
        ({"BRIDGE_HISTORY_EVENTS": "none"}, "BRIDGE_HISTORY_EVENTS"),
        ({"BRIDGE_CONFIG": "/nowhere/bridge.toml"}, "cannot read /nowhere/bridge.toml"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, environ: dict[str, str], line: str) -> None:
    """Each is one line, and nothing was started for it."""
    assert line in refused(tmp_path, "--port", "0", **environ)
    assert not (tmp_path / ".dev" / "redis").exists()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, {"mailbox": BOB}, 200),
        ({"Origin": "http://evil.example"}, {"mailbox": BOB}, 403),
        ({"Origin": "null"}, {"mailbox": BOB}, 403),
        ({"Sec-Fetch-Site": "same-site"}, {"mailbox": BOB}, 403),
        ({"Host": "evil.example"}, {"mailbox": BOB}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, {"mailbox": BOB}, 403),
        ({"X-Forwarded-For": "10.0.0.1"}, {"mailbox": BOB}, 403),
        ({"Content-Type": "text/plain"}, {"mailbox": BOB}, 415),
        ({}, {"mailbox": "nobody@gzdev.com"}, 400),
        ({}, ["mailbox"], 400),
        ({}, {"mailbox": BOB, "n": 10**9}, 400),
    ],
)
def test_buttons_are_for_its_own_page(dev: DevProgram, headers: dict[str, str], body: object, status: int) -> None:
    """A foreign page, another name for this machine, a proxy: none of them may rewrite the simulated truth."""
    sent = {"Content-Type": "application/json"} | headers
    request = urllib.request.Request(f"{dev.url}dev/mail", json.dumps(body).encode(), sent)
    before = len(dev.simulator("truth")["mails"].get(BOB, []))
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            got, told = answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        got, told = error.code, json.load(error)
    assert got == status
    assert "message" in told if status != 200 else len(told["mail_ids"]) == 1
    assert len(dev.simulator("truth")["mails"].get(BOB, [])) == before + (status == 200)


class Named(HTMLParser):
    """The files that a page's elements name: scripts, styles, pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img"):
            self.files += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_page_allows_nothing_foreign(dev: DevProgram) -> None:
    """The policy lets no script, style or request go elsewhere; every file that the page names is there."""
    with urllib.request.urlopen(dev.url, timeout=PATIENCE_S) as answer:
        policy = answer.headers["Content-Security-Policy"]
        html = answer.read().decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    named = Named()
    # Not what stands in the lines to paste: that is text.
    named.feed(html)
    assert "client.js" in named.files
    for name in named.files:
        with urllib.request.urlopen(dev.url + name, timeout=PATIENCE_S) as answer:
            assert answer.status == 200


def test_what_it_says_to_try_can_be_pasted(dev: DevProgram, require_binary: Callable[[str], str]) -> None:
    """The two lines behind "try", as they are printed, in a shell in that folder: a token, and what it opens."""
    require_binary("curl")
    first = next(number for number, line in enumerate(dev.said) if line.lstrip().startswith("try "))
    pasted = dev.said[first].replace("try ", "", 1) + dev.said[first + 1]
    shell = subprocess.Popen(
        ["sh", "-c", pasted.replace("curl ", "exec curl -s --max-time 120 ")],
        cwd=dev.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert shell.stdout is not None
    with shell:
        assert any("exmail.snapshot" in line for line in iter(shell.stdout.readline, ""))
        shell.kill()
