"""What became of each row: a line of standard output for each, a bar for who waits, and the sum at the end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from bridge.commands.api.answer import to_object, to_rows
from bridge.commands.api.ending import Ending, json_line, note
from bridge.commands.api.wanted import Change, Texts
from bridge.commands.leader import shown

_DONE: Final = {
    "add": "added",
    "change": "changed",
    "disable": "disabled",
    "delete": "deleted",
    "move": "moved",
    "send": "done",
}
_LISTS: Final = ("parties", "slaves")
_BAR: Final = 24
_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a row, or would: ``kind`` is that of a step, ``send`` or ``found``, ``error`` why there is none.

    ``of`` is what the row is about: an address, a department. ``stops``: the run ends with it.
    """

    line: int | None
    of: str
    kind: str = ""
    changes: tuple[Change, ...] = ()
    answer: object = None
    ending: Ending | None = None
    error: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    stops: bool = False


class Report:
    """Prints results as they come, flushed: what was printed has happened. ``code`` is the exit code so far."""

    def __init__(self, *, as_json: bool, dry_run: bool) -> None:
        self._as_json = as_json
        self._dry_run = dry_run
        self._counts: Counter[str] = Counter()
        self._bar = ""
        self._drawn_at = float("-inf")
        self._shows_bar = sys.stderr.isatty()
        self.code = 0

    def add(self, result: Result) -> None:
        """Print one result."""
        word = self._word(result)
        self._counts[word] += 1
        if result.ending is not None:
            self.code = max(self.code, result.ending.code)
        self._wipe()
        sys.stdout.write((self._object(result, word) if self._as_json else self._line(result, word)) + "\n")
        sys.stdout.flush()

    def _word(self, result: Result) -> str:
        if result.ending is not None:
            return result.ending.word
        if self._dry_run and result.kind in _DONE:
            return f"would-{result.kind}"
        return _DONE.get(result.kind, result.kind)

    def _object(self, result: Result, word: str) -> str:
        said: dict[str, Any] = {"line": result.line, "of": result.of, "result": word}
        if result.changes:
            said["changes"] = {each.key: _both(each) for each in result.changes}
        if result.ending is not None:
            said["error"] = {"message": result.error, **result.facts}
        if result.kind == "found":
            said["answer"] = to_object(result.answer)
        return json_line(said)

    def _line(self, result: Result, word: str) -> str:
        cells = ["-" if result.line is None else str(result.line), result.of, word]
        if result.ending is not None:
            cells.append(result.error)
        elif result.kind == "found":
            cells += [cell for row in to_rows(result.answer)[1] for cell in (": ".join(row),)]
        elif result.changes:
            cells.append("; ".join(map(_in_words, result.changes)))
        return "\t".join(map(shown, cells))

    def end(self) -> None:
        """Print the sum to standard error."""
        self._wipe()
        if self._counts:
            sums = ", ".join(f"{count} {word}" for word, count in sorted(self._counts.items()))
            note(sums, as_json=self._as_json, counts=dict(self._counts))

    @contextmanager
    def stage(self, what: str, total: int) -> Iterator[_Stage]:
        """A part of the run that has so many steps; on a terminal its bar stands below the results."""
        try:
            yield _Stage(self, what, total)
        finally:
            self._wipe()

    def draw(self, what: str, done: int, total: int) -> None:
        """Draw the bar, if anybody sees it and it was not drawn just now."""
        if not self._shows_bar or (time.monotonic() < self._drawn_at + _EVERY_S and done < total):
            return
        full = _BAR * done // max(1, total)
        self._wipe()
        self._bar = f"{what} [{'#' * full}{'.' * (_BAR - full)}] {done}/{total}"
        self._drawn_at = time.monotonic()
        sys.stderr.write(self._bar)
        sys.stderr.flush()

    def _wipe(self) -> None:
        if self._bar:
            sys.stderr.write("\r" + " " * len(self._bar) + "\r")
            sys.stderr.flush()
            self._bar = ""


@dataclass(slots=True)
class _Stage:
    """Counts the steps of a part of the run."""

    report: Report
    what: str
    total: int
    done: int = 0

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        self.report.draw(self.what, self.done, self.total)


def _both(change: Change) -> object:
    if change.is_secret:
        return "set"
    return {"from": _plain(change.key, change.before), "to": _plain(change.key, change.after)}


def _plain(key: str, texts: Texts) -> object:
    return [each for each in texts if each] if key in _LISTS else "".join(texts)


def _in_words(change: Change) -> str:
    if change.is_secret:
        return f"{change.key} set"
    before, after = (", ".join(filter(None, texts)) or "(empty)" for texts in (change.before, change.after))
    return f"{change.key}: {before} → {after}"
