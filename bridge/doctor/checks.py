"""All checks, in the order of the report: what others depend on first."""

from __future__ import annotations

from typing import Final

from bridge.doctor import (
    alerts,
    certificates,
    clocks,
    configuration,
    leadership,
    names,
    provider,
    rights,
    round_trip,
    server,
)
from bridge.doctor.check import Check

CHECKS: Final[tuple[Check, ...]] = (
    configuration.CHECK,
    names.CHECK,
    certificates.CHECK,
    clocks.CHECK,
    server.CHECK,
    rights.CHECK,
    provider.CHECK,
    leadership.CHECK,
    round_trip.CHECK,
    alerts.CHECK,
)
