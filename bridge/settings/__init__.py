"""What an operator can set, and where each value came from.

``table`` declares every setting once; ``load`` reads environment and file into it; ``reference`` writes it down
for people. Only the composition root and the commands know this package: rooms get plain values.
"""

from __future__ import annotations

from bridge.settings.edge import Edge
from bridge.settings.errors import SettingsError, SettingsFileError
from bridge.settings.load import DEFAULT_CONFIG, load_settings
from bridge.settings.needs import calling, listening, require_for
from bridge.settings.present import Present
from bridge.settings.reference import reference, show
from bridge.settings.secret import Secret
from bridge.settings.table import Settings
from bridge.settings.values import Address

__all__ = [
    "DEFAULT_CONFIG",
    "Address",
    "Edge",
    "Present",
    "Secret",
    "Settings",
    "SettingsError",
    "SettingsFileError",
    "calling",
    "listening",
    "load_settings",
    "reference",
    "require_for",
    "show",
]
