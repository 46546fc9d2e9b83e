"""What a service tells systemd: ready, reloading, stopping, how it is, and that it goes on (``sd_notify(3)``).

The socket is that of NOTIFY_SOCKET, and without it nothing is told. The watchdog is fed only while the program's own
look at its health goes round. A Redis or a provider that is away is no reason to end a process that waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from bridge.obs.readiness import Unready

log = logging.getLogger(__name__)

VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What systemd sets for the one process that it watches. No other may speak for that one."""

_LOOK_S: Final = 5.0
_STALE_S: Final = 30.0
"""A look at one's health takes its time where Redis does not answer: longer than this it takes nowhere."""
_LONGEST: Final = 300


class Notices:
    """Sends datagrams to the socket of NOTIFY_SOCKET: a path, or ``@`` and a name for an abstract one."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        named = environ.get("NOTIFY_SOCKET", "")
        # vsock: addresses are for the first process of a virtual machine.
        self._address = named if named.startswith("/") else f"\0{named[1:]}" if named.startswith("@") else ""
        self._failed = False
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environ.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(usec) / 1e6 if self._address and ours and usec.isdecimal() and int(usec) else None

    @property
    def are_heard(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._address)

    def tell(self, *lines: str) -> bool:
        """Send lines, each ``NAME=value``, as one notice, and return whether it was taken: a manager that is busy may
        have no room for it, and nobody waits for that. Where nobody is to be told nothing is owed."""
        if not self._address:
            return True
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
                sock.sendto("\n".join(lines).encode(errors="replace"), self._address)
        except OSError as error:
            if not self._failed:
                log.warning("systemd cannot be told", extra={"error": str(error)})
            self._failed = True
        else:
            self._failed = False
        return not self._failed


class Watched:
    """This process in the eyes of systemd. ``clock``: monotonic seconds, as ``sd_notify`` wants them.

    :meth:`up` says that it is ready, :meth:`beat` that it goes on, :meth:`attend` passes on how it is.
    """

    def __init__(self, notices: Notices | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._notices = notices or Notices()
        self._clock = clock
        self._beaten_at = clock()
        self._ready: Callable[[], Unready | None] | None = None
        self._note: Callable[[], str | None] = lambda: None
        self._said = ""
        self._owes_ready = False

    def up(self, ready: Callable[[], Unready | None], note: Callable[[], str | None]) -> None:
        """The program has opened its ports. Whether it has its Redis already is part of its status, as it is later."""
        self._ready, self._note = ready, note
        self._tell_ready()

    def beat(self) -> None:
        """The program has looked at its own health."""
        self._beaten_at = self._clock()

    def reload(self, work: Callable[[], None]) -> None:
        """Do what a reload is, with systemd knowing."""
        self._notices.tell("RELOADING=1", f"MONOTONIC_USEC={int(self._clock() * 1e6)}")
        try:
            work()
        finally:
            # A program that is still starting says so itself.
            if self._ready is not None:
                self._tell_ready()

    def look(self) -> None:
        """Tell what has changed, and feed the watchdog if the program goes on."""
        if self._clock() - self._beaten_at <= _STALE_S:
            self._notices.tell("WATCHDOG=1")
        if self._owes_ready:
            self._tell_ready()
        elif (
            self._ready is not None
            and (status := self._status()) != self._said
            and self._notices.tell(f"STATUS={status}")
        ):
            self._said = status

    @asynccontextmanager
    async def attend(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Look again and again until ``stop``, and tell that; to be around all that the program does."""
        if not self._notices.are_heard:
            yield
            return
        looking = asyncio.create_task(self._look_until(stop), name="systemd")
        try:
            yield
        finally:
            looking.cancel()

    async def _look_until(self, stop: asyncio.Event) -> None:
        every_s = min(_LOOK_S, (self._notices.watchdog_s or _LOOK_S) / 3)
        while not stop.is_set():
            self.look()
            try:
                async with asyncio.timeout(every_s):
                    await stop.wait()
            except TimeoutError:
                pass
        self._notices.tell("STOPPING=1", "STATUS=shutting down")

    def _tell_ready(self) -> None:
        """Say it until it is taken: a service that systemd never heard to be ready is ended after a while."""
        status = self._status()
        self._owes_ready = not self._notices.tell("READY=1", f"STATUS={status}")
        if not self._owes_ready:
            self._said = status

    def _status(self) -> str:
        why = self._ready() if self._ready is not None else None
        text = (self._note() or "ok") if why is None else f"not ready: {why.text}"
        # A line feed would begin another assignment.
        return " ".join(text.split())[:_LONGEST]
