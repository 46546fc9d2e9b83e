"""One listen session after the other: pushes in, calls out.

What was pushed while no session stood cannot be had again: nothing is replayed. So a session that ends is
followed by the next at once, paced only where the provider refuses or is away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

from bridge.journal.calls import Call
from bridge.obs.labels import Dropped, ListenOutcome, ProviderState, PushKind
from bridge.obs.metrics import Metrics
from bridge.provider.faults import (
    AddressNotAllowed,
    CredentialsRefused,
    InvalidToken,
    ListenEnded,
    ListenRefused,
    ListenSilent,
    ProviderAway,
    ProviderError,
    ProviderRefused,
)
from bridge.provider.pushes import MailArrived, Online, Push, RefusalPushed, Unreadable, UnreadChanged, VersionChanged
from bridge.provider.source import Acknowledged, Alive, Batch, Connecting, Conversation, Skipped, Source
from bridge.worker.agenda import Agenda
from bridge.worker.backlog import Backlog
from bridge.worker.dead import Burial
from bridge.worker.directory import Directory
from bridge.worker.lease import Lease
from bridge.worker.rival import Rival
from bridge.worker.translate import BadAddress, Translator
from bridge.worker.upstream import UpstreamWatch

log = logging.getLogger(__name__)

LISTEN_FAULTS: Final = (ProviderError,)
_STEADY_S: Final = 10.0
"""A session that stood for so long was of use, even if no mail came."""
_MANY: Final = 250
"""Pushes of one read that take some milliseconds: mails of the same bytes are fewer."""


class Listener:
    """Reads pushes for a leader: this loop alone decides what follows from what a conversation says.

    ``burial`` says what to keep of what cannot be read. ``silence_s`` is how long no byte may come,
    ``conflict_pause_s`` how long about to stay away from a connection that another listener keeps taking.
    """

    def __init__(
        self,
        source: Source,
        lease: Lease,
        backlog: Backlog,
        translator: Translator,
        upstream: UpstreamWatch,
        directory: Directory,
        agenda: Agenda,
        burial: Burial,
        metrics: Metrics,
        *,
        silence_s: float,
        conflict_pause_s: float,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._lease = lease
        self._backlog = backlog
        self._translator = translator
        self._upstream = upstream
        self._directory = directory
        self._agenda = agenda
        self._burial = burial
        self._metrics = metrics
        self._silence_s = silence_s
        self._rival = Rival(pause_s=conflict_pause_s)
        self._wall = wall
        self._online_at: float | None = None
        self._conversation: Conversation | None = None

    @property
    def is_idle(self) -> bool:
        """Whether all that came was read and is in the backlog, as far as the event loop knows."""
        return self._conversation is None or self._conversation.is_idle

    async def session(self, progress: Callable[[], None]) -> None:
        """Hold one session until it ends; call ``progress`` when it was of use.

        An acknowledgement, a refusal or a changed directory is no progress: a provider that answers and closes must not
        be asked without pause.

        Raises:
            ProviderError: why it ended.
            LeaseLost: another worker leads; its connection was left alone.
        """
        pushes, answered = 0, False
        outcome: ListenOutcome = "shutdown"
        began_s = time.monotonic()
        self._online_at = None
        conversation = self._source.listen(cursor=lambda: self._directory.cursor, silence_s=self._silence_s)
        try:
            with closing(conversation):
                self._conversation = conversation
                while True:
                    match await conversation.next():
                        case Batch(pushes=batch, documents=documents):
                            if any(isinstance(push, MailArrived | UnreadChanged) for push in batch):
                                progress()
                                self._upstream.pushed()
                            pushes += len(batch)
                            calls = self._translate(batch, documents)
                            if calls:
                                await self._backlog.put(calls)
                            if len(batch) > _MANY:
                                # What has come already is read without a turn of the loop, and where a department is
                                # deleted, ten thousand pushes have.
                                await asyncio.sleep(0)
                        case Alive(begun_at=begun_at):
                            answered = True
                            self._upstream.heard(begun_at)
                        case Skipped():
                            self._upstream.skipped()
                        case Acknowledged():
                            self._is_online()
                        case Connecting():
                            await self._lease.confirm()
        except ProviderError as error:
            outcome = _outcome(error)
            # A stream of one response cannot be asked whether it still lives, so while nobody gets mail each silence
            # ends it. That took three times the limit, which is pause enough: what comes in a longer one is missed.
            stood = answered if isinstance(error, ListenSilent) else time.monotonic() - began_s >= _STEADY_S
            if stood:
                progress()
            refused = isinstance(error, ProviderRefused | ListenRefused)
            self._upstream.ended(error.public, _state(error), refused=refused)
            away_s = self._displaced(error)
            if away_s is None:
                raise
        finally:
            self._conversation = None
            self._metrics.listen_sessions[outcome].inc()
            log.info("listen session ended", extra={"pushes": pushes, "outcome": outcome})
        await self._leave_it_to_the_other(away_s)

    def _displaced(self, error: ProviderError) -> float | None:
        """How long to stay away, if another listener seems to have taken the connection again; else ``None``."""
        if self._online_at is None or not isinstance(error, ListenEnded) or not error.in_order:
            return None
        return self._rival.displaced(time.monotonic() - self._online_at)

    async def _leave_it_to_the_other(self, for_s: float) -> None:
        log.error(
            "another listener uses our client id; two cannot listen, and mails are missed: end one of them",
            extra={"pause_s": round(for_s)},
        )
        self._metrics.conflicts.inc()
        self._upstream.conflict(for_s)
        await asyncio.sleep(for_s)
        raise ListenEnded("displaced by another listener")

    def _is_online(self) -> None:
        self._online_at = time.monotonic()
        since_ms, until_ms = self._upstream.online()
        log.info("listen session online", extra={"gap_since_ms": since_ms, "gap_until_ms": until_ms})
        self._agenda.after_gap()
        self._directory.listening()

    def _translate(self, batch: Sequence[Push], documents: Sequence[bytes]) -> list[Call]:
        """Turn a batch into calls, in order, and hand on the rest; ``documents``: what each push was read from."""
        calls: list[Call] = []
        time_s = self._wall()
        counted: dict[PushKind, int] = {"mail": 0, "unread": 0, "version": 0, "online": 0}
        for push, document in zip(batch, documents, strict=True):
            try:
                match push:
                    case MailArrived():
                        mail = self._translator.mail(push, time_s=time_s)
                        calls.append(mail)
                        if mail.unread is None:
                            self._agenda.changed([mail.event.stream])
                        counted["mail"] += 1
                    case UnreadChanged():
                        calls.append(self._translator.unread(push, time_s=time_s))
                        counted["unread"] += 1
                    case VersionChanged(ver=ver):
                        counted["version"] += 1
                        self._directory.version(ver)
                    case Online():
                        counted["online"] += 1
                    case Unreadable():
                        calls += self._bury(push.reason, push.document, push.cut_from)
                    case RefusalPushed():
                        log.warning("listen answered with an error", extra={"code": push.label})
            except BadAddress:
                calls += self._bury("bad-address", document, 0)
        for type, count in counted.items():
            if count:
                self._metrics.pushes[type].inc(count)
        return calls

    def _bury(self, reason: Dropped, document: bytes, cut_from: int) -> Sequence[Call]:
        """Count a document that could not be read, and keep it unless too many came. It may have been a mail."""
        self._metrics.documents_dropped[reason].inc()
        self._upstream.unreadable()
        bury = self._burial.bury(reason, document, cut_from)
        if bury is None:
            return []
        log.warning("document not readable", extra={"reason": reason, "bytes": bury.size})
        return [bury]


def _state(error: ProviderError) -> ProviderState:
    """How we stand with the provider after a session that ended so."""
    match error:
        case AddressNotAllowed():
            return "address"
        case CredentialsRefused() | InvalidToken():
            return "credentials"
        case ProviderRefused() | ListenRefused():
            return "refused"
        case ListenSilent():
            return "deaf"
        case ListenEnded():
            return "between"
        case _:
            return "away"


def _outcome(error: ProviderError) -> ListenOutcome:
    match error:
        case ListenSilent():
            return "silent"
        case ListenEnded():
            return "ended"
        case ProviderAway():
            return "away"
        case _:
            return "refused"
