"""Why a process is not ready: a reason for metrics and alerts, and a text for people."""

from __future__ import annotations

from typing import NamedTuple

from bridge.obs.labels import Unreadiness


class Unready(NamedTuple):
    """``reason`` is from a closed set; ``text`` is the answer of ``/readyz``."""

    reason: Unreadiness
    text: str
