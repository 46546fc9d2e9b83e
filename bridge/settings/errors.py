"""What is wrong with the settings, all of it at once, so that an operator can correct it in one go."""

from __future__ import annotations

from collections.abc import Sequence


class SettingsError(Exception):
    """The settings cannot be used. ``problems`` has a line for each fault, without any secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        more = len(self.problems) - 1
        return self.problems[0] + (f" (and {more} more: `config check` lists them)" if more > 0 else "")


class SettingsFileError(SettingsError):
    """Files that settings name cannot be used, and nothing else is wrong. This may pass by itself."""
