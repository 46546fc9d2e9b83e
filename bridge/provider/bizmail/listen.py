"""One listen session: a conversation with the provider about pushes (protocol 3.2).

It may take several requests, and several connections where the provider closes after an answer; it ends, with an
error, when pushes may have been lost. The rule of when to ask is in ``asking``; framing in ``responses`` and
``framer``; here they meet the socket: one read, one batch.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Literal, Self

from ..faults import (
    AddressNotAllowed,
    InvalidToken,
    ListenEnded,
    ListenRefused,
    ListenSilent,
    ProviderAway,
    ProviderError,
    UnreadableAnswer,
    plain,
)
from ..pushes import Online, Push, RefusalPushed, Unreadable, VersionChanged
from ..source import Acknowledged, Alive, Batch, Connecting, Happening, Skipped
from . import endpoints
from .asking import SETTLE_S, Asking
from .errcodes import refusal
from .framer import DocumentTooLarge, Framer
from .pushes import parse_broken, parse_push
from .recording import Recorder
from .responses import BadResponse, Found, Mark, ResponseReader
from .token import TokenSource
from .transport import Stream, Transport

READ_MOST: Final = 64 * 1024
"""Bytes of one read, which bounds a batch and how long parsing it keeps the event loop."""
_INVALID_TOKEN: Final = "1200"  # noqa: S105  # an errcode
_BUSY: Final = "1002"
_BETWEEN_S: Final = 0.5
"""Seconds between two connections of long polls; for so long the provider is expected to keep what happens."""


class ListenSession:
    """Ask :meth:`next` for what happens, one thing after the other; or enter it to connect, and iterate it for batches
    of pushes alone, oldest first.

    A batch is what one read of the socket completed, never empty. Either ends only by an error:

    Raises:
        ProviderAway: no connection, no token, or what came is no HTTP or not status 200.
        ListenEnded: the provider closed.
        ListenSilent: nothing came for three times ``silence_s``.
        ListenRefused: a ``Ret`` other than 0.
        InvalidToken: 1200 again after one renewal.
        ProviderRefused: another errcode answered the request; 1002 is asked again instead, paced.
        UnreadableAnswer: a document past the limit.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        tokens: TokenSource,
        ver: Callable[[], int],
        on_ver: Callable[[int], bool],
        silence_s: float,
        settle_s: float = SETTLE_S,
        recorder: Recorder | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recorder = recorder
        self._transport = transport
        self._tokens = tokens
        self._ver = ver
        self._on_ver = on_ver
        self._now = now
        self._asking = Asking(silence_s=silence_s, settle_s=settle_s, now=now)
        self._stream: Stream | None = None
        self._reader = ResponseReader()
        self._framer = Framer()
        self._token = ""
        self._refused_token: RefusalPushed | None = None
        self._token_renewed = False
        # Between two connections of a session that stands: since when nobody listens for us, and whether the next one
        # was refused at first.
        self._away_since: float | None = None
        self._turned_away = False
        self._may_connect = False
        self._waiting = False
        self._asked_at = 0.0
        self._begun_at: float | None = None
        self._failure: ProviderError | None = None
        # What is not given away yet: what happened, and behind it what was read.
        self._happened: deque[Happening] = deque()
        self._batch: list[Push] = []
        self._documents: list[bytes] = []
        self.acknowledged_at: float | None = None
        """When reconciliation could start (monotonic seconds); ``None`` until then."""

    @property
    def last_byte_at(self) -> float:
        """When the provider last sent anything (monotonic seconds); the session's start if it has not yet."""
        return self._asking.last_byte_at

    @property
    def is_idle(self) -> bool:
        """Whether all that came was read and given away, as far as the event loop knows."""
        return self._stream is None or self._waiting

    async def next(self) -> Happening:
        """What happens next; see :mod:`bridge.provider.source`. Nothing is sent before the first call.

        Before a connection is made it gives :class:`Connecting`, and makes it when it is called again.
        """
        while not self._happened:
            if self._failure is not None and not self._batch:
                self.close()
                raise self._failure
            await self._go_on()
        return self._happened.popleft()

    def close(self) -> None:
        """Leave the session; nothing stays open at the provider."""
        self._drop_connection()

    async def __aenter__(self) -> Self:
        while self._stream is None:
            await self._keep_asking()
            if self._failure is not None:
                raise self._failure
        self._happened.clear()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Push]:
        while True:
            happened = await self.next()
            if isinstance(happened, Batch):
                return happened.pushes

    async def _go_on(self) -> None:
        """Ask if it is time to, then give away what was read, or read."""
        # Ask before a batch is given away: its reader may take long, and a long poll that is not asked hears nothing.
        # A failure waits until the batch has been taken.
        await self._keep_asking()
        if self._happened:
            return
        if self._batch:
            self._happened.append(Batch(self._batch, self._documents))
            self._batch = []
            return
        if self._failure is not None:
            return
        was_silent = self._asking.is_silent
        self._batch = await self._read()
        if self.acknowledged_at is None and self._asking.is_online:
            self.acknowledged_at = self._now()
            self._happened.append(Acknowledged())
        # Whoever stood still himself finds the time over beside bytes that came in it: a further read takes them.
        if not self._batch and was_silent and self._asking.is_silent:
            self._failure = ListenSilent(self._now() - self.last_byte_at)

    # Asking.

    async def _keep_asking(self) -> None:
        """Renew the token if it was refused, ask if it is time to; what goes wrong ends the session."""
        if self._failure is not None:
            return
        try:
            if self._refused_token is not None:
                await self._renew_token(self._refused_token)
            if self._asking.wants_to_ask:
                await self._ask()
        except ProviderError as error:
            self._failure = error

    async def _ask(self) -> None:
        """Write a request; without a connection say first that one will be made."""
        if self._stream is not None or not self._may_connect:
            self._token = await self._tokens.token()
        if self._stream is None:
            if not self._may_connect:
                self._may_connect = True
                self._happened.append(Connecting())
                return
            self._may_connect = False
            self._stream = await self._transport.open_stream()
            self._reader = ResponseReader()
            self._framer = Framer()
            self._begun_at = None
        # No drain: a few hundred bytes. A connection that is broken shows when it is read.
        self._stream.writer.write(self._transport.listen_request(ver=self._ver(), token=self._token))
        self._asking.asked()
        self._record("asked")
        self._asked_at = self._now()

    async def _renew_token(self, refused: RefusalPushed) -> None:
        self._refused_token = None
        if self._token_renewed and not self._asking.served:
            error = InvalidToken(refused.errcode, plain(refused.text, [self._token]), endpoints.LISTEN.name)
            self._tokens.distrust(self._token, error)
            raise error
        self._token_renewed = True
        await self._tokens.renew(self._token)
        if self._reader.body_is_open:
            # Nothing may be written while a body is open, and this one has nothing more to say.
            self._drop_connection()
            self._turned_away = self._away_since is not None
        self._asking.token_renewed()

    # Reading.

    async def _read(self) -> list[Push]:
        """Wait for bytes, or for the time when there is something else to do."""
        wait_s = self._asking.wait_s()
        stream = self._stream
        if stream is None:
            await asyncio.sleep(wait_s)
            return []
        fault: OSError | None = None
        try:
            # Not zero: what is in the socket already comes before a deadline that passed while our reader was busy.
            async with asyncio.timeout(max(wait_s, 0.001)) as deadline:
                # If there is something to read, the await ends without a turn of the loop, and nobody sees this.
                self._waiting = True
                chunk = await stream.reader.read(READ_MOST)
        except OSError as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                return []
            chunk, fault = b"", error
        finally:
            self._waiting = False
        if not chunk:
            return self._connection_ended(fault)
        self._asking.bytes_came()
        self._record(chunk)
        batch: list[Push] = []
        self._documents = []
        try:
            self._follow(self._reader.feed(chunk), batch)
        except DocumentTooLarge as error:
            self._read_document(error.document, batch)
            self._failure = UnreadableAnswer(endpoints.LISTEN.name, str(error))
        except BadResponse as error:
            self._failure = ProviderAway(endpoints.LISTEN.name, plain(str(error)))
        if not (self._framer.inside or self._reader.inside):
            self._begun_at = None
        elif self._begun_at is None or self._documents:
            self._begun_at = self._asking.last_byte_at
        self._bytes_came(batch)
        return batch

    def _bytes_came(self, batch: Sequence[Push]) -> None:
        """Note that we are listened to; a refusal is no sign that we are again."""
        if self._away_since is not None:
            if any(isinstance(push, RefusalPushed) for push in batch):
                self._turned_away = True
                return
            gap = self._turned_away or self._asked_at - self._away_since > _BETWEEN_S
            self._away_since, self._turned_away = None, False
            if gap:
                self._happened.append(Skipped())
        self._happened.append(Alive(self._begun_at))

    def _follow(self, found: Iterable[Found], batch: list[Push]) -> None:
        for item in found:
            if item is Mark.BEGAN:
                self._asking.response_began()
            elif item is Mark.COMPLETE:
                self._border(batch)
                self._asking.response_complete()
            elif isinstance(item, bytes):
                for document in self._framer.feed(item):
                    self._read_document(document, batch)
            elif isinstance(item, Unreadable):
                self._read_document(item, batch)

    def _border(self, batch: list[Push]) -> None:
        """No document goes on over a border."""
        left = self._framer.end()
        if isinstance(left, bytes) and left[:1] == b"{":
            left = Unreadable("truncated", left)
        if left:
            self._read_document(left, batch)

    def _read_document(self, document: bytes | Unreadable, batch: list[Push]) -> None:
        if isinstance(document, bytes):
            self._note(parse_push(document), batch, document)
        else:
            self._note([parse_broken(document)], batch, document.document)

    def _note(self, read: Sequence[Push], batch: list[Push], document: bytes) -> None:
        pushes = [self._believed(push, document) for push in read]
        for push in pushes:
            self._documents.append(document)
            if isinstance(push, Online) and push.ret != 0:
                self._failure = ListenRefused(push.ret)
            elif isinstance(push, RefusalPushed):
                self._refused(push)
        self._asking.pushes_came(pushes)
        batch += pushes

    def _believed(self, push: Push, document: bytes) -> Push:
        """A Ver that cannot be one makes its document a dead one: nobody asks for changes, and it is kept."""
        if isinstance(push, VersionChanged) and not self._on_ver(push.ver):
            return Unreadable("unknown-shape", document)
        return push

    def _refused(self, refused: RefusalPushed) -> None:
        if refused.errcode == _INVALID_TOKEN:
            self._refused_token = refused
        elif refused.errcode != _BUSY and self._asking.awaits_answer:
            error = refusal(refused.errcode, plain(refused.text, [self._token]), endpoints.LISTEN.name)
            if isinstance(error, AddressNotAllowed) and self._stream is not None:
                error.local_address = self._stream.local_address
            self._failure = error

    def _record(self, what: Literal["asked", "ended"] | bytes) -> None:
        if self._recorder is not None:
            self._recorder.note(what)

    # Ending.

    def _connection_ended(self, fault: OSError | None) -> list[Push]:
        batch: list[Push] = []
        self._documents = []
        found: list[Found] = []
        try:
            found = self._reader.end()
            self._follow(found, batch)
            self._border(batch)
        except DocumentTooLarge as error:
            self._read_document(error.document, batch)
        goes_on = self._asking.connection_lost(
            cut=Mark.CUT in found,
            reset=fault is not None,
            by_close=Mark.COMPLETE in found,
            says_close=self._reader.says_close,
        )
        # A refused token and a close behind it are one refusal.
        if not goes_on and self._failure is None and self._refused_token is None:
            why = "closed by the provider" if fault is None else f"connection lost ({type(fault).__name__})"
            # Whatever comes now had not ended.
            in_order = fault is None and Mark.CUT not in found and not batch
            self._failure = ListenEnded(why, in_order=in_order)
        self._drop_connection()
        return batch

    def _drop_connection(self) -> None:
        if self._stream is not None:
            self._stream.abort()
            self._stream = None
            self._record("ended")
            if self._away_since is None and self.acknowledged_at is not None:
                self._away_since = self._now()
            self._asking.connection_dropped()
