"""The guard against deleting too many accounts at once, as the settings describe it: one rule for what the provider
says is gone and for what an operator asks for."""

from __future__ import annotations

from bridge.settings import Settings
from bridge.worker.guard import Guard


def guard_of(settings: Settings) -> Guard:
    """The guard of this installation."""
    return Guard(settings.directory.delete_share, settings.directory.delete_count)
