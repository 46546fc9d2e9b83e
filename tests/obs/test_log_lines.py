"""Log lines: one a record, fields beside a constant sentence, never a failure of their own."""

from __future__ import annotations

import io
import json
import logging
import os
import re

import pytest

from bridge.obs.logs import setup_logs


@pytest.fixture
def logged():
    """Set logs up on a stream, and put the root logger back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()

    def with_format(name, level="info"):
        setup_logs(level, name, role="worker", stream=stream)
        return stream

    yield with_format
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)
    logging.getLogger("aiohttp.access").disabled = False


log = logging.getLogger("bridge.worker.listener")


def test_json_line_has_sentence_and_fields(logged):
    """Time in RFC 3339 with ms, level, logger, message, and each field under its own name."""
    stream = logged("json")
    log.info("listen session ended", extra={"ver": 1700000000000, "outcome": "silent"})
    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "role": "worker",
        "pid": os.getpid(),
        "logger": "bridge.worker.listener",
        "message": "listen session ended",
        "ver": 1700000000000,
        "outcome": "silent",
    }


def test_an_exception_is_one_field(logged):
    """A traceback stays within its record's one line."""
    stream = logged("json")
    try:
        raise ValueError("defect")
    except ValueError:
        log.exception("the program ends")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: defect" in json.loads(line)["exception"]


@pytest.mark.parametrize("value", ["half\ud800", b"bytes", 2**80, {"a": {1, 2}}, object(), float("nan"), None])
def test_no_field_can_break_the_line(logged, value):
    """Whatever a field holds, the record is written and is JSON."""
    stream = logged("json")
    log.warning("odd field", extra={"value": value, "level": "taken"})
    line = json.loads(stream.getvalue())
    assert line["message"] == "odd field"
    assert (line["level"], line["level_"]) == ("warning", "taken")


def test_text_puts_fields_after_the_sentence(logged):
    """On a terminal: date, time and zone, level, room, sentence, fields; a value with blanks is quoted."""
    stream = logged("text")
    log.info("edge ready", extra={"port": 8080, "why": "it came round"})
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d INFO ", stream.getvalue())
    process = f"worker[{os.getpid()}]"
    end = f"INFO    {process} worker.listener: edge ready  port=8080  why='it came round'\n"
    assert stream.getvalue().endswith(end)


def test_auto_is_json_where_nobody_watches(logged):
    """``auto`` on something that is no terminal is JSON; the level filters."""
    stream = logged("auto", "warning")
    log.info("not written")
    log.warning("written")
    assert json.loads(stream.getvalue())["message"] == "written"


def test_request_lines_are_never_logged(logged):
    """aiohttp's access log would hold tickets."""
    stream = logged("json")
    logging.getLogger("aiohttp.access").info("GET /ws?ticket=secret")
    assert stream.getvalue() == ""
