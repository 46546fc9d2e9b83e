"""Write log lines to standard error without ever waiting for its reader.

Standard error is often a pipe. If its reader hangs, a write to the full pipe does not return: the event loop would stop
and the lease expire, while the provider's only connection stayed open. So a thread of its own writes. The lines that
wait for it are bounded, and those that are dropped are counted.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
from typing import Final, TextIO

_MOST_BYTES: Final = 1024 * 1024
_END_S: Final = 1.0


class Outlet(logging.Handler):
    """Writes lines to the descriptor of ``stream`` from a thread; never blocks, never raises.

    At most ``most_bytes`` wait. The number of dropped lines is logged as soon as a line can be written again.
    """

    def __init__(self, stream: TextIO, *, most_bytes: int = _MOST_BYTES) -> None:
        super().__init__()
        # Past the stream: a thread that hangs in it would keep its lock, and the interpreter could not end.
        self._descriptor = stream.fileno()
        self._encoding = (stream.encoding or "utf-8", stream.errors or "backslashreplace")
        self._most_bytes = most_bytes
        # Whoever is collected while a line is put may log too: this queue allows it.
        self._lines: queue.SimpleQueue[bytes | threading.Event] = queue.SimpleQueue()
        self._waiting = 0
        self._dropped = 0
        self._hangs = False
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._encoded(record)
        except Exception:  # noqa: BLE001 - of a record that cannot be written only its place is told
            line = self._encoded(_warning("a log record cannot be written", place=f"{record.name}:{record.lineno}"))
        # After a drop no line is taken until half of the room is free; otherwise every second one would be lost.
        most = self._most_bytes // 2 if self._dropped else self._most_bytes
        if self._waiting + len(line) > most:
            self._dropped += 1
            return
        self._put(self._notice())
        self._put(line)

    def flush(self) -> None:
        """Wait a moment until the lines so far are written; after a failure this never waits again."""
        if not self._hangs:
            done = threading.Event()
            self._lines.put(done)
            self._hangs = not done.wait(_END_S)

    def _put(self, line: bytes) -> None:
        if not line:
            return
        self._waiting += len(line)
        self._lines.put(line)

    def _notice(self) -> bytes:
        """The line that says how many lines were dropped, empty if none were; call it with the lock held."""
        count, self._dropped = self._dropped, 0
        return self._encoded(_warning("log lines dropped, nobody took them", lines=count)) if count else b""

    def _encoded(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode(*self._encoding)

    def _run(self) -> None:
        while True:
            line = self._lines.get()
            if isinstance(line, threading.Event):
                line.set()
                continue
            taken = self._write(line)
            with self.lock or threading.RLock():
                self._waiting -= len(line)
                if not taken:
                    self._dropped += 1
                elif self._lines.empty():
                    self._put(self._notice())

    def _write(self, line: bytes) -> bool:
        """Write the whole line, however long that takes; return false if its reader has gone or the disk is full."""
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                # Somebody who has the same pipe set it so.
                waiting = select.poll()
                waiting.register(self._descriptor, select.POLLOUT)
                waiting.poll()
            except OSError:
                return False
        return True


def _warning(message: str, **fields: object) -> logging.LogRecord:
    said = {"name": __name__, "levelno": logging.WARNING, "levelname": "WARNING", "msg": message}
    return logging.makeLogRecord(said | fields)
