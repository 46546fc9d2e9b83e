"""What the pages offer for copying works as it is copied."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import Page as OaPage
from playwright.async_api import Route, expect

from bridge.access.secret import SecretVerifier
from bridge.obs.metrics import Metrics
from tests.docs.pages import ROOT, Page
from tests.support.chromium import blank_page
from tests.support.scripted_edge import event, scripted_edge, snapshot
from tests.support.stage import BOB, KEYS, SECRET, leading_writer, mail, running_edge, token
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import sample

SIGNING = Page(ROOT / "docs" / "signing.md")
EVENTS = Page(ROOT / "docs" / "events.md")
CLIENT = Page(ROOT / "docs" / "client.md")
EMBEDDING = Page(ROOT / "docs" / "embedding.md")
READMES = [Page(ROOT / "README.md"), Page(ROOT / "README.zh-CN.md")]
PLACE = "https://oa.corp.com/exmail/"


def run(*words: str | Path) -> str:
    told = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    assert not told.stderr
    return told.stdout.strip()


def by_java(require: Callable[[str], str], folder: Path) -> str:
    (folder / "ExmailToken.java").write_text(SIGNING.block("java"))
    # -Xlint:-options: a newer compiler warns that 8 is old.
    run(require("javac"), "--release", "8", "-Xlint:-options", "-d", folder, folder / "ExmailToken.java")
    return run(require("java"), "-cp", folder, "ExmailToken", SECRET, BOB)


def by_php(require: Callable[[str], str], folder: Path) -> str:
    (folder / "token.php").write_text(SIGNING.block("php", holding="hash_hmac"))
    return run(require("php"), folder / "token.php", SECRET, BOB)


def by_node(require: Callable[[str], str], folder: Path) -> str:
    (folder / "token.js").write_text(SIGNING.block("javascript"))
    return run(require("node"), folder / "token.js", SECRET, BOB)


def by_python(require: Callable[[str], str], folder: Path) -> str:
    (folder / "token.py").write_text(SIGNING.block("python"))
    return run(sys.executable, folder / "token.py", SECRET, BOB)


def by_shell(require: Callable[[str], str], folder: Path) -> str:
    require("openssl")
    (folder / "token.sh").write_text(SIGNING.block("sh", holding="openssl dgst"))
    return run("sh", folder / "token.sh", SECRET, BOB)


@pytest.mark.parametrize("sign", [by_java, by_php, by_node, by_python, by_shell])
async def test_a_token_signed_as_on_the_page_is_accepted(
    sign: Callable[[Callable[[str], str], Path], str], require_binary: Callable[[str], str], tmp_path: Path
):
    """Each program of ``docs/signing.md`` makes a token that the edge's own verifier accepts, for that mailbox."""
    claims = await SecretVerifier(lambda: [SECRET.encode()]).verify(sign(require_binary, tmp_path))
    assert claims["sub"] == BOB
    assert claims["sid"]
    assert 0 < claims["iat"] < claims["exp"]


@pytest.mark.parametrize("mailbox", ['bob@gzdev.com","scope":"kick', "bob@gzdev.com\\u0022", "bob@gz dev.com"])
def test_a_mailbox_adds_no_claims_to_a_token(mailbox: str, tmp_path: Path, require_binary: Callable[[str], str]):
    """The shell puts the claims together as text, so it signs no address with a quote, a backslash or a blank."""
    require_binary("openssl")
    (tmp_path / "token.sh").write_text(SIGNING.block("sh", holding="openssl dgst"))
    ran = subprocess.run(["sh", tmp_path / "token.sh", SECRET, mailbox], capture_output=True, text=True)
    assert (ran.returncode != 0, ran.stdout) == (True, "")


async def test_the_python_reader_prints_what_is_published(redis_url: str, tmp_path: Path):
    """The few lines for another service follow the stream of a running bridge, and say where it has a hole."""
    text = EVENTS.block("python", holding="xread")
    assert "redis://127.0.0.1:6379/0" in text
    (tmp_path / "reader.py").write_text(text.replace("redis://127.0.0.1:6379/0", redis_url))
    reader = await asyncio.create_subprocess_exec(
        *(sys.executable, str(tmp_path / "reader.py")), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with leading_writer(redis_url) as (writer, redis):

            async def waits() -> bool:
                return any(client["cmd"] == "xread" for client in await redis.client_list())

            await until(waits)
            await writer.commit([mail("1"), mail("2")])
            assert reader.stdout is not None
            lines = [await asyncio.wait_for(reader.stdout.readline(), PATIENCE_S) for _ in range(2)]
            assert lines == [f"exmail.mail.new {BOB}\n".encode()] * 2
            [(newest, entry)] = await redis.xrevrange(KEYS.events, count=1)
            generation, number = newest.split(b"-")
            beyond = f"{int(generation)}-{int(number) + 2}"
            await redis.xadd(KEYS.events, entry, beyond)
            assert await asyncio.wait_for(reader.stdout.readline(), PATIENCE_S) == lines[0]
            assert reader.stderr is not None
            assert f"a hole between {newest} and {beyond.encode()}" in (await reader.stderr.readline()).decode()
    finally:
        reader.kill()
        await reader.wait()


async def test_the_python_reader_sees_a_hole_after_the_first_event(redis_url: str, tmp_path: Path):
    """The first event of a generation has the number 0, and what follows it is 1."""
    text = EVENTS.block("python", holding="xread")
    (tmp_path / "reader.py").write_text(text.replace("redis://127.0.0.1:6379/0", redis_url))
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail("1")])
        [(first, entry)] = await redis.xrange(KEYS.events)
        assert first.endswith(b"-0")
        reader = await asyncio.create_subprocess_exec(
            *(sys.executable, str(tmp_path / "reader.py")), stderr=asyncio.subprocess.PIPE
        )

        async def waits() -> bool:
            return any(client["cmd"] == "xread" for client in await redis.client_list())

        try:
            await until(waits)
            await redis.xadd(KEYS.events, entry, f"{writer.generation}-2")
            assert reader.stderr is not None
            said = (await asyncio.wait_for(reader.stderr.readline(), PATIENCE_S)).decode()
            assert f"a hole between {first}" in said
        finally:
            reader.kill()
            await reader.wait()


@dataclass
class Oa:
    """A page of the OA on the edge's own host, in a browser in which somebody is signed in."""

    page: OaPage
    metrics: Metrics


@asynccontextmanager
async def pasted(require_binary: Callable[[str], str], redis_url: str, lines: str) -> AsyncIterator[Oa]:
    """Serve lines of a page of ours as a page of the OA, and show it."""

    async def show(request: web.Request) -> web.Response:
        html = f"<!doctype html><title>OA</title>{lines.replace(PLACE, '/')}"
        return web.Response(text=html, content_type="text/html")

    async with (
        running_edge(redis_url, add_routes=lambda app: app.router.add_get("/oa", show)) as (url, metrics),
        blank_page(require_binary("chromium")) as page,
    ):
        await page.context.add_cookies([{"name": "exmail_bridge", "value": token(), "url": url, "httpOnly": True}])
        await page.goto(f"{url}/oa")
        yield Oa(page, metrics)


@pytest.mark.parametrize("page", [EMBEDDING, *READMES], ids=["embedding", "en", "zh"])
async def test_the_pasted_lines_show_the_badge(page: Page, redis_url: str, require_binary: Callable[[str], str]):
    """The lines in a page of the OA: the count appears, and rises with the next mail."""
    lines = page.block("html", holding="client.js")
    assert PLACE in lines
    async with leading_writer(redis_url) as (writer, _):
        await writer.commit([mail("1", 7)])
        async with pasted(require_binary, redis_url, lines) as oa:
            await expect(oa.page.locator("#unread")).to_have_text("7")
            await writer.commit([mail("2", 8)])
            await expect(oa.page.locator("#unread")).to_have_text("8")
            await expect(oa.page).to_have_title("(8) OA")


async def test_the_pasted_list_goes_with_the_badge(redis_url: str, require_binary: Callable[[str], str]):
    """Both blocks are one connection; after a reload the newest mails stand there, and the keyboard opens one.

    What the bridge does not tell, here the senders, is left out; when somebody has signed out, nothing is left.
    """
    lines = EMBEDDING.block("html", holding="client.js") + EMBEDDING.block("html", holding="mail.open")
    async with leading_writer(redis_url) as (writer, _):
        await writer.commit([mail("1", 7, subject="first")])
        async with pasted(require_binary, redis_url, lines) as oa:
            items = oa.page.locator("#mails li")
            await expect(items).to_have_count(1)
            await writer.commit([mail("2", 8, subject="<i>second</i>")])
            await expect(items).to_have_count(2)
            await oa.page.reload()
            await expect(items).to_have_text([": <i>second</i>", ": first"])
            await expect(oa.page.locator("#unread")).to_have_text("8")
            assert sample(oa.metrics, "edge_connects_total", transport="websocket") == 2
            await oa.page.locator("#mails button").first.focus()
            async with oa.page.expect_popup() as waiting:
                await oa.page.keyboard.press("Enter")
            await (await waiting.value).wait_for_url("**/mail/open?mailid=2")
            await oa.page.evaluate("mail.logout()")
            await expect(items).to_have_count(0)


async def test_the_pasted_ticket_is_a_good_one_or_none(require_binary: Callable[[str], str]):
    """Another host: pages of errors of the OA's ticket endpoint are never sent as tickets, and it is asked again."""
    lines = CLIENT.block("html", holding="ticket:").replace("https://push.corp.com/", "/exmail/")
    answers = [(502, "<h1>Bad Gateway</h1>"), (401, "sign in"), (200, "a-ticket")]
    async with scripted_edge() as edge, blank_page(require_binary("chromium")) as oa:
        edge.pages["/oa"] = f"<!doctype html><title>OA</title><b id=unread></b>{lines}"
        await oa.add_init_script("Math.random = () => 0")

        async def answer(route: Route) -> None:
            status, body = answers.pop(0)
            await route.fulfill(status=status, body=body)

        await oa.route("**/oa/exmail-ticket", answer)
        await oa.goto(f"{edge.url}oa")
        assert (await edge.connection()).query == {"ticket": "a-ticket"}
        assert answers == []


async def test_the_pasted_toast_shows_each_mail_as_long(require_binary: Callable[[str], str]):
    """jQuery: a mail that comes while the toast shows another one has its five seconds, too."""
    lines = EMBEDDING.block("html", holding="$(function")
    jquery = "<script src=/libraries/jquery-1.12.4.min.js></script><script src=/exmail/client.js></script>"
    async with scripted_edge() as edge, blank_page(require_binary("chromium")) as oa:
        edge.pages["/oa"] = f"<!doctype html><title>OA</title>{jquery}{lines}"
        await oa.clock.install(time=0)
        await oa.clock.pause_at(600)  # only a paused clock moves by what the test says and nothing else
        await oa.goto(f"{edge.url}oa")
        await oa.clock.run_for(1)
        connection = await edge.connection()
        await connection.say(snapshot(0))
        toast = oa.locator("#toast")
        for seq, sender in enumerate(("Ann", "Eve"), 1):
            told = event(seq)
            told["data"] |= {"sender": sender, "mail_subject": "<b>Lunch</b>"}
            await connection.say(told)
            await expect(toast).to_have_text(f"{sender}: <b>Lunch</b>")
            await oa.clock.run_for(4_900)
            await expect(toast).to_be_visible()
        await oa.clock.run_for(1_000)
        await expect(toast).to_be_hidden()


@pytest.mark.parametrize("holding", ["<script setup>", "$(function"])
def test_the_other_scripts_can_be_read(holding: str, require_binary: Callable[[str], str], tmp_path: Path):
    """The Vue and jQuery variants are JavaScript, and call what ``/client.js`` has."""
    block = EMBEDDING.block("html", holding=holding)
    script = block.partition("<script")[2].partition(">")[2].partition("</script>")[0]
    assert "ExmailBridge.connect(" in script
    (tmp_path / "script.mjs").write_text(script)
    run(require_binary("node"), "--check", tmp_path / "script.mjs")
