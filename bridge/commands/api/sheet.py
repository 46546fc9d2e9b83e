"""A file with a row for each call: CSV as spreadsheets write it, or JSON lines. Pure but for the reading of bytes.

Excel ends lines with CR LF. Its Chinese editions write GBK for "CSV", a byte order mark for "CSV UTF-8", and UTF-16
with tabs for "Unicode text". The whole file is read before anything is done with a row, within a bound.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

MOST_BYTES: Final = 32 * 1024 * 1024
MOST_ROWS: Final = 200_000
_FAULTS_MOST: Final = 20
_DELIMITERS: Final = ",\t;"
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_WIDE: Final = re.compile("[\u0800-\ufffc\U00010000-\U0010ffff]")
"""What UTF-8 writes with three bytes or four; other encodings hit upon such a sequence by chance only now and then."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file; ``line`` counts from 1, ``None``: with the whole of it."""

    line: int | None
    why: str

    def __str__(self) -> str:
        return self.why if self.line is None else f"line {self.line}: {self.why}"


class SheetRefused(Exception):
    """A file cannot be used; nothing was changed. ``faults`` are the first of those that were found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults[:_FAULTS_MOST])
        self.more = len(faults) - len(self.faults)
        super().__init__("; ".join(map(str, self.faults[:1])))


@dataclass(frozen=True, slots=True)
class Record:
    """One row: its first line, and what stands under each heading.

    ``exact``: the values are JSON's, and mean what they are; else they are cells of CSV, which can only be texts.
    Without ``repr`` of the values: a password may be among them.
    """

    line: int
    cells: Mapping[str, Any] = field(repr=False)
    exact: bool = False


def read_bytes(source: Path) -> bytes:
    """The bytes of a file, ``-`` of standard input.

    Raises:
        SheetRefused: it cannot be read, or is too large.
    """
    try:
        if source == Path("-"):
            # None: it was closed when the program began.
            data = b"" if sys.stdin is None else sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with source.open("rb") as opened:
                data = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise SheetRefused([Fault(None, f"{source} cannot be read: {error.strerror}")]) from None
    if len(data) > MOST_BYTES:
        raise SheetRefused([Fault(None, f"more than {MOST_BYTES // 1024 // 1024} MiB; split the file")])
    return data


def decode(data: bytes) -> str:
    """The text of a file: UTF-8 or UTF-16 by its byte order mark, else UTF-8, else GBK (GB 18030).

    Raises:
        SheetRefused: it is none of them, or UTF-8 with a bad byte in it, which GBK would read as other names.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _decoded(data[len(mark) :], encoding)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        text = data.decode("utf-8", "replace")
        if len(_WIDE.findall(text)) > text.count("\ufffd"):
            raise SheetRefused([_bad_byte(data, error, "UTF-8")]) from None
    return _decoded(data, "gb18030")


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        known = "UTF-8 nor GBK" if encoding == "gb18030" else encoding.upper()
        raise SheetRefused([_bad_byte(data, error, known)]) from None


def _bad_byte(data: bytes, error: UnicodeDecodeError, encoding: str) -> Fault:
    line = len(re.findall(rb"\r\n|\r|\n", data[: error.start])) + 1
    return Fault(line, f"is {'neither' if ' ' in encoding else 'not'} {encoding} text; was the file cut off or mixed?")


def records(text: str) -> list[Record]:
    """The rows of a text, without those that are empty.

    Raises:
        SheetRefused: with every row that cannot be read.
    """
    faults: list[Fault] = []
    found: list[Record] = []
    reading = _json_lines(text) if text.lstrip()[:1] == "{" else _csv_rows(text)
    for each in reading:
        if isinstance(each, Fault):
            faults.append(each)
        elif len(found) >= MOST_ROWS:
            faults.append(Fault(each.line, f"more than {MOST_ROWS} rows; split the file"))
            break
        else:
            found.append(each)
    if faults:
        raise SheetRefused(faults)
    if not found:
        raise SheetRefused([Fault(None, "there is no row in it")])
    return found


def _json_lines(text: str) -> Iterator[Record | Fault]:
    for line, each in enumerate(io.StringIO(text), 1):
        if not each.strip():
            continue
        try:
            value = json.loads(each, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            why = str(error) if isinstance(error, _Twice) else "is no JSON object on one line"
            yield Fault(line, why)
            continue
        yield (
            Record(line, value, exact=True) if isinstance(value, dict) else Fault(line, "is no JSON object on one line")
        )


class _Twice(ValueError):
    """A name occurs twice in a JSON object: readers differ in which one they take."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(f"has {name!r} twice")
        found[name] = value
    return found


def _csv_rows(text: str) -> Iterator[Record | Fault]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    headings: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # The rest cannot be divided into rows any more.
            yield Fault(line, "has a quote that is not closed, or text beside one")
            return
        if not any(cell.strip() for cell in cells):
            continue
        if headings is None:
            headings = _headings(cells)
            if twice := {each for each in headings if each and headings.count(each) > 1}:
                yield Fault(line, f"names the column {min(twice)!r} twice")
                return
        elif any(cell.strip() for cell in cells[len(headings) :]) or len(cells) < len(headings):
            yield Fault(line, f"has {len(cells)} cells where the first line names {len(headings)} columns")
        elif stray := [cell for name, cell in zip(headings, cells, strict=False) if not name and cell.strip()]:
            yield Fault(line, f"has {len(stray)} cells in a column without a name")
        else:
            yield Record(line, {name: cell for name, cell in zip(headings, cells, strict=False) if name})


def _headings(cells: Sequence[str]) -> list[str]:
    """The names of the columns, without those of empty columns at the end, which spreadsheets write."""
    names = [cell.strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return names


def _delimiter(text: str) -> str:
    """What separates the headings: a comma, or where there is none what spreadsheets write in its place."""
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    return max(_DELIMITERS, key=lambda each: (first.count(each), -_DELIMITERS.index(each)))
