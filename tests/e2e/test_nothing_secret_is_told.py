"""Every process at debug level while things go well and wrong: no mail, token or secret in a log or a metric."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from urllib.parse import parse_qs, urlsplit

import aiohttp
import orjson
import redis as redis_sync

from bridge.journal.embedded import EmbeddedServer
from bridge.simulator import Cut, Defect, Kind, Simulator, World
from tests.support.browser_side import open_sse, open_ws
from tests.support.processes import Program, edge_environ, free_port, program, worker_environ
from tests.support.stage import BOB, SECRET, bearer, token
from tests.support.waiting import until

REDIS_PASSWORD = "redis-password-7f3a91"
CLIENT_SECRET = "client-secret-5e60c2"
SUBJECT, SUMMARY, SENDER = "subject-marker-a1b2", "summary-marker-c3d4", "sender-marker-e5f6"
BAD_TOKEN, BAD_TICKET = "eyJmarker.badtoken-0b1c.x", "badticket-2d3e"
DEBUG = {"BRIDGE_REDIS_USERNAME": "bridge", "BRIDGE_REDIS_PASSWORD": REDIS_PASSWORD, "BRIDGE_LOG_LEVEL": "debug"}


class Secrets(dict[str, str]):
    """What must not be told, by what it is."""

    def of_provider(self, world: World) -> None:
        """Take what the provider has given out by now."""
        for number, text in enumerate([*world.tokens.good, *(key.text for key in world.auth_keys.all)]):
            self[f"provider's token or key {len(self)}/{number}"] = text

    def told_in(self, text: str) -> set[str]:
        """Those that stand there."""
        return {name for name, secret in self.items() if secret in text}


async def test_logs_and_metrics_hold_no_secret(own_server: EmbeddedServer) -> None:
    """Mails, readable or not; credentials, good or bad; requests that are none; Redis and the provider away."""
    with redis_sync.Redis.from_url(own_server.url) as client:
        client.acl_setuser(
            "bridge", enabled=True, passwords=[f"+{REDIS_PASSWORD}"], keys=["*"], channels=["*"], commands=["+@all"]
        )
    secrets = Secrets(
        {
            "Redis password": REDIS_PASSWORD,
            "client secret": CLIENT_SECRET,
            "JWT secret": SECRET,
            "subject": SUBJECT,
            "summary": SUMMARY,
            "sender": SENDER,
            "bad token": BAD_TOKEN,
            "bad ticket": BAD_TICKET,
        }
    )
    port, click_port = free_port(), free_port()
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(
            await Simulator.start(World(7, users=3, client_secret=CLIENT_SECRET))
        )
        environ = (
            worker_environ(own_server.url, provider, **DEBUG)
            | edge_environ(own_server.url, port)
            | {"BRIDGE_SIGNON_LISTEN": f"127.0.0.1:{click_port}", "BRIDGE_SIGNON_ADMIN_LISTEN": "127.0.0.1:0"}
        )
        worker, edge, signon = [
            await stack.enter_async_context(program(*words, environ=environ))
            for words in (("worker",), ("edge", "--workers", "2"), ("signon",))
        ]
        programs = (worker, edge, signon)
        for each in programs:
            await each.ready()
        await provider.listeners.wait_hearing(1)

        await _mails(provider, f"http://127.0.0.1:{port}")
        secrets.of_provider(provider.world)
        await _clicks(f"http://127.0.0.1:{click_port}", secrets)
        await _credentials(f"http://127.0.0.1:{port}", secrets)
        await _provider_fails(provider, worker)
        secrets.of_provider(provider.world)
        own_server.kill()
        await until(lambda: bool(edge.said("no pub/sub connection")))
        own_server.restart()

        metrics = [(await each.admin("/metrics"))[1] for each in programs]
        await asyncio.gather(*(each.stop() for each in programs))
    assert len(secrets) > 14
    for each, exported in zip(programs, metrics, strict=True):
        lines = orjson.dumps(each.lines, default=str).decode()
        assert each.lines
        assert not secrets.told_in(lines + exported), each.lines[:1]


async def _mails(provider: Simulator, url: str) -> None:
    """Some of each kind; a browser has the last that can be read."""
    text = {"mailbox": BOB, "subject": SUBJECT, "summary": SUMMARY, "sender": f'"{SENDER}" <{SENDER}@evil.example>'}
    async with await open_ws(url, **bearer()) as client:
        provider.world.deliver_mail(**text)
        for defect in Defect:
            if defect is not Defect.OVERSIZED:
                provider.faults.on(Kind.MALFORMED, value=defect, times=1)
                provider.world.deliver_mail(**text)
        provider.push(b'{"UserName":"%b","Subject":"%b"' % (SENDER.encode(), SUBJECT.encode()) + b"]" * 20)
        last = provider.world.deliver_mail(**text).mail_id
        while (await client.events(1))[0]["data"].get("mail_id") != last:
            continue


async def _clicks(url: str, secrets: Secrets) -> None:
    """One that opens the mailbox, and some that do not."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/mail/open?mailid=Z1", headers=bearer(), allow_redirects=False) as answer:
            assert answer.status == 302
            for name, [value] in parse_qs(urlsplit(answer.headers["Location"]).query).items():
                if len(value) > 15:
                    secrets[f"{name} of the login"] = value
        for query, headers in (
            (f"?ticket={BAD_TICKET}", {}),
            ("", {"Authorization": f"Bearer {BAD_TOKEN}"}),
            ("", {"Cookie": f"exmail_bridge={BAD_TOKEN}"}),
            (f"?mailid={BAD_TICKET}%00", bearer()),
        ):
            async with session.get(f"{url}/mail/open{query}", headers=headers, allow_redirects=False) as answer:
                assert answer.status in (400, 401)


async def _credentials(url: str, secrets: Secrets) -> None:
    """Good ones, spent ones, bad ones, and those in requests that cannot be read."""
    good, expired = token(), token(life_s=-3600)
    secrets |= {"token": good, "expired token": expired}
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/ticket", headers={"Cookie": f"exmail_bridge={good}"}) as answer:
            ticket = (await answer.json())["ticket"]
        secrets["ticket"] = ticket
    for opener, path in ((open_ws, "/ws"), (open_sse, "/events")):
        for query in (f"?ticket={ticket}", f"?ticket={BAD_TICKET}"):
            (await opener(url, path + query)).drop()
        for each in (BAD_TOKEN, expired):
            async with await opener(url, path, Authorization=f"Bearer {each}") as client:
                assert await client.end() in (3500, 3005)
    at = urlsplit(url)
    for unreadable in (
        f"GET /ws?ticket={BAD_TICKET}\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /ws HTTP/1.1\r\nHost: x\r\nCookie: exmail_bridge={BAD_TOKEN}\x01\r\n\r\n",
        f"GET /ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {BAD_TOKEN}\r\n{BAD_TICKET}\r\n\r\n",
        f"{BAD_TICKET} /ws HTTP/1.1\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        writer.write(unreadable.encode())
        assert (await reader.read()).startswith(b"HTTP/1.")
        writer.close()


async def _provider_fails(provider: Simulator, worker: Program) -> None:
    """The token ends, calls are refused, answers are late and then cut: each is logged and tried again."""
    for fault, value in ((Kind.ERRCODE, 1200), (Kind.ERRCODE, 10001), (Kind.HTTP_STATUS, 502), (Kind.RET, 3)):
        sessions = len(worker.said("will try again"))
        provider.world.tokens.expire()
        fault_ = provider.faults.on(fault, value=value)
        provider.cut(Cut.RST, everything=True)
        await until(lambda sessions=sessions: len(worker.said("will try again")) > sessions)
        provider.faults.end(fault_)
    await provider.listeners.wait_hearing(1)
