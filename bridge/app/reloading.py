"""SIGHUP: a service reads its settings and secrets again, and nobody is disconnected for it."""

from __future__ import annotations

from collections.abc import Callable

from bridge.obs.logs import set_level
from bridge.obs.systemd import Watched
from bridge.settings import Present
from bridge.supervision import has_terminal


def on_hangup(
    present: Present, watched: Watched | None = None, *further: Callable[[], None]
) -> Callable[[], None] | None:
    """What SIGHUP does to a service; ``None``: it was started at a terminal, and ends with that.

    ``watched`` tells whoever asked for it; ``further`` is done after the settings were read.
    """
    if has_terminal():
        return None

    def reload() -> None:
        if watched is None:
            work()
        else:
            watched.reload(work)

    def work() -> None:
        present.reload()
        set_level(present.settings.log.level)
        for each in further:
            each()

    return reload
