"""The edge's two transports as a browser speaks them, through whatever stands before it; or why nothing comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, Protocol

import aiohttp

Transport = Literal["websocket", "sse"]

FORGED: Final = "203.0.113.99"
"""An address that nobody has (RFC 5737), claimed by us: who believes it believes anybody."""

_OPENED_S: Final = 6.0
_LONGEST: Final = 64 * 1024
_AWAY: Final = (502, 503, 504)


class NoLine(Exception):
    """There is no connection, or none that is of use. ``code`` and ``facts`` as of a finding."""

    def __init__(self, code: str, **facts: object) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


class Line(Protocol):
    """An open connection. ``ours``: this end's address, empty if it is not known."""

    ours: str

    async def frame(self) -> dict[str, Any]:
        """The next frame.

        Raises:
            NoLine: the connection ended.
        """
        ...


class _WebSocket:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self.ours = _address(socket.get_extra_info("sockname"))

    async def frame(self) -> dict[str, Any]:
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return _object(message.data)
        raise NoLine("line-ended", transport="websocket", why=self._socket.close_code or "-")


class _EventStream:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        connection = answer.connection
        transport = connection.transport if connection is not None else None
        self.ours = _address(transport.get_extra_info("sockname") if transport is not None else None)

    async def frame(self) -> dict[str, Any]:
        size = 0
        try:
            while line := await self._answer.content.readline():
                size += len(line)
                if line.startswith(b"data:"):
                    return _object(line[5:])
                if size > _LONGEST:
                    break
        except (aiohttp.ClientError, ValueError) as error:
            raise NoLine("line-ended", transport="sse", why=type(error).__name__) from None
        raise NoLine("line-ended", transport="sse", why="-")


@asynccontextmanager
async def open_line(
    session: aiohttp.ClientSession, transport: Transport, url: str, ticket: str
) -> AsyncIterator[tuple[Line, dict[str, Any]]]:
    """Open a connection below ``url``; yield it, and what the edge says of us, until the end of the block.

    Raises:
        NoLine: it cannot be opened, or nothing comes of it in time.
    """
    headers = {"X-Forwarded-For": FORGED}
    asked = {"ticket": ticket}
    try:
        if transport == "websocket":
            async with asyncio.timeout(_OPENED_S):
                socket = await session.ws_connect(
                    f"{url}ws", params=asked, headers=headers, max_msg_size=_LONGEST, autoping=True
                )
            async with socket:
                line: Line = _WebSocket(socket)
                yield line, await _seen(line, transport)
        else:
            headers["Accept"] = "text/event-stream"
            async with asyncio.timeout(_OPENED_S):
                answer = await session.get(
                    f"{url}events", params=asked, headers=headers, timeout=aiohttp.ClientTimeout(total=None)
                )
            async with answer:
                if answer.status != 200:
                    raise refused_with(answer.status)
                if answer.content_type != "text/event-stream":
                    raise NoLine("public-not-ours", status=answer.status, kind=answer.content_type)
                line = _EventStream(answer)
                yield line, await _seen(line, transport)
    except aiohttp.WSServerHandshakeError as error:
        if error.status in (400, 426):
            raise NoLine("upgrade-stripped", status=error.status) from None
        raise refused_with(error.status) from None
    except aiohttp.ClientError as error:
        # Its text may have the URL in it, and with that the pass.
        raise NoLine("public-unreachable", error=type(error).__name__) from None
    except TimeoutError:
        raise NoLine("sse-buffered" if transport == "sse" else "line-mute", transport=transport) from None


async def _seen(line: Line, transport: Transport) -> dict[str, Any]:
    """Read up to the frame in which the edge says as whom it sees us."""
    async with asyncio.timeout(_OPENED_S):
        while True:
            frame = await line.frame()
            data = frame.get("data")
            if frame.get("type") == "exmail.closing" and isinstance(data, dict):
                raise NoLine("line-refused", transport=transport, why=data.get("code"))
            if frame.get("type") == "exmail.canary.seen" and isinstance(data, dict):
                return data


def refused_with(status: int) -> NoLine:
    """What an HTTP status other than the right one means."""
    if status in _AWAY:
        return NoLine("proxy-without-edge", status=status)
    return NoLine("public-not-ours", status=status, kind="-")


def _address(name: object) -> str:
    return str(name[0]) if isinstance(name, tuple) else ""


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
