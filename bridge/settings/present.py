"""The settings in force, in a program that takes new ones while it runs.

What may change is marked in the table (``live``). Everything else stays as it was at the start, and a reload says by
name what it did not take. Whoever has a secret keeps it: it learns of the new text or file by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from bridge.settings.errors import SettingsError
from bridge.settings.secret import Secret
from bridge.settings.setting import Setting, settings_in
from bridge.settings.table import GROUPS, Settings

log = logging.getLogger(__name__)

T = TypeVar("T")


class Present:
    """``settings`` are those in force. ``again`` reads all of them anew, as a start would; without it none change.

    ``fits`` makes the checks of a start. Both may raise :class:`SettingsError`.
    """

    def __init__(
        self,
        settings: Settings,
        again: Callable[[], Settings] | None = None,
        fits: Callable[[Settings], None] = lambda settings: None,
    ) -> None:
        self.settings = settings
        self._again = again
        self._fits = fits
        self._waiting: set[asyncio.Event] = set()

    @classmethod
    def of(cls, settings: Settings | Present) -> Present:
        """These settings; plain ones never change."""
        return settings if isinstance(settings, Present) else cls(settings)

    def following(self, make: Callable[[Settings], T]) -> Callable[[], T]:
        """What ``make`` makes of the settings in force, each time it is called; made once for each."""
        return _Following(self, make)

    async def reloads(self) -> AsyncIterator[None]:
        """Yield after each reload; reloads that follow each other at once may be one."""
        reloaded = asyncio.Event()
        self._waiting.add(reloaded)
        try:
            while True:
                await reloaded.wait()
                reloaded.clear()
                yield
        finally:
            self._waiting.discard(reloaded)

    def reload(self) -> None:
        """Read all settings again, and take what may change. Those that cannot be used leave everything as it was."""
        if self._again is not None:
            try:
                found = self._again()
                self._fits(found)
                self._take(found)
            except SettingsError as error:
                log.warning("settings cannot be used, those before stay in force", extra={"problems": error.problems})
        # Files of secrets are read again too, whatever became of the settings.
        for reloaded in self._waiting:
            reloaded.set()

    def _take(self, found: Settings) -> None:
        taken, left = differences(self.settings, found)
        mixed = _mixed(self.settings, found, taken)
        # What was not taken goes on beside what was; a start would never have seen the two together.
        self._fits(mixed)
        taken += [variable for variable, old, new in _secrets(self.settings, found) if old and new and old.take(new)]
        left += [variable for variable, old, new in _secrets(self.settings, found) if bool(old) is not bool(new)]
        self.settings = mixed
        log.info("settings read again", extra={"taken": taken})
        if left:
            log.warning("some changed settings need a restart", extra={"settings": left})


class _Following(Generic[T]):
    def __init__(self, present: Present, make: Callable[[Settings], T]) -> None:
        self._present = present
        self._make = make
        self._of = present.settings
        self._made = make(self._of)

    def __call__(self) -> T:
        if self._present.settings is not self._of:
            self._of = self._present.settings
            self._made = self._make(self._of)
        return self._made


def differences(before: Settings, found: Settings) -> tuple[list[str], list[str]]:
    """The variables of settings that differ, secrets apart: those that a running program takes, and the others."""
    taken: list[str] = []
    left: list[str] = []
    for setting, old, new in _pairs(before, found):
        if not setting.secret and old != new:
            (taken if setting.live else left).append(setting.variable)
    return taken, left


def _pairs(before: Settings, found: Settings) -> Iterator[tuple[Setting, Any, Any]]:
    groups = [(before, found), *((getattr(before, name), getattr(found, name)) for name in GROUPS)]
    for old, new in groups:
        for name, setting in settings_in(type(old)):
            yield setting, getattr(old, name), getattr(new, name)


def _secrets(before: Settings, found: Settings) -> Iterator[tuple[str, Secret[Any], Secret[Any]]]:
    """Whether a secret is set decides what a program consists of; what it is, or where it is read, does not."""
    return ((setting.variable, old, new) for setting, old, new in _pairs(before, found) if setting.secret)


def _mixed(before: Settings, found: Settings, taken: Sequence[str]) -> Settings:
    """``before`` with those variables as they were ``found``; its secrets are the same objects."""

    def changes(old: Any, new: Any) -> dict[str, Any]:
        return {name: getattr(new, name) for name, setting in settings_in(type(old)) if setting.variable in taken}

    groups = {
        name: replace(getattr(before, name), **changes(getattr(before, name), getattr(found, name))) for name in GROUPS
    }
    return replace(
        before,
        sources={**before.sources, **{variable: found.sources[variable] for variable in taken}},
        texts={**before.texts, **{variable: found.texts[variable] for variable in taken}},
        **groups,
        **changes(before, found),
    )
