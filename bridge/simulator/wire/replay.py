"""Tell listeners again what somebody's provider once told: the same bytes, cut in the same places, in the same moments.

A recording is a file of JSON objects, one a line. The first says what it is; then, in order, ``{"at_ms", "asked"}``:
the listener asked; ``{"at_ms", "text"}`` or ``{"at_ms", "base64"}``: bytes came; ``{"at_ms", "ended"}``: the connection
ended. What came before anything was asked belongs to a session that stood already, so it follows an acknowledgement of
ours.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bridge.simulator.dialect import Dialect
from bridge.simulator.wire.connection import Connection
from bridge.simulator.wire.documents import ret_document
from bridge.simulator.wire.framings import response

FORMAT = "exmail-bridge listen 1"
_GAP_S = 0.001
"""Between two pieces, however fast: written in one moment they would come as one."""


@dataclass(slots=True)
class Answer:
    """What follows one question: pieces with their moments (seconds from the question), and whether it ends there."""

    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    ends_after_s: float | None = None


class Replay:
    """Answers each question by what followed the one in the recording; when that is over, only by acknowledgements.

    ``speed``: how many times faster than it was.
    """

    def __init__(self, answers: list[Answer], *, speed: float = 1.0) -> None:
        self._answers = deque(answers)
        self.speed = speed

    @property
    def is_over(self) -> bool:
        """Whether every question of the recording was asked."""
        return not self._answers

    def play(self, connection: Connection, dialect: Dialect) -> None:
        """Answer a question that came on this connection."""
        if not self._answers:
            connection.write(response(ret_document(0, dialect), dialect))
            return
        answer = self._answers.popleft()
        for number, (at_s, piece) in enumerate(answer.pieces):
            connection.later(at_s / self.speed + number * _GAP_S, partial(connection.write, piece))
        if answer.ends_after_s is not None:
            connection.later(answer.ends_after_s / self.speed + len(answer.pieces) * _GAP_S, connection.close)


def read_recording(path: Path, *, speed: float = 1.0) -> Replay:
    """Read a file of ``doctor --capture``.

    Raises:
        ValueError: it is none.
        OSError: it cannot be read.
    """
    lines = path.read_text("utf-8").splitlines()
    entries = [_entry(line) for line in lines]
    if not entries or entries[0].get("recording") != FORMAT:
        raise ValueError(f"the first line does not say {FORMAT!r}")
    dialect = Dialect()
    # The session that stood: asked for, and acknowledged, before the recording began.
    answers = [Answer([(0.0, response(ret_document(0, dialect), dialect))])]
    asked_at = 0.0
    for entry in entries[1:]:
        at = _moment(entry)
        if entry.get("asked") is True:
            asked_at = at
            if answers[-1].pieces or len(answers) > 1:
                answers.append(Answer())
        elif entry.get("ended") is True:
            answers[-1].ends_after_s = at - asked_at
        else:
            answers[-1].pieces.append((at - asked_at, _bytes(entry)))
    if len(answers) > 1 and len(answers[0].pieces) == 1 and answers[0].ends_after_s is None:
        # Nothing came of a session that stood before.
        del answers[0]
    return Replay(answers, speed=speed)


def _entry(line: str) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError("a line is no JSON object")
    return found


def _moment(entry: dict[str, Any]) -> float:
    at = entry.get("at_ms")
    if not isinstance(at, int | float) or at < 0:
        raise ValueError("a line has no at_ms")
    return at / 1000


def _bytes(entry: dict[str, Any]) -> bytes:
    text = entry.get("text")
    if isinstance(text, str):
        return text.encode()
    try:
        return base64.b64decode(str(entry["base64"]), validate=True)
    except (KeyError, binascii.Error):
        raise ValueError("a line has neither text nor base64") from None
