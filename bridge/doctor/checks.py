"""All checks, in the order of the report: what others depend on first."""

from __future__ import annotations

from typing import Final

from bridge.doctor import certificates, clocks, configuration, leadership, names, provider, round_trip, server
from bridge.doctor.check import Check

CHECKS: Final[tuple[Check, ...]] = (
    configuration.CHECK,
    names.CHECK,
    certificates.CHECK,
    clocks.CHECK,
    server.CHECK,
    provider.CHECK,
    leadership.CHECK,
    round_trip.CHECK,
)
