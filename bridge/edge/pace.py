"""The intervals at which the edge checks itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Intervals and limits of the feed, in seconds.

    ``ahead_s``: for how long after dialling Redis a position ahead of the journal waits for a leader's new generation;
    it must be less than a browser waits for its answer. ``ahead_open_s``: the same of a connection that is open, which
    waits for no answer.
    """

    probe_s: float = 2.0
    deaf_s: float = 10.0
    tops_s: float = 15.0
    reconnect_s: float = 0.25
    idle_s: float = 10.0
    ahead_s: float = 6.0
    ahead_open_s: float = 60.0
