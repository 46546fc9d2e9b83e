"""Why a process is not ready: a word that metrics and alerts know, and words for people."""

from __future__ import annotations

from typing import NamedTuple

from bridge.obs.labels import Unreadiness


class Unready(NamedTuple):
    """``reason`` is of a closed set; ``text`` is what ``/readyz`` answers."""

    reason: Unreadiness
    text: str
