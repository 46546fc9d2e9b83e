"""Where log lines leave the process, without anybody waiting for whoever reads them.

Standard error is often a pipe. Whoever should read it may hang, and a write to a full pipe does not return: the event
loop would stand, the lease be gone, and the provider's one connection kept. So a thread of its own writes, what waits
for it is bounded, and what finds no room is counted.
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

    ``most_bytes`` wait at most. How many lines were dropped is said as soon as one can be written again.
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
        # Once lines were dropped, none goes before half of the room is free: else every second one would be lost.
        most = self._most_bytes // 2 if self._dropped else self._most_bytes
        if self._waiting + len(line) > most:
            self._dropped += 1
            return
        self._put(self._notice())
        self._put(line)

    def flush(self) -> None:
        """Wait until the lines so far are taken, a moment; where they are not, nobody is waited for again."""
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
        """What says how many lines were dropped, with the lock held; empty if none were."""
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
        """Write the whole line, however long that takes; false: its reader has gone, or the disk is full."""
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
