"""Logs: one line a record, JSON for machines, text on a terminal.

A record is a constant sentence with fields beside it (``extra``), so that a search for the sentence finds every
case and the fields can be counted. The caller keeps mail, tokens and secrets out of both.
"""

from __future__ import annotations

import faulthandler
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import orjson
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from bridge.obs.outlet import Outlet

Format = Literal["auto", "json", "text"]

_THEIR_FAULT: Final = (HttpProcessingError, RequestPayloadError, ConnectionResetError)
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """``time`` (RFC 3339, UTC, ms), ``level``, ``role`` and ``pid`` of the process, ``logger``, ``message``, the
    fields, and ``exception`` if any."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "role": self._role,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in fields_of(record).items():
            line[name if name not in line else f"{name}_"] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(_encodable(line), default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class TextFormatter(logging.Formatter):
    """Local date, time and zone, level, process, room, sentence, ``name=value`` fields; a traceback on the lines after
    it."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        time = _time(record).astimezone().isoformat(" ", "milliseconds")
        fields = "".join(f"  {name}={_plain(value)}" for name, value in fields_of(record).items())
        whose = f"{self._role}[{record.process}]"
        line = (
            f"{time} {record.levelname:<7} {whose} {record.name.removeprefix('bridge.')}: {record.getMessage()}{fields}"
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def setup_logs(level: str, format: Format, *, role: str, stream: TextIO | None = None) -> None:
    """Send the logs of this process, a ``role`` such as ``worker``, to ``stream``, replacing what was set up before.

    Without one they go to standard error, and the process never waits for its reader. ``level`` is ``debug`` to
    ``critical``. The ``format`` ``auto`` means text on a terminal, otherwise JSON.
    """
    handler: logging.Handler
    if stream is not None:
        handler = logging.StreamHandler(stream)
    else:
        stream = sys.stderr
        handler = Outlet(stream)
    text = format == "text" or (format == "auto" and stream.isatty())
    handler.setFormatter(TextFormatter(role) if text else JsonFormatter(role))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    with suppress(OSError, ValueError, RuntimeError):
        # systemd's watchdog ends by SIGABRT what gives no sign of life: where it stood is written then.
        faulthandler.enable(stream)
    # Request lines may contain tickets.
    logging.getLogger("aiohttp.access").disabled = True
    logging.getLogger("aiohttp.server").addFilter(_is_our_fault)


def set_level(level: str) -> None:
    """Log from this level on, ``debug`` to ``critical``."""
    logging.getLogger().setLevel(level.upper())


def are_for_machines() -> bool:
    """Whether the process's log lines are JSON by now."""
    return any(isinstance(each.formatter, JsonFormatter) for each in logging.getLogger().handlers)


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Drop records about requests and bodies that cannot be read, and about clients that left.

    aiohttp logs each as an error, with the offending line. Anybody could fill the log by sending rubbish, and the line
    may contain a token.
    """
    return not (record.exc_info and isinstance(record.exc_info[1], _THEIR_FAULT))


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what the caller gave as ``extra``."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _plain(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)


def _encodable(value: Any) -> Any:
    """Replace what orjson refuses in text (lone surrogates): writing a log line must never fail."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encodable(each) for each in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value
