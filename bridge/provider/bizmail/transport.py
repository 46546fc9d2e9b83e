"""How requests travel: short calls through aiohttp, listen on a socket of its own, both by the same way out.

Listen needs the bare socket: what the provider pushes may be HTTP that no request asked for, which every HTTP client
drops. Nothing is read or retried here that needs to know what an answer means.
"""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlencode, urlsplit

import aiohttp

from ..egress import ProxyRefused, port_of, reason
from ..faults import (
    AddressNotAllowed,
    BadParameter,
    Busy,
    CredentialsRefused,
    NotUsable,
    OutcomeUnknown,
    ProviderAway,
    ProviderError,
    ProviderRefused,
    UnreadableAnswer,
    plain,
)
from . import endpoints, rules
from .documents import LONG
from .endpoints import Endpoint
from .exchange import Exchanges, Failure
from .verdict import judge

STREAM_BUFFER: Final = 256 * 1024
"""Bytes of the listen stream that wait unread in this process before the provider's sending is held up."""

TokenStyle = Literal["form", "basic"]
Form = Sequence[tuple[str, str]]
"""What a request says, name by name; a name may come again."""

# After a minute and a half without an answer to probes a connection is dead. Firewalls forget an idle one after some
# minutes, often without a word to either side. The names differ between systems, some have none.
_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


@dataclass(frozen=True, slots=True)
class Stream:
    """An open listen connection. ``proxied``: the provider sees a proxy's address."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    proxied: bool = False

    @property
    def local_address(self) -> str | None:
        """This end's address, ``None`` if it is not the one that leaves for the provider."""
        name = None if self.proxied else self.writer.get_extra_info("sockname")
        return str(name[0]) if name else None

    def abort(self) -> None:
        """Close at once."""
        self.writer.transport.abort()


class Transport:
    """Knows the two base URLs and the HTTP client; takes and gives what is on the wire.

    ``timeout_s`` bounds the wait for an answer, ``wait_s`` the time before that, see :class:`.exchange.Exchanges`.
    """

    def __init__(
        self,
        *,
        api_url: str,
        auth_url: str,
        session: aiohttp.ClientSession | None,
        timeout_s: float,
        wait_s: float,
    ) -> None:
        self._api_url = api_url.rstrip("/")
        self._auth_url = auth_url.rstrip("/")
        self.exchanges = Exchanges(session, connect_s=timeout_s, wait_s=wait_s)
        self._timeout_s = timeout_s

    async def call(self, endpoint: Endpoint, form: Form, *, token: str) -> dict[str, Any]:
        """One API call; the answer's object, keys folded.

        Raises:
            ProviderAway, UnreadableAnswer, OutcomeUnknown, ProviderRefused, NotUsable.
        """
        headers = {"Authorization": f"Bearer {token}"}
        hidden = {parameter.name for parameter in endpoint.parameters if parameter.secret}
        secrets = [token, *(value for name, value in form if name in hidden)]
        return await self._post(self._api_url, endpoint, form, headers, secrets=secrets)

    async def ask_token(self, client_id: str, client_secret: str, *, style: TokenStyle) -> dict[str, Any]:
        """The token call, credentials in the form or in a Basic header (protocol 2.3).

        Raises:
            BadParameter: a credential is empty, or no text.
            CredentialsRefused: for any refusal but "busy" and "address not allowed".
        """
        for name, value in (("client_id", client_id), ("client_secret", client_secret)):
            if not rules.is_text(value):
                raise BadParameter(name, "must be text, and not empty", endpoints.TOKEN.section)
        form = [("grant_type", "client_credentials")]
        headers = {}
        basic = b64encode(f"{client_id}:{client_secret}".encode()).decode()
        if style == "form":
            form += [("client_id", client_id), ("client_secret", client_secret)]
        else:
            headers["Authorization"] = f"Basic {basic}"
        try:
            return await self._post(self._auth_url, endpoints.TOKEN, form, headers, secrets=(client_secret, basic))
        except (Busy, AddressNotAllowed):
            raise
        except ProviderRefused as error:
            refused = error
        if not refused.errcode and refused.text == "server_error":
            raise ProviderAway(endpoints.TOKEN.name, "server_error")
        raise CredentialsRefused(refused.errcode, refused.text, refused.endpoint)

    async def _post(
        self, base_url: str, endpoint: Endpoint, form: Form, headers: Mapping[str, str], *, secrets: Sequence[str]
    ) -> dict[str, Any]:
        got = await self.exchanges.post(
            base_url + endpoint.path,
            headers=headers,
            body=urlencode(form).encode("ascii"),
            answer_s=self._timeout_s * endpoint.patience,
            answer_most=endpoint.answer_most,
        )
        if isinstance(got, Failure):
            raise _error_of(got, endpoint)
        try:
            if len(got.body) > LONG:
                # A listing of everybody takes longer to read than pushes may wait.
                return await asyncio.to_thread(judge, endpoint, status=got.status, body=got.body, secrets=secrets)
            return judge(endpoint, status=got.status, body=got.body, secrets=secrets)
        except AddressNotAllowed as error:
            error.local_address = await self._local_address(base_url)
            raise

    async def _local_address(self, base_url: str) -> str | None:
        """The address that calls leave this machine with: that of a datagram socket towards it; nothing is sent."""
        target = urlsplit(base_url)
        host = target.hostname or ""
        if self.exchanges.egress.proxy_to(host) is not None:
            return None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                transport, _ = await loop.create_datagram_endpoint(
                    asyncio.DatagramProtocol, remote_addr=(host, port_of(target))
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
        if (misuse := self.exchanges.misuse()) is not None:
            raise NotUsable(endpoints.LISTEN.name, misuse)
        target = urlsplit(self._api_url)
        host = target.hostname or ""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=STREAM_BUFFER, loop=loop)
        try:
            async with asyncio.timeout(self._timeout_s):
                transport, protocol = await self.exchanges.egress.connect(
                    lambda: asyncio.StreamReaderProtocol(reader, loop=loop),
                    host,
                    port_of(target),
                    secure=target.scheme == "https",
                )
        except TimeoutError:
            raise ProviderAway(endpoints.LISTEN.name, "no connection in time", sent=False) from None
        except ProxyRefused as error:
            raise ProviderAway(endpoints.LISTEN.name, str(error), sent=False) from error
        except socket.gaierror as error:
            what = f"the name {host}" if self.exchanges.egress.proxy_to(host) is None else "the proxy's name"
            raise ProviderAway(
                endpoints.LISTEN.name, plain(f"{what} is not found: {error.strerror}"), sent=False
            ) from error
        except (OSError, ValueError) as error:
            # ValueError: a host that can be no name.
            raise ProviderAway(endpoints.LISTEN.name, reason(error), sent=False) from error
        _keep_alive(transport.get_extra_info("socket"))
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return Stream(reader, writer, proxied=self.exchanges.egress.proxy_to(host) is not None)

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


def _keep_alive(sock: socket.socket) -> None:
    """Have the system find out that a peer has vanished, and keep the firewalls between awake."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _error_of(failure: Failure, endpoint: Endpoint) -> ProviderError:
    why = endpoint.without_answer(failure.why) if failure.sent else failure.why
    match failure.kind:
        case "misused" if not failure.sent:
            return NotUsable(endpoint.name, why)
        case "large" if endpoint.writes:
            return OutcomeUnknown(endpoint.name, why)
        case "large":
            return UnreadableAnswer(endpoint.name, why)
        case kind:
            return ProviderAway(endpoint.name, why, sent=failure.sent, timed_out=kind == "late")
