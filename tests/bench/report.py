"""What was measured, put into words, tables and pages, in both languages. Nothing here measures, or knows a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.bench.duel import ALONE, BROADCASTS, HANDSHAKES, MEMORY, OWN, UNICAST, Results
from tests.bench.languages import CHINESE, ENGLISH, FLOOR, Language
from tests.bench.picture import draw
from tests.bench.product import CannotMeasure

OURS: Final = "Exmail Bridge"
BEGIN: Final = "<!-- measured: what follows is written by make bench-write -->"
END: Final = "<!-- measured: end -->"
PICTURE: Final = "docs/speed.svg"


@dataclass(frozen=True, slots=True)
class Report:
    """Figures with what they were taken on and by."""

    facts: str
    contenders: list[str]
    missing: list[str]
    results: Results = field(default_factory=Results)

    @property
    def base(self) -> str:
        """Whose figure is 1 in ratios."""
        return FLOOR if FLOOR in self.contenders else OURS

    def as_json(self) -> dict[str, Any]:
        return {
            "facts": self.facts,
            "contenders": self.contenders,
            "missing": self.missing,
            "rounds": self.results.rounds,
            "found": self.results.found,
        }

    @classmethod
    def from_json(cls, of: dict[str, Any]) -> Report:
        return cls(of["facts"], of["contenders"], of["missing"], Results(of["found"], of["rounds"]))


_UNITS: Final = {
    HANDSHAKES: "/s",
    MEMORY: " KB",
    OWN: " KB",
    "worker": "/s",
    "redis-cpu": " µs",
    "way-p50": " ms",
    "way-p99": " ms",
}
_RATIOS: Final = (*BROADCASTS, UNICAST)


def section(report: Report, words: Language, *, picture: str | None, alone: bool) -> str:
    """What stands between the markers of a page: the picture if its address is given, tables, what is compared."""
    intro = words.intro.format(
        base=words.names.get(report.base, report.base), facts=report.facts, rounds=report.results.rounds
    )
    parts = [intro, table(report, words)]
    if alone and (rows := _alone(report, words)):
        parts.append(rows)
    if picture is not None:
        parts.insert(1, f"![{words.picture}]({picture})")
    return "\n\n".join([*parts, words.compared])


def table(report: Report, words: Language) -> str:
    """A row for each thing that was measured of more than us, a column for each contender."""
    names = [words.names.get(name, name) for name in report.contenders]
    lines = [f"| {words.what} | {' | '.join(names)} |", f"|---|{'--:|' * len(names)}"]
    for row in (*_RATIOS, HANDSHAKES, MEMORY):
        if row in report.results.found:
            cells = [_cell(report, row, name) for name in report.contenders]
            lines.append(f"| {words.rows[row]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _alone(report: Report, words: Language) -> str:
    values = [(row, report.results.median(row, OURS)) for row in (OWN, *ALONE)]
    lines = [f"| {words.rows[row]} | {_number(value)}{_UNITS[row]} |" for row, value in values if value is not None]
    return "\n".join([f"| {words.what} | {words.measured} |", "|---|--:|", *lines]) if lines else ""


def _cell(report: Report, row: str, name: str) -> str:
    value = report.results.median(row, name)
    if value is None:
        return "–"
    ratio = report.results.ratio(row, name, report.base) if row in _RATIOS and name != report.base else None
    text = f"{_number(value)}{_UNITS.get(row, '')}"
    return text if ratio is None else f"{text} ({ratio:.2f})"


def _number(value: float) -> str:
    """Three digits that count, two of less than 1: more would promise what the next run does not keep."""
    rounded = float(f"{value:.3g}") if value >= 1 else float(f"{value:.2g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def bars(report: Report) -> list[tuple[str, list[tuple[str, float]]]]:
    """For the picture: each row with the ratio of each contender that was measured in it."""
    found = []
    for row in _RATIOS:
        pairs = [(name, report.results.ratio(row, name, report.base)) for name in report.contenders]
        known = [(name, ratio) for name, ratio in pairs if ratio is not None]
        if known:
            found.append((row, known))
    return found


def between(page: str, text: str) -> str:
    """The page with ``text`` between its markers.

    Raises:
        CannotMeasure: it has not each of them once, in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise CannotMeasure(f"a page has not once {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def write(report: Report, root: Path) -> list[Path]:
    """Put tables and picture into the pages of a checkout; nothing is written if a page lacks its markers."""
    pages: Sequence[tuple[str, Language, str | None, bool]] = (
        ("README.md", ENGLISH, PICTURE, False),
        ("README.zh-CN.md", CHINESE, PICTURE, False),
        ("docs/performance.md", ENGLISH, None, True),
    )
    texts = {
        root / name: between(
            (root / name).read_text(encoding="utf-8"), section(report, words, picture=picture, alone=alone)
        )
        for name, words, picture, alone in pages
    }
    texts[root / PICTURE] = draw(bars(report), base=report.base)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)
