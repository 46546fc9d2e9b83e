"""What a worker shows when it claims the lease."""

from __future__ import annotations

from dataclasses import astuple, dataclass

from bridge.journal.keys import Keys
from bridge.journal.layout import FORMAT
from bridge.journal.script import Argument, ScriptCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The arguments of the script's ``claim``, in its order; ``lua/lease.lua`` says what they mean."""

    token: str
    lease_ms: int
    known_fence: Argument
    known_commits: Argument
    known_format: Argument = FORMAT
    known_generation: int
    sent: int
    last_server: str
    remembered: Argument
    ours: str
    seen_generation: int
    granted: Argument
    since: Argument
    vacant: Argument
    over: str
    sharded: str

    def as_call(self, keys: Keys) -> ScriptCall:
        """The script's ``claim``."""
        first = (keys.lease, keys.commits, keys.generation, keys.fence, keys.server, keys.format)
        return (*first, keys.upstream, keys.corporation), ("claim", *astuple(self))
