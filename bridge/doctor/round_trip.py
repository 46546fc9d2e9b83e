"""The whole way: an event from the worker through Redis and an edge to the public URL, over both transports."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from ipaddress import ip_address
from typing import Any, Final

import aiohttp

from bridge.app.public_port import cookie_path
from bridge.doctor.check import Check, Said
from bridge.doctor.finding import NotJudged, found
from bridge.doctor.lines import FORGED, Line, NoLine, Transport, open_line, refused_with
from bridge.doctor.means import Means
from bridge.journal.inquiry import Inquiries
from bridge.journal.orders import NotAnswered, Orders
from bridge.provider.egress import Egress
from bridge.settings import Address, Settings

_EVENT_S: Final = 8.0
_ANSWER_S: Final = 5.0
_TRANSPORTS: Final[tuple[Transport, ...]] = ("websocket", "sse")
_SCRIPT_MOST: Final = 1024 * 1024


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    settings = means.of("edge")
    public = settings.edge.public_url
    url = f"{public.rstrip('/')}/" if public else _itself(settings.edge.listen)
    # As a browser in the company asks: straight.
    async with Egress(ca_file=settings.egress.ca_file).session() as session:
        if not public:
            yield NotJudged("no-public-url")
        try:
            await _ours(session, url)
        except NoLine as error:
            # Without a public URL only the edge of this host is asked, and there need not be one here.
            if public:
                yield found(error.code, url=url, **error.facts)
            return
        async for each in _round(means, settings, session, url):
            yield each


def _itself(listen: Address) -> str:
    """Where the edge of this host answers when nothing stands before it."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens there
    return f"http://{listen._replace(host=loopback.get(listen.host, listen.host))}/"


async def _ours(session: aiohttp.ClientSession, url: str) -> None:
    """Make sure that an edge answers there.

    Raises:
        NoLine: somebody else does, or nobody.
    """
    try:
        async with asyncio.timeout(_ANSWER_S), session.get(f"{url}client.js", allow_redirects=False) as answer:
            if answer.status != 200:
                raise refused_with(answer.status)
            script = b"".join([piece async for piece in _up_to(answer, _SCRIPT_MOST)])
    except aiohttp.ClientError as error:
        raise NoLine("public-unreachable", error=error) from None
    except TimeoutError:
        raise NoLine("public-unreachable", error="no answer in time") from None
    if b"ExmailBridge" not in script:
        raise NoLine("public-not-ours", status=answer.status, kind=answer.content_type)


async def _up_to(answer: aiohttp.ClientResponse, most: int) -> AsyncIterator[bytes]:
    """The pieces of a body, as far as ``most`` bytes."""
    async for piece in answer.content.iter_any():
        yield piece[:most]
        most -= len(piece)
        if most <= 0:
            return


async def _round(
    means: Means, settings: Settings, session: aiohttp.ClientSession, url: str
) -> AsyncGenerator[Said, None]:
    ticket = secrets.token_urlsafe(24)
    async with means.redis() as (redis, keys), AsyncExitStack() as stack:
        orders = Orders(redis, keys)
        # Where Redis takes no writes no edge can answer, and nothing follows from that about it.
        await orders.check()
        admitting, heard = await Inquiries(redis, keys).announce(hashlib.sha256(ticket.encode()).hexdigest())
        if not heard:
            raise NotJudged("round-without-edge")
        if len(admitting) < heard:
            yield found("edge-silent", answered=len(admitting), asked=heard)
        lines: dict[Transport, Line] = {}
        for transport in _TRANSPORTS:
            try:
                line, seen = await stack.enter_async_context(open_line(session, transport, url, ticket))
            except NoLine as error:
                yield found(error.code, url=url, **error.facts)
            else:
                lines[transport] = line
                if len(lines) == 1:
                    for each in _of_addresses(settings, line, seen):
                        yield each
        if not lines:
            return
        mark = secrets.token_hex(8)
        waiting = {transport: asyncio.create_task(_until(line, mark)) for transport, line in lines.items()}
        stack.callback(lambda: [task.cancel() for task in waiting.values()])
        try:
            answer = await orders.ask("canary", ids=(mark,), within_s=_ANSWER_S)
        except NotAnswered as error:
            raise NotJudged("round-without-leader", error=error) from None
        if not answer.get("ok"):
            yield found("event-refused", error=answer.get("error", "-"))
            return
        await asyncio.wait(waiting.values(), timeout=_EVENT_S)
        for transport, task in waiting.items():
            if not task.done() or task.exception() is not None:
                del lines[transport]
                buffered = transport == "sse" and "websocket" in waiting and _went_well(waiting["websocket"])
                yield found("sse-buffered" if buffered else "event-lost", url=url, transport=transport)
        if means.idle_s:
            async for each in _stays(lines, means.idle_s):
                yield each
    async for each in _cookie(settings, session, url):
        yield each


def _went_well(task: asyncio.Task[None]) -> bool:
    return task.done() and task.exception() is None


async def _until(line: Line, mark: str) -> None:
    """Return when the event with this mark has come; raise :class:`NoLine` if the connection ends before."""
    while True:
        data = (await line.frame()).get("data")
        if isinstance(data, dict) and data.get("mark") == mark:
            return


async def _stays(lines: dict[Transport, Line], idle_s: float) -> AsyncGenerator[Said, None]:
    """Whether quiet connections stay for longer than a heartbeat, and hear it."""
    began = asyncio.get_running_loop().time()
    waiting = {transport: asyncio.create_task(_heartbeat(line)) for transport, line in lines.items()}
    try:
        if waiting:
            await asyncio.wait(waiting.values(), timeout=idle_s)
        for transport, task in waiting.items():
            if not _went_well(task):
                yield found("idle-cut", transport=transport, seconds=round(asyncio.get_running_loop().time() - began))
    finally:
        for task in waiting.values():
            task.cancel()


async def _heartbeat(line: Line) -> None:
    while (await line.frame()).get("type") != "exmail.heartbeat":
        continue


def _of_addresses(settings: Settings, line: Line, seen: dict[str, Any]) -> list[Said]:
    """Whether the edge sees browsers, or the proxy in their place, or whatever they say."""
    address, peer, ours = str(seen.get("address", "")), str(seen.get("peer", "")), line.ours
    try:
        inside = any(ip_address(ours) in network for network in settings.edge.trusted_proxies)
    except ValueError:
        inside = True
    if inside:
        # What comes from a trusted address may say for whom it comes; nothing follows for others.
        return [NotJudged("address-from-inside", by_choice=True, address=ours or "-")]
    if address == FORGED:
        return [found("address-forged", address=address)]
    if address == peer != ours:
        return [found("address-of-proxy", address=peer)]
    return []


async def _cookie(settings: Settings, session: aiohttp.ClientSession, url: str) -> AsyncGenerator[Said, None]:
    """Whether the edge takes our tokens, and whether the path of its cookie comes through as it is."""
    edge = settings.edge
    if not edge.jwt_secrets:
        yield NotJudged("tokens-from-elsewhere", by_choice=True)
        return
    from bridge.access.secret import sign

    token = sign(
        edge.jwt_secrets()[0],
        "doctor@example.invalid",
        lifetime_s=60,
        claim=edge.jwt_claim,
        # A session of nobody's, so that ending it ends nothing.
        sid=f"doctor {secrets.token_hex(8)}",
        audience=edge.jwt_audience or None,
        issuer=edge.jwt_issuer or None,
    )
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with asyncio.timeout(_ANSWER_S), session.post(f"{url}logout", headers=headers) as answer:
            status, cleared = answer.status, answer.headers.get("Set-Cookie", "")
    except (aiohttp.ClientError, TimeoutError) as error:
        yield found("public-unreachable", url=url, error=type(error).__name__)
        return
    if status == 401:
        yield found("token-refused", url=url)
        return
    if status != 204:
        yield found("logout-fails", url=url, status=status)
        return
    path = next((part.strip()[5:] for part in cleared.split(";") if part.strip().lower().startswith("path=")), "")
    expected = "/" if edge.cookie.lower().startswith("__host-") else cookie_path(edge.public_url)
    if path != expected:
        yield found("cookie-path", path=path or "-", expected=expected)


CHECK: Final = Check("round trip", _ask, within_s=75.0)
