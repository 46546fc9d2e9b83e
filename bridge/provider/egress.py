"""The way out to the provider: straight, or through the company's proxy; and whom TLS trusts there.

Both listen and the calls connect here. Through a proxy that is always a CONNECT tunnel, for plain http too: listen
needs a bare socket, and a proxy that understands what it forwards would drop the responses that no request asked
for. aiohttp tunnels to https only, so calls get a connector of ours, which differs in how a connection is made, and in
which ones of its pool it uses again.
"""

from __future__ import annotations

import asyncio
import logging
import select
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, cast
from urllib.parse import SplitResult
from urllib.request import getproxies_environment
from weakref import WeakSet

import aiohttp

from .faults import plain
from .proxy import Proxy, authority, is_exempt
from .trust import Trust

STRICTER: Final = {
    "Authority Key Identifier": (
        "Python 3.13 and later demand that a certificate names the key of its authority, which many authorities of "
        "companies leave out: have the certificate issued anew with that extension, or use Python 3.12"
    ),
    "CA cert does not include key usage": (
        "Python 3.13 and later demand that an authority's certificate says that it may sign others: have it issued "
        "anew with the extension Key Usage, or use Python 3.12"
    ),
}
"""What Python 3.13 began to refuse of certificates, by OpenSSL's words for it, and what an operator can do."""

HANDSHAKE_S: Final = 10.0
_HEAD_LIMIT: Final = 16 * 1024
_NO_HTTP: Final = "its answer is no HTTP"

log = logging.getLogger(__name__)

P = TypeVar("P", bound=asyncio.Protocol)


class ProxyRefused(aiohttp.ClientError):
    """The proxy gave no tunnel; to whoever knows no proxy an error of the client like any other.

    ``status`` is its HTTP status, ``None`` if it gave none.
    """

    def __init__(self, proxy: Proxy, target: str, why: str, status: int | None = None) -> None:
        super().__init__(f"proxy {proxy} gave no tunnel to {target}: {why}")
        self.proxy = proxy
        self.target = target
        self.status = status


class Egress:
    """How connections to the provider are made.

    ``proxy`` is its URL, user and password within, or says it: it is asked for each connection, so that a password may
    change; ``no_proxy`` are hosts that are reached without it (names with
    all below them, addresses, networks, ``*``). ``ca_file`` is a PEM file of certificates that TLS trusts beside the
    system's, for provider and proxy alike; it is read again when it has changed. ``handshake_s`` bounds the wait for
    the proxy's answer.

    Raises:
        ValueError: ``proxy`` is no address of one.
        OSError, ssl.SSLError: ``ca_file`` cannot be read, or holds no certificate.
    """

    def __init__(
        self,
        *,
        proxy: str | Callable[[], str] = "",
        no_proxy: Sequence[str] = (),
        ca_file: str = "",
        handshake_s: float = HANDSHAKE_S,
    ) -> None:
        self._proxy_url = proxy if callable(proxy) else lambda: proxy
        self._proxy = Proxy.at(url) if (url := self._proxy_url()) else None
        self._proxy_said = url
        self._no_proxy = tuple(no_proxy)
        self._handshake_s = handshake_s
        self._trust = Trust(ca_file)

    @classmethod
    def of_environment(cls) -> Egress:
        """The way out that the environment names: ``HTTPS_PROXY`` and ``NO_PROXY``, in either case.

        Raises:
            ValueError: that is no address of a proxy that we can use.
        """
        named = getproxies_environment()
        return cls(proxy=named.get("https", ""), no_proxy=[each for each in named.get("no", "").split(",") if each])

    def session(self) -> aiohttp.ClientSession:
        """An HTTP client that goes this way; for :class:`~.client.ProviderClient`, which listens the same way."""
        # No jar: what is set for one browser's question must not go along with the next one's.
        jar = aiohttp.DummyCookieJar()
        return aiohttp.ClientSession(connector=Tunnels(self), trust_env=False, cookie_jar=jar)

    @property
    def trusted(self) -> ssl.SSLContext | bool:
        """Whom TLS trusts, in the words of aiohttp: ``True`` is whom the system trusts."""
        return True if self._trust.is_systems else self._trust.context()

    def is_direct(self, host: str) -> bool:
        """Whether ``host`` is reached without a proxy, whatever the proxy is."""
        return is_exempt(host, self._no_proxy)

    def proxy_to(self, host: str) -> Proxy | None:
        """The proxy on the way to ``host``, if any."""
        return None if self._proxy is None or self.is_direct(host) else self._present(self._proxy)

    def _present(self, proxy: Proxy) -> Proxy:
        """The proxy as its URL says now; what cannot be read as one changes nothing."""
        url = self._proxy_url()
        if url == self._proxy_said:
            return proxy
        self._proxy_said = url
        try:
            self._proxy = Proxy.at(url)
        except ValueError as error:
            log.warning("the proxy that is set now is none, the one before stays in use", extra={"error": str(error)})
            return proxy
        return self._proxy

    async def connect(
        self, factory: Callable[[], P], host: str, port: int, *, secure: bool
    ) -> tuple[asyncio.Transport, P]:
        """Connect a protocol to ``host``, as ``loop.create_connection`` does; ``secure``: with TLS.

        Raises:
            ProxyRefused: there is a proxy, and it gave no tunnel.
            OSError: no connection, or no TLS, with the host or with the proxy.
        """
        loop = asyncio.get_running_loop()
        proxy = self.proxy_to(host)
        tls = self._trust.context() if secure else None
        if proxy is None:
            return await loop.create_connection(factory, host, port, ssl=tls)
        transport = await self._tunnel(proxy, host, port)
        try:
            return await _hand_over(transport, factory(), tls, host)
        except BaseException:
            transport.abort()
            raise

    async def _tunnel(self, proxy: Proxy, host: str, port: int) -> asyncio.Transport:
        """A connection that the proxy has made one to the host; its protocol is to be replaced."""
        target = authority(host, port)
        transport: asyncio.Transport | None = None
        try:
            async with asyncio.timeout(self._handshake_s):
                transport, answer = await asyncio.get_running_loop().create_connection(
                    _Answer, proxy.host, proxy.port, ssl=self._trust.context() if proxy.secure else None
                )
                transport.write(proxy.connect_request(host, port))
                status, why = await answer.status
        except OSError as error:
            if transport is not None:
                transport.abort()
            if isinstance(error, TimeoutError) and error.errno is None:
                raise ProxyRefused(proxy, target, f"no answer in {self._handshake_s:g} s") from None
            raise ProxyRefused(proxy, target, reason(error)) from error
        except BaseException:
            if transport is not None:
                transport.abort()
            raise
        if status != 200 or answer.rest:
            transport.abort()
            raise ProxyRefused(proxy, target, why if status != 200 else "it spoke before the host did", status or None)
        return transport


class Tunnels(aiohttp.TCPConnector):
    """aiohttp's pool of connections, with tunnels where an :class:`Egress` goes through a proxy."""

    def __init__(self, egress: Egress) -> None:
        super().__init__(ssl=egress.trusted)
        self.egress = egress
        # Those that have carried a request already.
        self._used: WeakSet[asyncio.BaseTransport] = WeakSet()

    async def connect(self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout) -> Any:
        """A connection of the pool or a new one, and none that spoke unasked: the answer would be taken for that to
        this request, and who is asked about a person would be believed about the one before.
        """
        while True:
            connection = await super().connect(req, traces, timeout)
            transport = connection.transport
            if transport is None or not (transport in self._used and is_spoilt(transport)):
                break
            connection.close()
        if transport is not None:
            self._used.add(transport)
        return connection

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> Any:
        """The one method that each kind of connector defines for itself: connect to where the request goes."""
        host = cast(str, req.url.raw_host)
        # aiohttp bounds the handshakes by this, and not the question for the name.
        async with asyncio.timeout(timeout.sock_connect):
            if self.egress.proxy_to(host) is None:
                # Where aiohttp looks for whom to trust; the file of certificates may be another by now.
                self._ssl = self.egress.trusted
                return await super()._create_connection(req, traces, timeout)
            _, protocol = await self.egress.connect(self._factory, host, cast(int, req.port), secure=req.is_ssl())
            return protocol


def has_spoken(transport: asyncio.BaseTransport) -> bool:
    """Whether an answer waits in aiohttp's protocol, or anything else that it would not go on with."""
    return bool(getattr(transport.get_protocol(), "should_close", False))


def is_spoilt(transport: asyncio.BaseTransport) -> bool:
    """Whether an idle connection is of no use any more: it was closed, or something came that nothing asked for."""
    sock = transport.get_extra_info("socket")
    if sock is None or transport.is_closing() or has_spoken(transport):
        return True
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def egress_of(session: aiohttp.ClientSession) -> Egress:
    """The way out that a session takes; straight for one that was not made by an :class:`Egress`."""
    return session.connector.egress if isinstance(session.connector, Tunnels) else Egress()


def reason(error: BaseException) -> str:
    """An error of the network in one line, with what to do where that is known."""
    text = plain(f"{type(error).__name__}: {error}".rstrip(": "))
    return text + next((f". {hint}" for said, hint in STRICTER.items() if said in str(error)), "")


def port_of(url: SplitResult) -> int:
    """The port that a base URL means."""
    return url.port or (443 if url.scheme == "https" else 80)


async def _hand_over(
    transport: asyncio.Transport, protocol: P, tls: ssl.SSLContext | None, host: str
) -> tuple[asyncio.Transport, P]:
    if tls is None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return transport, protocol
    secured = await asyncio.get_running_loop().start_tls(transport, protocol, tls, server_hostname=host)
    if secured is None:
        raise ConnectionResetError("the connection ended in the TLS handshake")
    # start_tls leaves this to whoever wrote the first protocol.
    protocol.connection_made(secured)
    return secured, protocol


class _Answer(asyncio.Protocol):
    """Reads a proxy's answer to CONNECT. ``rest`` is what came behind it, which should be nothing."""

    def __init__(self) -> None:
        self.status: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self.rest = b""
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if self.status.done():
            self.rest += data
        elif end:
            self.rest = rest
            self.status.set_result(_verdict(head))
        elif len(head) > _HEAD_LIMIT:
            self.status.set_result((0, _NO_HTTP))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.status.done():
            self.status.set_result((0, "it closed the connection"))


def _verdict(head: bytes) -> tuple[int, str]:
    """Status and what it means; any 2xx opens the tunnel, 0 is no HTTP."""
    words = head.split(b"\r\n", 1)[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return 0, _NO_HTTP
    status = int(words[1])
    if 200 <= status < 300:
        return 200, ""
    said = plain(words[2].decode("latin-1")) if len(words) > 2 else ""
    why = f"status {status} {said}".rstrip()
    return status, f"{why}; it wants a user and password, or other ones" if status == 407 else why
