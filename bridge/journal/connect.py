"""From a URL to a client, the same way everywhere.

redis-py repeats a command whose answer was lost, but a write may only be repeated with its call number. So the clients
made here never retry; the caller decides.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, ResponseError

from bridge.journal.certificates import Certificates
from bridge.journal.cluster import Cluster
from bridge.journal.errors import is_elsewhere
from bridge.journal.names import Name, is_name
from bridge.journal.raw import RawConnection, transport_of
from bridge.journal.route import Finder, Node, Route
from bridge.journal.sentinel import Sentinels

_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_ASK_S: Final = 1.0


class _Credentials(CredentialProvider):
    """Reads the password again for each connection, so that a changed secret file takes effect."""

    def __init__(self, username: str | None, password: Callable[[], str | None]) -> None:
        self._username = username
        self._password = password

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        password = self._password() or ""
        return (self._username, password) if self._username else (password,)

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        # The inherited one warns in the log at each connection.
        return self.get_credentials()


class _Cancellable(AbstractConnection):
    """Writes without ``asyncio.wait_for``, and is not reused after its server said that it is the wrong one.

    Before Python 3.12 ``wait_for`` swallows a cancellation that arrives when the write is just done. A shutdown then
    waits for ever for a task that was never cancelled (seen at one start in three).
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        limit_s, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(limit_s):
                await super().send_packed_command(command, check_health)
        finally:
            self.socket_timeout = limit_s

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            if is_elsewhere(error.status_code or ""):
                # Behind a name or a sentinel there may be another server now: make the pool dial again.
                self.mark_for_reconnect()  # type: ignore[no-untyped-call]
            raise


class _SSLConnection(SSLConnection):
    """Dials with the certificates that are in their files now."""

    def __init__(self, *, certificates: Certificates, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context = certificates  # type: ignore[assignment]


class _Leavable(Connection):
    """May be cut by whoever finds out that its server is no longer the right one."""

    def leave(self) -> None:
        """Cut the connection, whoever reads from it; one whose bytes we read ourselves may have answers to wait for."""
        if (transport := transport_of(self)) is None:
            return
        if isinstance(reader := transport.get_protocol(), RawConnection):
            reader.leave()
        else:
            transport.abort()


class _Routed(_Leavable):
    """Asks at each dial where the server is. ``master``: refuse any other; the answer may be out of date."""

    def __init__(self, *, route: Route, master: bool, **options: Any) -> None:
        super().__init__(**options)
        self._route = route
        self._master = master

    @property
    def node(self) -> Node:
        return Node(self.host, self.port)

    async def _connect(self) -> None:
        self.host, self.port = await self._route.find()
        await super()._connect()  # type: ignore[no-untyped-call]
        self._route.dialled(self)

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        await super().on_connect_check_health(check_health)
        if not self._master:
            return
        await self.send_command("ROLE")
        try:
            role = await self.read_response()
        except NoPermissionError:
            # Then the first write will tell.
            return
        if role[0] != b"master":
            raise RedisConnectionError(f"{self.node} is no master, a failover is under way")


class _Named(_Leavable):
    """Connects to a host name, and knows the address that it was connected to."""

    def __init__(self, *, name: Name, **options: Any) -> None:
        super().__init__(**options)
        self._name = name

    @property
    def address(self) -> str | None:
        transport = transport_of(self)
        peer = None if transport is None else transport.get_extra_info("peername")
        return None if peer is None else str(peer[0])

    async def _connect(self) -> None:
        await super()._connect()  # type: ignore[no-untyped-call]
        self._name.dialled(self)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is and who we are there.

    ``url``: ``redis://``, ``rediss://``, ``unix://``; ``redis+sentinel://h1,h2/name/0`` and ``redis+cluster://h1,h2``,
    with ``rediss`` for TLS. ``namespace`` is what the node of a cluster is found by. All connections that come from one
    address go to the same server, and :meth:`watch` moves them together; a server that is named may be another one day.
    """

    url: str
    username: str | None = None
    password: Callable[[], str | None] = field(default=lambda: None, repr=False)
    namespace: str = ""
    sentinel_password: Callable[[], str | None] = field(default=lambda: None, repr=False)
    look_s: float = 5.0
    _route: Route | None = field(init=False, repr=False, compare=False)
    _name: Name | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        finder = self._finder()
        object.__setattr__(self, "_name", _name_in(self.url, self.look_s))
        object.__setattr__(self, "_route", None if finder is None else Route(finder, every_s=self.look_s))

    def client(self, *, timeout_s: float = 5.0, connections: int = 16) -> Redis:
        """A client that retries nothing and gives up on a silent server after ``timeout_s``.

        Who finds all ``connections`` taken waits for one: a storm of questions is no fault.
        """
        return Redis.from_pool(self._pool(timeout_s, connections))

    def connection(self, *, timeout_s: float = 5.0) -> Connection:
        """One bare connection, not dialled yet; its owner reads the socket itself."""
        connection: Connection = self._pool(timeout_s, 1).make_connection()
        return connection

    @property
    def names_one_server(self) -> bool:
        """Whether it is a server's own, and not that of sentinels or of a cluster, which say where one is."""
        return self._route is None

    async def watch(self) -> None:
        """Cut what is connected to a server that is not the one any more, until cancelled.

        Returns at once where the address is one server's own.
        """
        if self._route is not None:
            await self._route.watch()
        elif self._name is not None:
            await self._name.watch()

    def _finder(self) -> Finder | None:
        places = places_in(self.url)
        if places is None:
            return None
        if places.kind == "sentinel":

            def sentinel(node: Node) -> Any:
                url = f"{places.tls}://{node}/{places.query}"
                return _pool(url, _ASK_S, 1, None, self.sentinel_password).make_connection()

            return Sentinels(places.nodes, places.master, sentinel)

        def member(node: Node) -> Any:
            return _pool(
                f"{places.tls}://{node}/{places.query}", _ASK_S, 1, self.username, self.password
            ).make_connection()

        return Cluster(places.nodes, self.namespace, member)

    def _pool(self, timeout_s: float, connections: int) -> Any:
        places = places_in(self.url)
        if places is None:
            if self._name is None:
                return _pool(self.url, timeout_s, connections, self.username, self.password)
            pool = _pool(self.url, timeout_s, connections, self.username, self.password, _Named)
            pool.connection_kwargs |= {"name": self._name}
            return pool
        # The host is nobody's: it is found when a connection is dialled.
        url = f"{places.tls}://{places.kind}.invalid/{places.database}{places.query}"
        pool = _pool(url, timeout_s, connections, self.username, self.password, _Routed)
        pool.connection_kwargs |= {"route": self._route, "master": places.kind == "sentinel"}
        return pool


class Places(NamedTuple):
    """Where to ask for the server. ``tls``: ``redis`` or ``rediss``; ``query`` with its mark, or empty."""

    kind: Literal["sentinel", "cluster"]
    tls: str
    nodes: list[Node]
    master: str
    database: str
    query: str


def places_in(url: str) -> Places | None:
    """Read a URL that names several servers; ``None``: it is that of one server.

    Raises:
        ValueError: a host is none.
    """
    scheme, _, rest = url.partition("://")
    tls, _, kind = scheme.partition("+")
    before, mark, query = rest.partition("?")
    hosts, _, path = before.partition("/")
    if kind == "sentinel":
        master, _, database = path.partition("/")
        nodes = [_node(host, _SENTINEL_PORT) for host in hosts.split(",")]
        return Places("sentinel", tls, nodes, unquote(master), database, mark + query)
    if kind == "cluster":
        nodes = [_node(host, _REDIS_PORT) for host in hosts.split(",")]
        return Places("cluster", tls, nodes, "", "", mark + query)
    return None


def _name_in(url: str, every_s: float) -> Name | None:
    """The name that a URL of one server has; ``None``: an address, or a path."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or not is_name(parts.hostname):
        return None
    return Name(parts.hostname, parts.port or _REDIS_PORT, every_s=every_s)


def _pool(
    url: str,
    timeout_s: float,
    connections: int,
    username: str | None,
    password: Callable[[], str | None],
    *kinds: type[AbstractConnection],
) -> Any:
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "max_connections": connections,
        "timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "protocol": 2,
        # Explicitly none: redis-py would read its version from a file for every connection, which ends a process that
        # can open none, and say it by CLIENT SETINFO, which the ACL of Redis 7.0 does not know.
        "driver_info": None,
    }
    if url.startswith("unix:"):
        del options["socket_keepalive"]
    if username or password():
        options["credential_provider"] = _Credentials(username, password)
    pool: Any = BlockingConnectionPool.from_url(url, **options)
    # The URL decides between TCP, TLS and a Unix socket; all of them write in the same way.
    kind = pool.connection_class
    if issubclass(kind, SSLConnection):
        # Any connection's description of the context will do, they are all the same.
        pool.connection_kwargs |= {"certificates": Certificates(kind(**pool.connection_kwargs).ssl_context)}
        kind = _SSLConnection
    pool.connection_class = type(kind.__name__, (_Cancellable, *kinds, kind), {})
    return pool


def _node(text: str, port: int) -> Node:
    """``host``, ``host:port`` or ``[address]:port``."""
    match = re.fullmatch(r"(?:\[(.+)\]|([^:]+))(?::([0-9]+))?", text)
    if match is None:
        raise ValueError(f"{text!r} is no host:port")
    return Node(match[1] or match[2], int(match[3] or port))
