"""The leader's side of the journal: every write that needs the lease.

One writer holds one lease value. Its calls go one batch after the other and are numbered, so that a batch whose
answer was lost can be sent again and applies once. ``commit`` hides Redis being away: it waits, claims again where
the lease has run out, and sends the same batch; only when another worker has led since does it give up.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from bridge.journal.calls import Call, Retention
from bridge.journal.claim import Claim
from bridge.journal.corporation import NotOurs
from bridge.journal.errors import JournalAway, LeaseLost
from bridge.journal.inquiry import Memory, nobody_remembers
from bridge.journal.keys import Keys
from bridge.journal.layout import too_new
from bridge.journal.made import Made
from bridge.journal.outcomes import Claimed, Outcome, Result, read_outcomes
from bridge.journal.own_types import OwnTypes
from bridge.journal.runs import MOST_CALLS, in_runs
from bridge.journal.script import Argument, Runs, Script
from bridge.journal.witness import Witness, time_of_boot

__all__ = ["Claimed", "Outcome", "Result", "Writer"]

log = logging.getLogger(__name__)

_ERASED: Final = 500
_FIRST_PAUSE_S: Final = 0.05


class Writer:
    """Holds the lease and writes. One object for a process; several tasks may use it.

    ``corporation``: the mark that the namespace must have (see ``corporation.py``); empty: it is not checked.
    ``recollect`` asks the readers of the journal what they remember, within its own time limit. It is called before the
    first commit of each leadership, because a server that another had replaced cannot tell that its data are old.
    ``pause`` waits between tries while Redis is away. ``on_batch`` gets the seconds and outcomes of each round trip.
    ``name`` tells writers apart, and is random unless it is given; ``script`` may stand between us and Redis.
    ``one_server`` and ``clock``: see :class:`Witness`. ``together``: how many mails and counts go into one run of the
    script at most.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        lease_s: float,
        retention: Retention,
        corporation: str = "",
        recollect: Callable[[], Awaitable[Memory]] = nobody_remembers,
        pause: Callable[[float], Any] = asyncio.sleep,
        on_batch: Callable[[float, Sequence[Outcome]], None] = lambda seconds, outcomes: None,
        name: str | None = None,
        script: Runs | None = None,
        one_server: bool = False,
        clock: Callable[[], float] = time_of_boot,
        together: int = MOST_CALLS,
    ) -> None:
        own = OwnTypes(script or Script(redis), keys)
        self._witness = Witness(own, lease_s=lease_s, one_server=one_server, clock=clock)
        self._script: Runs = self._witness
        self._keys = keys
        self._lease_ms = int(lease_s * 1000)
        self._retention = retention
        self._corporation = corporation
        self._together = together
        self._recollect, self._recollected = recollect, False
        self._pause = pause
        self._on_batch = on_batch
        self._name = secrets.token_hex(8) if name is None else name
        self._lease: str | None = None
        self._held = ""
        self._fence: int | None = None
        self._seen_fence = 0
        self._seen_generation = 0
        self.survived_ms: int | None = None
        """:attr:`Claimed.heard_ms` of the claim that began the last new generation."""
        self.went_back = asyncio.Event()
        """A claim has begun a new generation, since somebody cleared this."""
        self._generation = 0
        self._confirmed = 0
        self._sent = 0
        self._server = ""
        self._tried: dict[str, int] = {}
        self._turn = asyncio.Lock()
        self._running: set[asyncio.Task[list[Outcome]]] = set()

    @property
    def fence(self) -> int:
        """The fence of the last successful claim; 0 before the first."""
        return self._fence or 0

    @property
    def generation(self) -> int:
        """The generation of the last successful claim; 0 before the first."""
        return self._generation

    @property
    def _leadership(self) -> str:
        return f"{self._fence}:{self._generation}:{self._name}"

    @property
    def holder(self) -> str:
        """The name of the writer that holds the lease, as the last claim found it; empty: it was given to us."""
        return self._held.partition(":")[2]

    async def claim(self, *, over_holder: bool = False) -> Claimed | None:
        """Try to become the leader; ``None`` if another worker holds the lease. No commit may be waiting.

        ``over_holder``: :attr:`holder` has ended for sure, so its lease, if it is still the same, counts as run out.
        What it sent and is still under way will be refused.

        Raises:
            JournalAway, JournalRefused, FormatTooNew
            NotOurs: the namespace belongs to another corporation.
        """
        async with self._turn:
            return await self._claim(resending=False, over=self._held if over_holder else "")

    async def _claim(self, *, resending: bool, remembered: int | None = None, over: str = "") -> Claimed | None:
        """``remembered``: the greatest generation of those who remember more than this server has."""
        # The fence of another leader counts too: a server with a lower one has gone back.
        known = max(self._seen_fence, self._fence or 0)
        asked_at = self._witness.now()
        claim = Claim(
            token=self._name,
            lease_ms=self._lease_ms,
            known_fence=known or "",
            known_commits=self._confirmed if known == self._fence else "",
            known_generation=self._generation,
            sent=self._sent,
            last_server=self._server,
            remembered="" if remembered is None else remembered,
            ours=self._corporation,
            seen_generation=max(self._seen_generation, self._generation),
            over=over,
            sharded=self._keys.sharded,
            **self._witness.testimony(),
        )
        [answer] = await self._script.run([claim.as_call(self._keys)])
        self._held = ""
        if answer[0] == 0:
            if answer[1] == b"format":
                raise too_new(answer[2])
            if answer[1] == b"corporation":
                self._lease = None
                raise NotOurs(self._keys.namespace)
            self._lease = None
            self._seen_fence = max(self._seen_fence, answer[2])
            self._server = answer[3].decode()
            self._seen_generation = max(self._seen_generation, answer[4])
            self._held = answer[5].decode(errors="replace")
            self._witness.forget()
            return None
        _, fence, commits, generation, heard, server, granted_ms, former = answer
        self._witness.granted(asked_at, granted_ms)
        claimed = Claimed(
            fence=fence,
            generation=generation,
            new_generation=generation != self._generation,
            another_led=self._fence is not None and fence > self._fence + 1,
            heard_ms=None if heard is None else int(heard),
        )
        if claimed.new_generation:
            self.survived_ms = claimed.heard_ms
            self.went_back.set()
        # There may be more commits than were confirmed to us: calls whose answer was lost. If they are sent again they
        # must have the numbers that they had under the former leadership, in a new generation too, so that what Redis
        # has kept of them is not applied twice. If they were not sent under it, none of them can be here.
        tried = self._tried.get(former.decode()) if resending else None
        self._confirmed = commits if tried is None else min(tried, commits)
        if fence != self._fence:
            # What was sent under the old fence and is still under way will be refused.
            self._sent = commits
            self._recollected = False
        self._fence, self._generation, self._server = fence, generation, server.decode()
        self._tried.setdefault(self._leadership, self._confirmed)
        self._lease = f"{fence}:{self._name}"
        return claimed

    async def renew(self, *, heard_ms: int | None = None) -> None:
        """Renew the lease. ``heard_ms``: when the last byte of the provider came (epoch ms).

        Raises:
            LeaseLost: it is gone, or Redis went back; ``commit`` or ``claim`` finds out which.
            JournalAway, JournalRefused
        """
        lease, confirmed, sent, server = self._lease, self._confirmed, self._sent, self._server
        if lease is None:
            raise LeaseLost("no lease is held")
        asked_at = self._witness.now()
        keys = (self._keys.lease, self._keys.commits, self._keys.server, self._keys.upstream)
        arguments = (lease, self._lease_ms, confirmed, "" if heard_ms is None else heard_ms, sent, server)
        [answer] = await self._script.run([(keys, ("renew", *arguments))])
        if answer[0] == 0:
            raise LeaseLost(f"not renewed: {answer[1].decode()}")
        if self._lease == lease:
            self._server = answer[1].decode()
            self._witness.granted(asked_at, answer[2])

    async def keep(self, *, heard_ms: int | None = None) -> None:
        """Renew the lease; if it has merely run out, or Redis went back, claim it again.

        Raises:
            LeaseLost: another worker leads or has led.
            JournalAway, JournalRefused
        """
        try:
            await self.renew(heard_ms=heard_ms)
        except LeaseLost:
            async with self._turn:
                await self._claim_again()

    # -- what the data were made with; no commit may be waiting

    async def note_made(self, made: Made) -> None:
        """Note that the stored data follow these settings.

        Raises:
            LeaseLost, JournalAway, JournalRefused
        """
        await self.ask("made", [(self._keys.made,)], made.as_fields())

    async def erase_logs(self, streams: Sequence[str]) -> None:
        """Delete the histories of these streams.

        Raises:
            LeaseLost, JournalAway, JournalRefused
        """
        for start in range(0, len(streams), _ERASED):
            await self.ask("erase", [(self._keys.log(stream),) for stream in streams[start : start + _ERASED]])

    async def begin_generation(self, made: Made) -> None:
        """Begin a generation in which nothing counts that was stored before, and delete that.

        Raises:
            LeaseLost, JournalAway, JournalRefused
        """
        keys = self._keys
        more_keys = (keys.made, keys.generation, keys.upstream, keys.events, keys.dead)
        async with self._turn:
            [answer] = await self.ask("begin", [more_keys], (*made.as_fields(), self.fence, self._name))
            tried = self._tried.get(self._leadership)
            self._generation = answer[1]
            self._tried = {} if tried is None else {self._leadership: tried}

    async def ask(
        self, verb: str, more_keys: Sequence[Sequence[str]], arguments: Sequence[Argument] = ()
    ) -> list[list[Any]]:
        """Run verbs that need the lease and no call number, because applying them twice does no harm."""
        if (lease := self._lease) is None:
            raise LeaseLost("no lease is held")
        answers = await self._script.run([((self._keys.lease, *keys), (verb, lease, *arguments)) for keys in more_keys])
        if any(answer[0] == 0 for answer in answers):
            raise LeaseLost("another worker leads")
        return answers

    async def release(self) -> None:
        """Give up the lease, so that another worker can lead at once."""
        lease, self._lease = self._lease, None
        self._witness.forget()
        if lease is not None:
            await self._script.run([((self._keys.lease,), ("release", lease))])

    async def commit(self, calls: Sequence[Call]) -> list[Outcome]:
        """Apply the calls in order, each once; wait while Redis is away.

        Raises:
            LeaseLost: another worker leads or has led; none or some of the calls were applied.
            JournalRefused: Redis refuses for a reason that does not pass.
        """
        # A task of its own, so that a batch that was sent is finished even if the caller is cancelled.
        task = asyncio.create_task(self._commit(calls), name="commit")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def close(self, *, timeout_s: float) -> None:
        """Let running commits finish, for at most ``timeout_s``, and release the lease."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        for task in self._running:
            task.cancel()
        async with asyncio.timeout(timeout_s):
            await self.release()

    async def _commit(self, calls: Sequence[Call]) -> list[Outcome]:
        async with self._turn:
            delay_s = _FIRST_PAUSE_S
            refused = False
            while True:
                try:
                    if refused:
                        await self._claim_again()
                        refused = False
                    while not self._recollected:
                        await self._compare()
                    started = time.perf_counter()
                    outcomes = await self._send(calls, self._confirmed)
                except JournalAway as error:
                    if delay_s == _FIRST_PAUSE_S:  # the lease's log lines say that it lasts
                        log.warning("journal away, waiting to commit", extra={"error": str(error), "calls": len(calls)})
                    await self._pause(delay_s)
                    delay_s = min(delay_s * 2, 1.0)
                    continue
                if outcomes is None:
                    refused = True
                    continue
                self._confirmed += len(calls)
                self._tried = {self._leadership: self._confirmed}
                self._on_batch(time.perf_counter() - started, outcomes)
                return outcomes

    async def _compare(self) -> None:
        """Begin a new generation if readers received something that this server does not have.

        Raises:
            LeaseLost, JournalAway, JournalRefused
        """
        if (lease := self._lease) is None:
            raise LeaseLost("no lease is held")
        memory = await self._recollect()
        if memory.generation:
            answers = await self._script.run(memory.as_calls(self._keys, lease))
            refusals = [answer[1] for answer in answers if answer[0] == 0]
            if refusals:
                remembered = max(memory.generation, self._generation) if b"back" in refusals else None
                await self._claim_again(remembered)
                return
        self._recollected = True

    async def _claim_again(self, remembered: int | None = None) -> None:
        claimed = await self._claim(resending=True, remembered=remembered)
        if claimed is None:
            raise LeaseLost("another worker leads")
        if claimed.another_led:
            self._lease = None
            raise LeaseLost("another worker has led in between")
        log.warning(
            "lease claimed again",
            extra={"fence": claimed.fence, "generation": claimed.generation, "new_generation": claimed.new_generation},
        )

    async def _send(self, calls: Sequence[Call], base: int) -> list[Outcome] | None:
        """Send a batch in one round trip; ``None`` if the lease is no longer ours or Redis went back."""
        lease = self._lease
        if lease is None:
            raise LeaseLost("no lease is held")
        # Another server than the one that answered last must refuse: a claim has to find out first what it lacks. The
        # first run names the server; if more may have been published than was confirmed, every run does.
        unsure = self._sent > base
        runs = in_runs(
            calls, base + 1, self._keys, self._retention, lease, self._server, unsure=unsure, together=self._together
        )
        sent, self._sent = self._sent, max(self._sent, base + len(calls))
        try:
            answers = await self._script.run([run.call for run in runs])
        except JournalAway as error:
            if error.applied is not None:
                # A run is refused before it writes, or not at all.
                self._sent = max(sent, base + sum(run.size for run in runs[: error.applied]))
            raise
        outcomes = read_outcomes(answers)
        if len(outcomes) < len(calls):
            # No call after the refused one was applied.
            self._sent = max(sent, base + len(outcomes))
            return None
        return outcomes
