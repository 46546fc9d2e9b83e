"""Every code that the doctor knows, with its text in both languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bridge.doctor.texts.alerts import ALERTS
from bridge.doctor.texts.here import HERE
from bridge.doctor.texts.provider import PROVIDER
from bridge.doctor.texts.redis import REDIS
from bridge.doctor.texts.unjudged import UNJUDGED
from bridge.doctor.texts.way import WAY
from bridge.doctor.texts.words import Text, Words

__all__ = ["NOT_JUDGED", "TEXTS", "Text", "Words"]

NOT_JUDGED: Final = frozenset(UNJUDGED)
"""The codes of questions that could not be asked."""

TEXTS: Final[Mapping[str, Text]] = {**HERE, **REDIS, **PROVIDER, **WAY, **ALERTS, **UNJUDGED}
