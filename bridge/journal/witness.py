"""What a leader saw of the end of the server that gave it its lease.

After an outage that is longer than the lease, nothing in a server's data tells whether another worker led meanwhile and
its commits were lost. The leader may know it: if nobody listened in the server's place while the lease still stood,
nobody can have been given another lease there, neither then nor until the next process began.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from bridge.journal.errors import JournalUnreached
from bridge.journal.script import Argument, Runs, ScriptCall

_STOOD: Final = 2 / 3
"""The part of a lease within which the end must be seen: the rest is for a clock of Redis that runs ahead of ours."""
_WATCHED: Final = 1 / 2
"""Between two looks at the place, in leases: leaders look every third of one. A process of the server that lived
between two looks would be missed."""
_NO_LEASE: Final = (0, b"lease")


def time_of_boot() -> float:
    """Seconds that run on while the machine sleeps, and that nobody can set."""
    # macOS has no such clock; there the clock of Redis shows that the machine slept.
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Witness:
    """Stands between a writer and its ``script``, and notes when nobody listens in the server's place.

    ``lease_s``: how long a lease lasts. ``one_server``: there is no other place where the server may be; where there is
    one, nothing follows from an empty place. ``clock``: seconds, as those of :func:`time_of_boot`.
    """

    def __init__(self, script: Runs, *, lease_s: float, one_server: bool, clock: Callable[[], float]) -> None:
        self.now = clock
        self._script = script
        self._lease_s = lease_s
        self._one_server = one_server
        self._granted_at: float | None = None
        self._granted_ms = 0
        self._vacant_at: float | None = None

    async def run(self, calls: Sequence[ScriptCall]) -> list[list[Any]]:
        """As :meth:`Script.run`, with the same errors."""
        try:
            answers = await self._script.run(calls)
        except JournalUnreached as error:
            if error.vacant:
                self._found_vacant(self.now())
            raise
        # Who is refused one is refused all that follow.
        if answers and tuple(answers[-1][:2]) == _NO_LEASE and not self.saw_the_end:
            # It ended before its time: somebody, or the server's clock, has ended it.
            self.forget()
        return answers

    def granted(self, asked_at: float, granted_ms: int) -> None:
        """The lease was given or renewed: asked for then, and given at this time of Redis's clock (epoch ms)."""
        if self._one_server:
            self._granted_at, self._granted_ms, self._vacant_at = asked_at, granted_ms, None

    def forget(self) -> None:
        """Know nothing until the next lease: somebody else leads."""
        self._granted_at = self._vacant_at = None

    @property
    def saw_the_end(self) -> bool:
        """Whether nobody listened any more while the lease stood, nor at any look since."""
        return self._vacant_at is not None

    def testimony(self) -> Mapping[str, Argument]:
        """These arguments of the script's ``claim``; empty texts: the end was not seen."""
        if self._granted_at is None or self._vacant_at is None:
            return {"granted": "", "since": "", "vacant": ""}
        now = self.now()
        since, vacant = int((now - self._granted_at) * 1000), int((now - self._vacant_at) * 1000)
        return {"granted": self._granted_ms, "since": since, "vacant": vacant}

    def _found_vacant(self, at: float) -> None:
        """It may come too late, or after a pause in which nobody looked: then nothing is known any more."""
        if self._granted_at is None:
            return
        since, most = (self._granted_at, _STOOD) if self._vacant_at is None else (self._vacant_at, _WATCHED)
        if at - since > most * self._lease_s:
            self.forget()
        else:
            self._vacant_at = at
