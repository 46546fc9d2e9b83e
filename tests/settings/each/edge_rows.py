"""The settings of the edge, of sign-on, and of the program's own words."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from bridge.access.issuer import JwksVerifier
from bridge.access.refused import Refused
from bridge.app.doors import limits_of, running_verifier
from bridge.app.public_port import bind, serving
from bridge.edge.places import Limits
from bridge.obs.admin import Admin
from bridge.obs.logs import setup_logs
from bridge.obs.metrics import Metrics
from bridge.settings import Address
from tests.settings.each.bench import FREE, Bench, Row
from tests.support.browser_side import open_sse, open_ws
from tests.support.clicks import clicking, signon_alone
from tests.support.processes import http_get
from tests.support.stage import BOB, KEYS, bearer, running_edge, token
from tests.support.waiting import PATIENCE_S, until
from tests.support.workers import simulating

OA = "https://oa.corp.com"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = {**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "a", "use": "sig"}
SIGNED = jwt.encode({"sub": BOB, "exp": 4_000_000_000}, KEY, "ES256", headers={"kid": "a"})


async def listens(url: str, value: str) -> None:
    port = int(url.rpartition(":")[2])
    assert port == (int(value.rpartition(":")[2]) or port) > 0


async def edge_listen(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_LISTEN=value)
    await listens(url, value)
    assert await bench.status(f"{url}/client.js") == 200


async def signon_listen(bench: Bench, value: str) -> None:
    async with simulating(1) as simulator, signon_alone(bench.redis_url, simulator, BRIDGE_SIGNON_LISTEN=value) as url:
        await listens(url, value)
        assert await bench.status(f"{url}/mail/open") == 401


async def administered(listen: Address) -> None:
    admin = Admin(
        metrics=Metrics(version="t"), host=listen.host, port=listen.port, alive=lambda: None, ready=lambda: None
    )
    await admin.start()
    try:
        assert (await http_get(*admin.address, "/livez"))[0] == 200
        assert listen.port in (0, admin.address[1])
    finally:
        await admin.stop()


async def worker_admin(bench: Bench, value: str) -> None:
    await administered(bench.settings(BRIDGE_WORKER_ADMIN_LISTEN=value).worker.admin_listen)


async def edge_admin(bench: Bench, value: str) -> None:
    await administered(bench.settings(BRIDGE_EDGE_ADMIN_LISTEN=value).edge.admin_listen)


async def signon_admin(bench: Bench, value: str) -> None:
    await administered(bench.settings(BRIDGE_SIGNON_ADMIN_LISTEN=value).signon.admin_listen)


async def public_url(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_PUBLIC_URL=value)
    path = value.removeprefix(f"{OA}:8443").removeprefix(OA).rstrip("/")
    assert await bench.status(f"{url}{path}/client.js") == 200
    origin = value[: len(value) - len(path)].rstrip("/") or OA
    assert await bench.status(f"{url}/unread", Origin=origin, **bearer()) == (200 if value else 403)


async def trusted_proxies(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_TRUSTED_PROXIES=value)
    told = await bench.status(f"{url}/unread", Origin=OA, X_Forwarded_Host="oa.corp.com", **bearer())
    assert told == (403 if value == "none" else 200)


async def allowed_origins(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_ALLOWED_ORIGINS=value)
    for origin in filter(None, value.split(",")[::40]):
        assert await bench.status(f"{url}/unread", Origin=origin, **bearer()) == 200
    assert await bench.status(f"{url}/unread", Origin="https://else.corp.com", **bearer()) == 403


async def admitted(bench: Bench, url: str, signed: str) -> bool:
    return await bench.status(f"{url}/unread", Authorization=f"Bearer {signed}") == 200


async def jwt_secret(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_JWT_SECRET=value)
    for line in value.splitlines():
        secret = base64.b64decode(line[7:]) if line.startswith("base64:") else line.encode()
        assert await admitted(bench, url, jwt.encode({"sub": BOB, "exp": 4_000_000_000}, secret, "HS256"))
    assert not await admitted(bench, url, token())


async def jwks_url(bench: Bench, value: str) -> None:
    issuer = await bench.recorder()
    issuer.keys = [PUBLIC]
    url = await bench.edge(BRIDGE_EDGE_JWT_SECRET="", BRIDGE_EDGE_JWKS_URL=f"{issuer.url}{value}/keys")
    assert await admitted(bench, url, SIGNED)
    assert not await admitted(bench, url, token())
    assert set(issuer.paths) == {f"{value}/keys"}


async def jwks_keep(bench: Bench, value: str) -> None:
    issuer, now = await bench.recorder(), [0.0]
    issuer.keys = [PUBLIC]
    settings = bench.settings(BRIDGE_EDGE_JWKS_URL=f"{issuer.url}/keys", BRIDGE_EDGE_JWKS_KEEP=value)
    async with running_verifier(settings) as made:
        assert isinstance(made, JwksVerifier)
        made._clock = lambda: now[0]
        made._pause_s = 0
        await made.verify(SIGNED)
        await made._fetch()
        issuer.keys = None
        now[0] = int(value) - 1
        await made.verify(SIGNED)
        now[0] = int(value) + 1
        with pytest.raises(Refused) as refused:
            await made.verify(SIGNED)
    assert refused.value.status == 503


async def jwt_audience(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_JWT_AUDIENCE=value)
    assert await admitted(bench, url, token(aud=value or "whatever"))
    assert await admitted(bench, url, token()) == (not value)
    assert await admitted(bench, url, token(aud="another")) == (not value)


async def jwt_issuer(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_JWT_ISSUER=value)
    assert await admitted(bench, url, token(iss=value or "whatever"))
    assert await admitted(bench, url, token()) == (not value)
    assert await admitted(bench, url, token(iss="another")) == (not value)


async def jwt_claim(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_JWT_CLAIM=value)
    assert await admitted(bench, url, token(**{"sub": None, value: BOB}))
    assert not await admitted(bench, url, token(**{"sub": None, f"{value}x": BOB}))


async def cookie(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_COOKIE=value)
    assert await bench.status(f"{url}/unread", Cookie=f"{value}={token()}") == 200
    assert await bench.status(f"{url}/unread", Cookie=f"{value}x={token()}") == 401


async def kick_seconds(bench: Bench, value: str) -> None:
    url = await bench.edge(BRIDGE_EDGE_KICK_SECONDS=value)
    async with aiohttp.ClientSession(headers=bearer(sid="s")) as session, session.post(f"{url}/logout") as answer:
        assert answer.status == 204
    assert not await admitted(bench, url, token(sid="s"))
    [(_, until_ms)] = await bench.redis.zrange(KEYS.kicked, 0, -1, withscores=True)
    seconds, _ = await bench.redis.time()
    assert int(value) - 20 < until_ms / 1000 - seconds <= int(value) + 1
    # A change of person asks for as long for a newer token.
    for age_s, ok in ((int(value) - 20, False), (int(value) + 20, True)):
        await bench.redis.zadd(KEYS.moved, {BOB: (seconds - age_s) * 1000})
        assert await admitted(bench, url, token(iat=seconds - age_s - 60)) is ok


async def request_timeout(bench: Bench, value: str) -> None:
    seconds = bench.settings(BRIDGE_EDGE_REQUEST_TIMEOUT=value).edge.request_timeout_s
    sock = await bind(Address("127.0.0.1", 0))
    host, port = sock.getsockname()

    def nothing(app: web.Application) -> None:
        del app

    async with serving(sock, nothing, request_timeout_s=seconds, shutdown_s=0.1) as acceptor:
        acceptor.start()
        reader, writer = await asyncio.open_connection(host, port)
        await until(lambda: bool(acceptor._open))
        [transport] = acceptor._open
        taken = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == seconds * 1000
        protocol = transport.get_protocol()
        assert protocol._keepalive_timeout == seconds
        if seconds == 1:
            assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        writer.close()


async def limited(bench: Bench, **environ: str) -> Limits:
    return limits_of(bench.settings(**environ))


async def max_connections(bench: Bench, value: str) -> None:
    told = (await limited(bench, BRIDGE_EDGE_MAX_CONNECTIONS=value)).connections
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert told == int(value) if value else limit * 3 // 4 <= told < limit
    if value == "1":
        url = await bench.edge(BRIDGE_EDGE_MAX_CONNECTIONS=value)
        assert await self_and_another(url) == (None, 3013)


async def per_address(bench: Bench, value: str) -> None:
    assert (await limited(bench, BRIDGE_EDGE_PER_ADDRESS=value)).per_address == int(value)
    url = await bench.edge(BRIDGE_EDGE_PER_ADDRESS=value)
    assert await self_and_another(url) == (None, 3013 if value == "1" else None)


async def per_mailbox(bench: Bench, value: str) -> None:
    assert (await limited(bench, BRIDGE_EDGE_PER_MAILBOX=value)).per_mailbox == int(value)
    url = await bench.edge(BRIDGE_EDGE_PER_MAILBOX=value)
    assert await self_and_another(url) == (None, 3504 if value == "1" else None)


async def self_and_another(url: str) -> tuple[int | None, int | None]:
    """Two connections of one mailbox and address: with what code each is refused."""
    async with await open_ws(url, **bearer()) as one, await open_ws(url, **bearer()) as other:
        told = [(await client.frame()).data for client in (one, other)]
    first, second = (None if each["type"] == "exmail.snapshot" else each["data"]["code"] for each in told)
    return first, second


async def handshake_rate(bench: Bench, value: str) -> None:
    assert (await limited(bench, BRIDGE_EDGE_HANDSHAKE_RATE=value)).handshakes == int(value)
    assert await self_and_another(await bench.edge(BRIDGE_EDGE_HANDSHAKE_RATE=value)) == (None, None)


async def max_life(bench: Bench, value: str) -> None:
    life_s = bench.settings(BRIDGE_EDGE_MAX_LIFE=value).edge.max_life_s
    assert life_s == int(value)
    if life_s == 10:
        url = await bench.edge(BRIDGE_EDGE_MAX_LIFE=value)
        async with await open_sse(url, **bearer()) as client:
            async with asyncio.timeout(PATIENCE_S):
                while client.code is None:
                    with suppress(TimeoutError):
                        await client.frame()
        assert client.code == 3001


async def drain(bench: Bench, value: str) -> None:
    edge = bench.settings(BRIDGE_EDGE_DRAIN=value).edge
    assert (edge.drain_s, edge.stop_s) == (float(value), float(value) + 10)
    if value == "0":
        async with running_edge(bench.redis_url, BRIDGE_EDGE_DRAIN=value) as (url, _):
            client = await open_sse(url, **bearer())
        assert await client.end() == 3001


async def drain_delay(bench: Bench, value: str) -> None:
    edge = bench.settings(BRIDGE_EDGE_DRAIN_DELAY=value).edge
    assert (edge.drain_delay_s, edge.stop_s) == (float(value), float(value) + 20)


async def signon_mode(bench: Bench, value: str) -> None:
    async with simulating(1) as simulator, clicking(bench.redis_url, simulator, BRIDGE_SIGNON=value) as stage:
        scoped = {"Cookie": f"exmail_bridge={token(scope='open')}"}
        told = (await stage.browser.click()).status, (await stage.browser.click(**scoped)).status
    assert told == {"on": (302, 302), "scope": (403, 302), "off": (404, 404)}[value]


async def signon_rate(bench: Bench, value: str) -> None:
    async with simulating(1) as simulator, clicking(bench.redis_url, simulator, BRIDGE_SIGNON_RATE=value) as stage:
        if int(value) > 1:
            await bench.redis.set(KEYS.clicks(BOB), int(value) - 1)
        assert [(await stage.browser.click()).status for _ in range(2)] == [302, 429]


@contextmanager
def logging_as(settings: Any) -> Iterator[io.StringIO]:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = list(root.handlers), root.level
    setup_logs(settings.log.level, settings.log.format, role="edge", stream=stream)
    try:
        yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        logging.getLogger("aiohttp.access").disabled = False


LEVELS = ("debug", "info", "warning", "error")


async def log_level(bench: Bench, value: str) -> None:
    with logging_as(bench.settings(BRIDGE_LOG_LEVEL=value)) as stream:
        for level in LEVELS:
            logging.getLogger("bridge.x").log(getattr(logging, level.upper()), level)
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == list(
        LEVELS[LEVELS.index(value) :]
    )


async def log_format(bench: Bench, value: str) -> None:
    with logging_as(bench.settings(BRIDGE_LOG_FORMAT=value)) as stream:
        logging.getLogger("bridge.x").warning("said", extra={"a": 1})
    assert stream.getvalue().startswith("{") == (value != "text")


PORTS = ("127.0.0.1:0", f"127.0.0.1:{FREE}", "127.0.0.1:65535")
LONGEST = f"{OA}:8443/{'a/' * 100}%E9%82%AE/"
KEYS_OF_TEXT = "\n".join(["a-secret-of-32-bytes-and-more-123", *(f"another-{'x' * 50}-{n}" for n in range(5))])
KEYS_OF_BYTES = "base64:" + base64.b64encode(bytes(range(256)) * 2).decode()

ROWS = {
    "BRIDGE_WORKER_ADMIN_LISTEN": Row(PORTS, worker_admin),
    "BRIDGE_EDGE_LISTEN": Row(PORTS, edge_listen),
    "BRIDGE_EDGE_PUBLIC_URL": Row(("", f"{OA}/exmail/", LONGEST), public_url),
    "BRIDGE_EDGE_TRUSTED_PROXIES": Row(("none", "loopback", "0.0.0.0/0"), trusted_proxies),
    "BRIDGE_EDGE_ALLOWED_ORIGINS": Row(
        ("", OA, ",".join(f"https://a{n}.corp.com" for n in range(200))), allowed_origins
    ),
    "BRIDGE_EDGE_JWT_SECRET": Row(("x" * 32, KEYS_OF_TEXT, KEYS_OF_BYTES), jwt_secret),
    "BRIDGE_EDGE_JWKS_URL": Row(("", "/a", "/a/b/" + "c" * 500), jwks_url),
    "BRIDGE_EDGE_JWKS_KEEP": Row(("60", "86400", "31536000"), jwks_keep),
    "BRIDGE_EDGE_JWT_AUDIENCE": Row(("", "oa", "x" * 500), jwt_audience),
    "BRIDGE_EDGE_JWT_ISSUER": Row(("", "https://oa.corp.com/", "x" * 500), jwt_issuer),
    "BRIDGE_EDGE_JWT_CLAIM": Row(("u", "mail/box", "x" * 128), jwt_claim),
    "BRIDGE_EDGE_COOKIE": Row(("c", "__Host-exmail", "x" * 64), cookie),
    "BRIDGE_EDGE_KICK_SECONDS": Row(("60", "86400", "31536000"), kick_seconds),
    "BRIDGE_EDGE_REQUEST_TIMEOUT": Row(("1", "65", "3600"), request_timeout),
    "BRIDGE_EDGE_MAX_CONNECTIONS": Row(("1", "20000", "10000000", ""), max_connections),
    "BRIDGE_EDGE_PER_ADDRESS": Row(("0", "1", "10000000"), per_address),
    "BRIDGE_EDGE_PER_MAILBOX": Row(("0", "1", "10000000"), per_mailbox),
    "BRIDGE_EDGE_HANDSHAKE_RATE": Row(("0", "1000", "100000"), handshake_rate),
    "BRIDGE_EDGE_MAX_LIFE": Row(("10", "7200", "31536000"), max_life),
    "BRIDGE_EDGE_DRAIN": Row(("0", "10", "120"), drain),
    "BRIDGE_EDGE_DRAIN_DELAY": Row(("0", "5", "60"), drain_delay),
    "BRIDGE_EDGE_ADMIN_LISTEN": Row(PORTS, edge_admin),
    "BRIDGE_SIGNON": Row(("off", "scope", "on"), signon_mode),
    "BRIDGE_SIGNON_RATE": Row(("1", "20", "10000"), signon_rate),
    "BRIDGE_SIGNON_LISTEN": Row(PORTS, signon_listen),
    "BRIDGE_SIGNON_ADMIN_LISTEN": Row(PORTS, signon_admin),
    "BRIDGE_LOG_LEVEL": Row(LEVELS, log_level),
    "BRIDGE_LOG_FORMAT": Row(("auto", "json", "text"), log_format),
}
