"""Secrets and settings that change under the programs, with browsers connected: SIGHUP, and nobody notices."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import jwt
import pytest

from bridge.journal.keys import Keys
from bridge.simulator import Simulator, World
from tests.e2e.test_kill import following
from tests.support.browser_side import HandshakeRefused, open_sse, open_ws
from tests.support.clicks import Browser
from tests.support.guarded import Guarded
from tests.support.processes import Program, edge_environ, free_port, program, worker_environ
from tests.support.stage import BOB, SECRET
from tests.support.waiting import until

KEYS = Keys("exmail")
OTHER = "another-secret-for-tests-of-32-bytes-or-more"
OPENERS = (open_ws, open_sse)


def signed(secret: str, mailbox: str = BOB) -> dict[str, str]:
    return {"Authorization": f"Bearer {jwt.encode({'sub': mailbox, 'exp': 4_000_000_000}, secret, 'HS256')}"}


async def hang_up(*programs: Program, says: str = "settings read again", times: int = 1) -> None:
    """SIGHUP, and return when each has said ``times`` more that it read everything again."""
    before = [len(each.said(says)) for each in programs]
    for each in programs:
        each.signal(signal.SIGHUP)
    for each, so_far in zip(programs, before, strict=True):
        await until(lambda each=each, so_far=so_far: len(each.said(says)) >= so_far + times)


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


def with_files(environ: dict[str, str], **files: Path) -> dict[str, str]:
    """Secrets that stand in files, and not in the environment."""
    of_files = {f"BRIDGE_{name.upper()}_FILE": str(file) for name, file in files.items()}
    return {name: value for name, value in environ.items() if f"{name}_FILE" not in of_files} | of_files


async def test_two_secrets_of_tokens_in_turn(redis_url: str, tmp_path: Path) -> None:
    """The new one is added, the OA changes over, the old one is removed: only what that one signed ends, by 3009, and
    every process of the edge keeps to it."""
    file, port = tmp_path / "jwt", free_port()
    url = f"http://127.0.0.1:{port}"
    file.write_text(SECRET)
    environ = with_files(edge_environ(redis_url, port), edge_jwt_secret=file)
    taken = {"says": "secrets of tokens taken", "times": 2}
    async with program("edge", "--workers", "2", environ=environ) as edge, AsyncExitStack() as stack:
        await edge.ready()

        async def connected(secret: str) -> list[object]:
            """Four browsers, over both transports: enough for each of the processes to have some."""
            found = [await stack.enter_async_context(await opens(url, **signed(secret))) for opens in OPENERS * 2]
            for each in found:
                await each.frame()
            return found

        old = await connected(SECRET)
        file.write_text(f"{SECRET}\n{OTHER}\n")
        await hang_up(edge, **taken)
        new = await connected(OTHER)
        old += await connected(SECRET)
        file.write_text(OTHER)
        await hang_up(edge, **taken)
        assert [await browser.end() for browser in old] == [3009] * 8
        with pytest.raises(HandshakeRefused, match="signature"):
            await open_sse(url, Accept="application/json", **signed(SECRET))
        more = await connected(OTHER)
        assert await edge.stop() == 0
        # They stayed until the edge itself sent them away.
        assert [await browser.end() for browser in (*new, *more)] == [3001] * 8
        assert all(line["gone"] in (0, 1) and line["secrets"] in (1, 2) for line in edge.said(taken["says"]))
        assert OTHER not in repr(edge.lines)


async def test_a_click_is_let_in_by_the_new_secret(redis_url: str, provider: Simulator, tmp_path: Path) -> None:
    """Sign-on reads both its secrets again: whose click it is, and who asks the provider."""
    jwt_file, key, port = tmp_path / "jwt", tmp_path / "key", free_port()
    jwt_file.write_text(SECRET)
    key.write_text(provider.world.client_secret)
    environ = worker_environ(
        redis_url,
        provider,
        BRIDGE_SIGNON_LISTEN=f"127.0.0.1:{port}",
        BRIDGE_SIGNON_ADMIN_LISTEN="127.0.0.1:0",
        BRIDGE_EDGE_JWT_SECRET=SECRET,
    )
    environ = with_files(environ, edge_jwt_secret=jwt_file, provider_client_secret=key)
    async with program("signon", environ=environ) as signon, aiohttp.ClientSession() as session:
        await signon.ready()
        browser = Browser(session, f"http://127.0.0.1:{port}")
        assert (await browser.get(f"{browser.url}/mail/open", **signed(SECRET))).status == 302
        provider.world.tokens.client_secret = "another-interface-key"
        key.write_text("another-interface-key\n")
        jwt_file.write_text(OTHER)
        await hang_up(signon)
        provider.world.expire_tokens()
        assert (await browser.get(f"{browser.url}/mail/open", **signed(OTHER))).status == 302
        assert (await browser.get(f"{browser.url}/mail/open", **signed(SECRET))).status == 401
        assert await signon.stop() == 0


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as server:
        yield server


@asynccontextmanager
async def worker_and_edge(
    guarded: Guarded, provider: Simulator, key: Path, port: int
) -> AsyncIterator[tuple[Program, Program]]:
    account = worker_environ(guarded.server.url, provider) | guarded.settings("worker")
    door = edge_environ(guarded.server.url, port) | guarded.settings("edge")
    async with (
        program("worker", environ=with_files(account, provider_client_secret=key)) as worker,
        program("edge", environ=door) as edge,
    ):
        await asyncio.gather(worker.ready(), edge.ready())
        await provider.listeners.wait_hearing(1)
        yield worker, edge


async def test_redis_passwords_and_the_provider_key(guarded: Guarded, provider: Simulator, tmp_path: Path) -> None:
    """Each is exchanged with both programs running: no mail is missed, no browser sent away, nobody refused."""
    key, port = tmp_path / "key", free_port()
    key.write_text(provider.world.client_secret)
    async with (
        worker_and_edge(guarded, provider, key, port) as (worker, edge),
        following(f"http://127.0.0.1:{port}", (BOB,)) as browsers,
    ):
        sent: list[str] = []

        async def deliver() -> None:
            sent.extend(mail.mail_id for mail in provider.world.deliver_many(2, BOB))
            await until(lambda: all(browser.mail_ids == sent for browser in browsers))

        await deliver()
        with guarded.client("admin") as admin:
            # What is under way when its connection is cut may have to be tried again.
            await until(lambda: admin.hlen(KEYS.directory) == len(provider.world.accounts))
            for user in ("worker", "edge"):
                # Redis knows both for a while; then only the new one.
                admin.execute_command("ACL", "SETUSER", user, f">other of {user}")
                (guarded.passwords / user).write_text(f"other of {user}\n")
            await hang_up(worker, edge)
            await deliver()
            for user in ("worker", "edge"):
                admin.execute_command("ACL", "SETUSER", user, f"<password of {user}")
                admin.execute_command("CLIENT", "KILL", "USER", user)
        await deliver()
        tried_again = len(worker.said("will try again"))
        provider.world.tokens.client_secret = "another-interface-key"
        key.write_text("another-interface-key\n")
        await hang_up(worker)
        provider.world.expire_tokens()
        # Somebody whose count is not known yet: the provider must be asked, with a token that the new key fetches.
        [somebody, *_] = [alias for alias in provider.world.accounts if alias != BOB]
        async with await open_ws(f"http://127.0.0.1:{port}", **signed(SECRET, somebody)) as browser:
            await browser.until("exmail.mail.unread")
        await deliver()
        assert [len(browser.snapshots) for browser in browsers] == [1, 1]
        for each in (worker, edge):
            assert "WRONGPASS" not in repr(each.lines)
            assert not each.said("lease lost")
            assert await each.stop() == 0
        assert len(worker.said("will try again")) == tried_again


SETTINGS = """\
[edge]
jwt_secret = "{secret}"
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:0"
drain = 0
{edge}

[log]
level = "{level}"
"""


async def test_settings_that_change_under_an_edge(redis_url: str, tmp_path: Path) -> None:
    """What the table marks is taken while a browser stays; the rest is named; a file that will not do changes
    nothing."""
    file, port = tmp_path / "bridge.toml", free_port()
    url = f"http://127.0.0.1:{port}"

    def write(edge: str, *, level: str = "info", port: int = port, secret: str = SECRET) -> None:
        file.write_text(SETTINGS.format(secret=secret, port=port, edge=edge, level=level))

    async def page(origin: str) -> int:
        async with session.get(f"{url}/unread", headers=signed(SECRET) | {"Origin": origin}) as answer:
            return answer.status

    write("")
    environ = {"BRIDGE_REDIS_URL": redis_url}
    async with (
        program("edge", "--config", str(file), environ=environ) as edge,
        aiohttp.ClientSession() as session,
    ):
        await edge.ready()
        async with await open_ws(url, **signed(SECRET)) as browser:
            await browser.frame()
            assert await page("https://oa.corp.com") == 403
            write('allowed_origins = "https://oa.corp.com"\nper_mailbox = 1', level="warning", port=port + 1)
            await hang_up(edge, says="some changed settings need a restart")
            assert edge.said("some changed settings need a restart")[0]["settings"] == ["BRIDGE_EDGE_LISTEN"]
            assert await page("https://oa.corp.com") == 200
            with pytest.raises(HandshakeRefused, match="1 connections of this mailbox"):
                await open_sse(url, Accept="application/json", **signed(SECRET))

            write('allowed_origins = "oa"')
            await hang_up(edge, says="settings cannot be used, those before stay in force")
            assert await page("https://oa.corp.com") == 200
            [line] = edge.said("settings read again")
            assert set(line["taken"]) == {
                "BRIDGE_EDGE_ALLOWED_ORIGINS",
                "BRIDGE_EDGE_PER_MAILBOX",
                "BRIDGE_LOG_LEVEL",
            }

            write("trusted_proxies = 'none'", secret=OTHER, level="info")
            edge.signal(signal.SIGHUP)
            assert await browser.end() == 3009
            await hang_up(edge)
            assert edge.said("settings read again")[-1]["taken"] == []
        async with await open_ws(url, **signed(OTHER)) as browser:
            await browser.frame()
            assert await edge.stop() == 0
            assert await browser.end() == 3001
