"""How long an edge may take to stop, and what those who stop it say about their patience."""

from __future__ import annotations

import re

import pytest

from bridge.settings import SettingsError, load_settings


def seconds_of(text: str) -> float:
    """A span as systemd and Docker write it, in seconds."""
    found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s?)?", text)
    assert found is not None
    return 60 * int(found[1] or 0) + int(found[2] or 0)


def longest_stop_s() -> float:
    """How long an edge may take to stop, whatever is set."""
    longest = {"BRIDGE_EDGE_DRAIN": "120", "BRIDGE_EDGE_DRAIN_DELAY": "60"}
    for name in longest:
        with pytest.raises(SettingsError):
            load_settings({name: str(int(longest[name]) + 1)}, None)
    return load_settings(longest, None).edge.stop_s
