"""One request and its answer, within bounds of bytes and time; and whether anything was sent, where there is none.

Nothing is raised: an error of aiohttp holds the request's headers, and with them the token, so none of them may become
the cause or the context of an error of ours.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from weakref import WeakSet

import aiohttp

from ..egress import Egress, ProxyRefused, egress_of, has_spoken, is_spoilt, reason
from ..faults import plain

STALE_MOST: Final = 200
"""Connections of the pool that may turn out to have been closed before one request is given up."""
_TELL_THE_END: Final = ("Content-Length", "Transfer-Encoding")
"""Without either an answer ends with its connection, and aiohttp takes a cut for an end like any other."""
_UNASKED: Final = "it answered before it was asked"
_QUOTED: Final = re.compile(r"\W*(?:\bb['\"]|<RawResponseMessage).*", re.DOTALL)
"""Where aiohttp's text of an error begins to quote the answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer. ``sent``: the request, or part of it, may have arrived. ``kind``: ``late`` is not in time, ``large``
    is more than may be read, ``misused`` a session that cannot be used here."""

    why: str
    sent: bool
    kind: Literal["away", "late", "large", "misused"] = "away"


class Exchanges:
    """Makes them over one session; one that is opened later is ``None`` until :meth:`use`.

    ``wait_s`` bounds the time until a request is sent: for a free connection of the pool, a name, a handshake, of which
    a new connection may take ``connect_s``. The clock of the answer starts when the request is sent, so that what
    waited behind others has its whole time.
    """

    def __init__(self, session: aiohttp.ClientSession | None, *, connect_s: float, wait_s: float) -> None:
        self._session = session
        self._connect_s = connect_s
        self._wait_s = wait_s
        # Connections that have carried a request already.
        self._used: WeakSet[asyncio.BaseTransport] = WeakSet()
        self._loop = _running_loop()

    @property
    def egress(self) -> Egress:
        """The way out that the session takes."""
        return Egress() if self._session is None else egress_of(self._session)

    def use(self, session: aiohttp.ClientSession) -> None:
        """Go out by this session from now on."""
        self._session, self._loop = session, _running_loop()

    async def close(self) -> None:
        """Close the session that is used."""
        if self._session is not None:
            await self._session.close()

    def misuse(self) -> str | None:
        """Why the session cannot be used here; ``None`` if it can."""
        loop = asyncio.get_running_loop()
        self._loop = self._loop or loop
        if self._session is None:
            return "the client is not open: async with ProviderClient(…) as client, or give it a session"
        if self._session.closed:
            return "the client's session is closed"
        return None if loop is self._loop else "the client belongs to another event loop"

    async def post(
        self, url: str, *, headers: Mapping[str, str], body: bytes, answer_s: float, answer_most: int
    ) -> Answer | Failure:
        """Send ``body``; the answer may take ``answer_s`` seconds and ``answer_most`` bytes."""
        if (misuse := self.misuse()) is not None:
            return Failure(misuse, sent=False, kind="misused")
        assert self._session is not None
        until = time.monotonic() + self._wait_s
        for _ in range(STALE_MOST):
            sending = _Sending(body, self._used)
            left_s = until - time.monotonic()
            got = await self._post(
                self._session, url, headers, sending, left_s=left_s, answer_s=answer_s, answer_most=answer_most
            )
            # Closed before anything was sent: no harm in another connection, for a write neither.
            if not sending.was_stale:
                return got
        return got

    async def _post(
        self,
        session: aiohttp.ClientSession,
        url: str,
        headers: Mapping[str, str],
        sending: _Sending,
        *,
        left_s: float,
        answer_s: float,
        answer_most: int,
    ) -> Answer | Failure:
        loop = asyncio.get_running_loop()
        taken = bytearray()
        try:
            async with asyncio.timeout(left_s) as clock:
                sending.when_sent = lambda: clock.reschedule(loop.time() + answer_s)
                async with session.post(
                    url,
                    data=sending,
                    headers={**headers, "Content-Type": "application/x-www-form-urlencoded"},
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
                ) as response:
                    if not sending.is_sent:
                        # Of the pool or new: where nothing has been asked yet, it is new.
                        sending.refuse(stale=bool(self._used))
                        response.close()
                        return Failure(_UNASKED, sent=False)
                    async for piece in response.content.iter_any():
                        taken += piece
                        if len(taken) > answer_most:
                            why = f"an answer of more than {answer_most} bytes"
                            return Failure(why, sent=True, kind="large")
                    if not taken and sending.was_cut and not any(name in response.headers for name in _TELL_THE_END):
                        return Failure("the connection was cut before the end of an answer", sent=True)
            return Answer(response.status, bytes(taken))
        except TimeoutError:
            why = "no answer in time" if sending.is_sent else "no connection in time"
            return Failure(why, sent=sending.is_sent, kind="late")
        except ProxyRefused as error:
            return Failure(str(error), sent=False)
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
            return Failure(_without_quotation(error), sent=sending.is_sent)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: a host that can be no name.
            return Failure(reason(error), sent=sending.is_sent)
        except RuntimeError as error:
            # asyncio and aiohttp raise it if a loop was closed, or is another one.
            return Failure(reason(error), sent=sending.is_sent, kind="misused")


class _Sending(aiohttp.BytesPayload):
    """A body that knows when it goes out, which is when the whole request does: headers wait for it.

    A connection of the pool that can be read before anything was asked has been closed by the provider; asking on it
    would leave open whether the request arrived. One on which an answer came that nothing asked for would give that to
    the next request, and to each one after it the answer of the one before.
    """

    def __init__(self, body: bytes, used: WeakSet[asyncio.BaseTransport]) -> None:
        super().__init__(body)
        self._used_connections = used
        self.when_sent: Callable[[], None] = lambda: None
        self.is_sent = False
        self.was_stale = False
        self._refused = False
        self._protocol: object = None
        self._tls: ssl.SSLObject | None = None

    @property
    def was_cut(self) -> bool:
        """Whether the connection that it went out on ended by a fault; with TLS, also by no word of its end."""
        fault = getattr(self._protocol, "exception", None)
        if fault is not None and isinstance(fault(), OSError):
            return True
        try:
            return self._tls is not None and not self._tls.read(1)
        except ssl.SSLZeroReturnError:
            return False
        except ssl.SSLError:
            return True

    def refuse(self, *, stale: bool) -> None:
        """Do not go out on this connection any more; ``stale``: another one may do."""
        self._refused, self.was_stale = True, stale

    async def write_with_length(self, writer: Any, content_length: int | None) -> None:
        """What aiohttp calls to send the request."""
        transport: asyncio.BaseTransport | None = writer.transport
        if transport is not None:
            is_used = transport in self._used_connections
            if has_spoken(transport) or (is_used and is_spoilt(transport)):
                self.refuse(stale=is_used)
        if self._refused:
            raise ConnectionResetError("the provider closed the connection, or spoke unasked")
        if transport is not None:
            self._used_connections.add(transport)
            self._protocol, self._tls = transport.get_protocol(), transport.get_extra_info("ssl_object")
        self.is_sent = True
        self.when_sent()
        await super().write_with_length(writer, content_length)


def _without_quotation(error: aiohttp.ClientError) -> str:
    """An error of reading in one line. Who sends back what he was sent is quoted by aiohttp, a password as well."""
    said = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    return plain(f"no answer that can be read: {_QUOTED.sub('', said) or type(error).__name__}")


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
