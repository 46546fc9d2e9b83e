"""Log lines that nobody takes: nobody waits for it, and how many were lost is said."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from bridge.obs.logs import JsonFormatter
from bridge.obs.outlet import Outlet

DROPPED = "log lines dropped, nobody took them"


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """The end that is read, and the other; it holds one page."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        yield reading, stream
    os.close(reading)


def logger(outlet: Outlet) -> logging.Logger:
    outlet.setFormatter(JsonFormatter("worker"))
    log = logging.Logger("bridge.test")
    log.addHandler(outlet)
    return log


def read_lines(reading: int, until_said: str) -> list[dict[str, object]]:
    data = b""
    while until_said.encode() not in data or not data.endswith(b"\n"):
        data += os.read(reading, 65536)
    return [json.loads(line) for line in data.splitlines()]


def test_what_finds_no_room_is_dropped_and_counted(pipe: tuple[int, TextIO]) -> None:
    """All that was kept comes in order and whole; the rest is a number, said when it goes on."""
    reading, stream = pipe
    log = logger(Outlet(stream, most_bytes=20_000))
    for number in range(1000):
        log.warning("a line", extra={"number": number, "words": "邮件" * 200})
    lines = read_lines(reading, DROPPED)
    kept = [line["number"] for line in lines if line["message"] == "a line"]
    assert kept == list(range(len(kept)))
    assert 0 < len(kept) < 1000
    [said] = [line for line in lines if line["message"] == DROPPED]
    assert said["lines"] == 1000 - len(kept)
    assert said["level"] == "warning"
    log.warning("it goes on")
    assert [line["message"] for line in read_lines(reading, "it goes on")] == ["it goes on"]


def test_a_record_that_cannot_be_written_is_its_place(pipe: tuple[int, TextIO]) -> None:
    """A mistake in a log call costs that line alone."""
    reading, stream = pipe
    log = logger(Outlet(stream))
    log.warning("%d", "no number")
    log.warning("end")
    assert [line["message"] for line in read_lines(reading, '"end"')] == ["a log record cannot be written", "end"]


def test_a_line_longer_than_the_pipe_is_whole(pipe: tuple[int, TextIO]) -> None:
    """Whether the descriptor blocks or not: somebody else who has it may have set it so."""
    reading, stream = pipe
    log = logger(Outlet(stream))
    for blocking in (True, False):
        os.set_blocking(stream.fileno(), blocking)
        log.warning("long", extra={"text": "x" * 50_000})
        log.warning("end")
        lines = read_lines(reading, '"end"')
        assert [line["message"] for line in lines] == ["long", "end"]
        assert lines[0]["text"] == "x" * 50_000


def test_a_reader_that_has_gone_hurts_nobody() -> None:
    """Each line is lost for itself; who reads the descriptor later learns how many there were."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        outlet = Outlet(stream)
        log = logger(outlet)
        os.close(reading)
        for _ in range(3):
            log.warning("nobody reads")
        outlet.flush()
        later, again = os.pipe()
        os.dup2(again, writing)
        os.close(again)
        log.warning("somebody does")
        lines = read_lines(later, "somebody does")
    os.close(later)
    assert [(line["message"], line.get("lines")) for line in lines] == [(DROPPED, 3), ("somebody does", None)]


def test_nothing_to_write_is_nothing_to_do(pipe: tuple[int, TextIO]) -> None:
    """The thread sleeps until there is a line: what it has written brings it no work."""
    reading, stream = pipe
    outlet = Outlet(stream)
    put: list[object] = []
    lines = outlet._lines

    class Counting:
        """The queue, seen through: what is put into it is noted."""

        def put(self, line: object) -> None:
            put.append(line)
            lines.put(line)  # type: ignore[arg-type]

        get, empty = lines.get, lines.empty

    outlet._lines = Counting()  # type: ignore[assignment]
    logger(outlet).warning("a line")
    read_lines(reading, "a line")
    outlet.flush()
    assert [each for each in put if isinstance(each, bytes)] == [put[0]]
