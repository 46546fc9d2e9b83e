"""The bridge beside others: what is printed, and what is put into the pages and the picture."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench.duel import Results
from tests.bench.languages import ENGLISH
from tests.bench.product import ROOT, CannotMeasure
from tests.bench.report import BEGIN, END, PICTURE, Report, between, section, write
from tests.docs.pages import Page, differences

WRITTEN = ("README.md", "README.zh-CN.md", "docs/performance.md")
SVG = "{http://www.w3.org/2000/svg}"
SMALLEST = ("--rounds", "1", "--seconds", "0.02", "--share", "0.004", "--only", "bare python", "c floor")


def bench(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.bench", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """A copy of the pages that are written to."""
    (tmp_path / "docs").mkdir()
    for name in WRITTEN:
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def report() -> Report:
    """Two rounds of three contenders, one of which cannot do all."""
    results = Results(rounds=2)
    for row, ours, floor, nchan in (("ws-1000", [80.0, 90.0], [100.0, 100.0], [50.0, 70.0]),):
        for name, values in (("Exmail Bridge", ours), ("C floor", floor), ("nchan", nchan)):
            results.found.setdefault(row, {})[name] = [1000 * each for each in values]
    results.found["unicast-10000"] = {"Exmail Bridge": [60_000.0, 62_000.0], "C floor": [100_000.0, 100_000.0]}
    results.found["memory"] = {"Exmail Bridge": [2.5, 2.7], "C floor": [0.1, 0.1], "nchan": [10.0, 10.0]}
    results.found["way-p99"] = {"Exmail Bridge": [2.75, 3.25]}
    return Report("2 cores & <more>", ["Exmail Bridge", "C floor", "nchan"], [], results)


def test_a_ratio_is_of_the_same_round(report: Report) -> None:
    """Figures are medians; the ratio is the median of the rounds' ratios, not of figures from different rounds."""
    lines = section(report, ENGLISH, picture=None, alone=True).splitlines()
    assert "| what | Exmail Bridge | C floor | nchan |" in lines
    assert "| broadcast, 1,000 WebSocket connections | 85,000 (0.85) | 100,000 | 60,000 (0.60) |" in lines
    assert "| memory for an idle connection | 2.6 KB | 0.1 KB | 10 KB |" in lines
    assert "| push to socket, 200 a second, 2,000 connections, p99 | 3 ms |" in lines


def test_who_was_not_measured_in_a_row_has_no_figure(report: Report) -> None:
    """A row that nobody was measured in is not there."""
    text = section(report, ENGLISH, picture=None, alone=True)
    each = "| each event to one of 10,000 WebSocket connections, from Redis | 61,000 (0.61) | 100,000 | – |"
    assert each in text.splitlines()
    assert "SSE" not in text.split("Compared are")[0]


def test_without_a_floor_ratios_are_to_ours(report: Report) -> None:
    """A machine without a compiler measures the rest."""
    report.contenders.remove("C floor")
    row = "| broadcast, 1,000 WebSocket connections | 85,000 | 60,000 (0.70) |"
    assert row in section(report, ENGLISH, picture=None, alone=True).splitlines()


def test_only_what_is_between_the_markers_is_written() -> None:
    """What was written before is replaced; without both markers nothing is."""
    page = f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n"
    assert between(page, "new") == f"before\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n"
    for broken in ("", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"):
        with pytest.raises(CannotMeasure, match="has not once"):
            between(broken, "new")


def test_the_pages_say_the_same_in_both_languages_afterwards(report: Report, pages: Path) -> None:
    """Tables, picture, links and what is said around them."""
    write(report, pages)
    english, chinese = Page(pages / "README.md"), Page(pages / "README.zh-CN.md")
    assert differences(english, chinese) == []
    assert PICTURE in english.links
    for name in WRITTEN:
        assert "85,000 (0.85)" in (pages / name).read_text()
        outside = [re.sub(f"{BEGIN}.*{END}", "", (of / name).read_text(), flags=re.DOTALL) for of in (ROOT, pages)]
        assert outside[0] == outside[1]


def test_a_page_without_markers_leaves_all_as_they_were(report: Report, pages: Path) -> None:
    """Half of them with new figures would contradict the other half."""
    (pages / "docs/performance.md").write_text("no markers")
    with pytest.raises(CannotMeasure):
        write(report, pages)
    assert (pages / "README.md").read_text() == (ROOT / "README.md").read_text()
    assert not (pages / PICTURE).exists()


def test_the_picture_draws_the_figures(report: Report, pages: Path) -> None:
    """Well-formed, a bar for each ratio, as long as it says, within the frame."""
    write(report, pages)
    root = ElementTree.fromstring((pages / PICTURE).read_text())
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    bars = [each for each in root.iter(f"{SVG}rect") if each.get("rx") == "2"]
    said = [float(each.text or "") for each in root.iter(f"{SVG}text") if re.fullmatch(r"\d\.\d\d", each.text or "")]
    assert said == [0.85, 1.0, 0.6, 0.61, 1.0]
    unit = float(bars[1].attrib["width"])
    assert [round(float(bar.attrib["width"]) / unit, 2) for bar in bars] == said
    for each in root.iter(f"{SVG}rect"):
        assert float(each.attrib["x"]) + float(each.attrib["width"]) <= width
        assert float(each.attrib["y"]) + float(each.attrib["height"]) <= height


def test_the_command_measures_prints_and_writes(pages: Path) -> None:
    """By the smallest scale: a broadcast, with memory and handshakes, and a worker; kept figures print the same."""
    kept = pages / "figures.json"
    told = bench(*SMALLEST, "--rows", "ws-5000", "redis-cpu", "--json", kept, "--write", "--into", pages)
    assert told.returncode == 0, told.stderr
    rows = [line.split("|")[1:-1] for line in told.stdout.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in rows[0] if "floor" not in cell] == ["what", "Exmail Bridge", "bare Python"]
    assert [row[0].strip() for row in rows[2:]] == [
        "broadcast, 5,000 WebSocket connections",
        "handshakes",
        "memory for an idle connection",
        "what",
        "---",
        "Redis, for each push",
    ]
    assert all(re.match(r" -?[\d,.]+", cell) for row in (*rows[2:5], rows[-1]) for cell in row[1:])
    assert rows[2][0] in (pages / "README.md").read_text()
    assert json.loads(kept.read_text())["rounds"] == 1
    again = bench("--read", kept)
    assert again.stdout == told.stdout


def test_what_cannot_be_measured_is_one_line() -> None:
    """A row that there is none of; a program that is none."""
    for words in (("--rows", "ws-7"), ("--centrifugo", "/no/such/program")):
        told = bench(*words)
        assert told.returncode == 2
        assert re.fullmatch(r"tests\.bench: .+\n", told.stderr)
