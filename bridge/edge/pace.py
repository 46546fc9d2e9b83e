"""How often the edge looks after itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the feed looks after itself, in seconds.

    ``ahead_s``: how long after Redis was dialled a position that the journal does not know waits for a leader who does;
    less than a browser waits for an answer.
    """

    probe_s: float = 2.0
    deaf_s: float = 10.0
    tops_s: float = 15.0
    reconnect_s: float = 0.25
    idle_s: float = 10.0
    ahead_s: float = 6.0
