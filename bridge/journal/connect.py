"""From a URL to a client, the same way everywhere.

redis-py repeats a command whose answer was lost; a write must not be repeated by anybody who does not know its
call number. So every client here retries nothing: whoever calls decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider


class _Credentials(CredentialProvider):
    """Reads the password anew for each connection, so that a changed secret file is obeyed."""

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
    """Writes without ``asyncio.wait_for``.

    Before Python 3.12 that swallows a cancellation which comes in the moment the write is done: a shutdown then waits
    for ever for a task that never learnt of it (tried: one start in three).
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        limit_s, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(limit_s):
                await super().send_packed_command(command, check_health)
        finally:
            self.socket_timeout = limit_s


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is and who we are there. ``url``: ``redis://``, ``rediss://`` or ``unix://``."""

    url: str
    username: str | None = None
    password: Callable[[], str | None] = field(default=lambda: None, repr=False)

    def client(self, *, timeout_s: float = 5.0, connections: int = 16) -> Redis:
        """A client that retries nothing and gives up on a silent server after ``timeout_s``.

        Who finds all ``connections`` taken waits for one: a storm of questions is no fault.
        """
        options: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "socket_keepalive": True,
            "max_connections": connections,
            "timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "health_check_interval": 0,
            "protocol": 2,
        }
        if self.url.startswith("unix:"):
            del options["socket_keepalive"]
        if self.username or self.password():
            options["credential_provider"] = _Credentials(self.username, self.password)
        pool: Any = BlockingConnectionPool.from_url(self.url, **options)
        # The URL decides between TCP, TLS and a Unix socket; all of them write in the same way.
        kind = pool.connection_class
        pool.connection_class = type(kind.__name__, (_Cancellable, kind), {})
        return Redis.from_pool(pool)

    def connection(self, *, timeout_s: float = 5.0) -> Connection:
        """One bare connection, not dialled yet; its owner reads the socket itself."""
        pool: Any = self.client(timeout_s=timeout_s).connection_pool
        connection: Connection = pool.make_connection()
        return connection
