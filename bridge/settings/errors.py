"""What is wrong with the settings, all of it at once, so that an operator mends it in one go."""

from __future__ import annotations

from collections.abc import Sequence


class SettingsError(Exception):
    """The settings cannot be used. ``problems`` holds one line each; none holds a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        more = len(self.problems) - 1
        return self.problems[0] + (f" (and {more} more: `config check` lists them)" if more > 0 else "")


class SettingsFileError(SettingsError):
    """Files that settings name cannot be used, and nothing else is wrong: they may be right a moment later."""
