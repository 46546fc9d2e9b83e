"""How requests travel: short calls through aiohttp, listen on a socket of its own.

Listen needs the bare socket: what the provider pushes may be HTTP that no request asked for, which every HTTP client
drops. Nothing is read or retried here that needs to know what an answer means.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit

import aiohttp

from . import endpoints
from .answers import read_body, read_refusal
from .documents import to_text
from .endpoints import Endpoint
from .errors import (
    AddressNotAllowed,
    Busy,
    CredentialsRefused,
    ProviderAway,
    ProviderRefused,
    UnreadableAnswer,
    plain,
)

ANSWER_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of the largest answer that is read: ``user/list`` of a very large corporation."""
STREAM_BUFFER: Final = 256 * 1024
"""Bytes of the listen stream that wait unread in this process before the provider's sending is held up."""

TokenStyle = Literal["form", "basic"]


@dataclass(frozen=True, slots=True)
class Stream:
    """An open listen connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def local_address(self) -> str | None:
        """This end's address."""
        name = self.writer.get_extra_info("sockname")
        return str(name[0]) if name else None

    def abort(self) -> None:
        """Close at once."""
        self.writer.transport.abort()


class Transport:
    """Knows the two base URLs and the HTTP client; takes and gives what is on the wire."""

    def __init__(
        self,
        *,
        api_url: str,
        auth_url: str,
        session: aiohttp.ClientSession,
        timeout_s: float,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._auth_url = auth_url.rstrip("/")
        self._session = session
        self._timeout_s = timeout_s
        self._tls: ssl.SSLContext | None = None

    async def call(self, endpoint: Endpoint, params: Mapping[str, str], *, token: str) -> dict[str, Any]:
        """One API call; the answer's object, keys folded.

        Raises:
            ProviderAway, UnreadableAnswer, ProviderRefused.
        """
        headers = {"Authorization": f"Bearer {token}"}
        return await self._post(self._api_url, endpoint, params, headers)

    async def ask_token(self, client_id: str, client_secret: str, *, style: TokenStyle) -> dict[str, Any]:
        """The token call, credentials in the form or in a Basic header (protocol 2.3).

        Raises:
            CredentialsRefused: for any refusal but "busy" and "address not allowed".
        """
        form = {"grant_type": "client_credentials"}
        headers = {}
        if style == "form":
            form |= {"client_id": client_id, "client_secret": client_secret}
        else:
            headers["Authorization"] = "Basic " + b64encode(f"{client_id}:{client_secret}".encode()).decode()
        try:
            answer = await self._post(self._auth_url, endpoints.TOKEN, form, headers)
        except (Busy, AddressNotAllowed):
            raise
        except ProviderRefused as error:
            raise CredentialsRefused(error.errcode, error.text, error.endpoint) from None
        if "access_token" not in answer and (said := to_text(answer.get("error"))):
            raise CredentialsRefused("", said, endpoints.TOKEN.name)
        return answer

    async def _post(
        self, base_url: str, endpoint: Endpoint, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        try:
            async with self._session.post(
                base_url + endpoint.path,
                data=dict(form),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s * endpoint.patience),
            ) as response:
                status = response.status
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > ANSWER_LIMIT:
                        raise UnreadableAnswer(endpoint.name, f"an answer of more than {ANSWER_LIMIT} bytes")
        except TimeoutError:
            raise ProviderAway(endpoint.name, "no answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderAway(endpoint.name, _reason(error)) from error
        return await self._judge(base_url, endpoint, status, bytes(body))

    async def _judge(self, base_url: str, endpoint: Endpoint, status: int, body: bytes) -> dict[str, Any]:
        try:
            answer = read_body(body, endpoint)
        except UnreadableAnswer:
            if status == 200:
                raise
            answer = {}
        refused = read_refusal(answer, endpoint)
        if isinstance(refused, AddressNotAllowed):
            refused.local_address = await self._local_address(base_url)
        if refused is not None:
            raise refused
        # An OAuth server says "no" with 400 or 401; elsewhere a status other than 200 is not the provider's way.
        if status != 200 and not (endpoint is endpoints.TOKEN and status in (400, 401) and "error" in answer):
            raise ProviderAway(endpoint.name, f"unexpected HTTP {status}")
        return answer

    async def _local_address(self, base_url: str) -> str | None:
        """The address that calls leave this machine with: that of a datagram socket towards it; nothing is sent."""
        target = urlsplit(base_url)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                transport, _ = await loop.create_datagram_endpoint(
                    asyncio.DatagramProtocol, remote_addr=(target.hostname or "", target.port or 80)
                )
        except OSError:
            return None
        name = transport.get_extra_info("sockname")
        transport.close()
        return str(name[0]) if name else None

    async def open_stream(self) -> Stream:
        """Connect to the API host for listen.

        Raises:
            ProviderAway: it cannot be reached.
        """
        target = urlsplit(self._api_url)
        secure = target.scheme == "https"
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_connection(
                    target.hostname,
                    target.port or (443 if secure else 80),
                    ssl=self._trust() if secure else None,
                    limit=STREAM_BUFFER,
                )
        except TimeoutError:
            raise ProviderAway(endpoints.LISTEN.name, "no connection in time") from None
        except OSError as error:
            raise ProviderAway(endpoints.LISTEN.name, _reason(error)) from error
        # A peer that vanished without a word shows at the latest by silence; keep-alive also keeps firewalls awake.
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return Stream(reader, writer)

    def _trust(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def listen_request(self, *, ver: int, token: str) -> bytes:
        """The bytes that ask for pushes after ``ver`` (protocol 3.2.1)."""
        target = urlsplit(self._api_url)
        body = urlencode({"Ver": ver})
        return (
            f"POST {target.path}{endpoints.LISTEN.path} HTTP/1.1\r\n"
            f"Host: {target.netloc.rpartition('@')[2]}\r\n"
            f"Authorization: Bearer {token}\r\n"
            "Accept: application/json\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n"
            f"\r\n{body}"
        ).encode("ascii")


def _reason(error: BaseException) -> str:
    return plain(f"{type(error).__name__}: {error}".rstrip(": "))
