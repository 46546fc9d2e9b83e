"""``dev`` as a person starts it: a program of its own in a folder, and its simulated provider driven from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "bridge")


def environment(**environ: str) -> dict[str, str]:
    """This shell's environment without its settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    return {**kept, "PYTHONPATH": str(ROOT), **environ}


class DevProgram:
    """A running ``dev``; ``with`` waits until it is ready and ends it."""

    def __init__(self, folder: Path, *words: str, **environ: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*COMMAND, "dev", *(words or ("--port", "0"))],
            cwd=folder,
            # None of its tests is about a lease that runs out while everything stands still.
            env=environment(**{"BRIDGE_WORKER_LEASE": "60", **environ}),
            stdout=subprocess.PIPE,
            stderr=(folder / "stderr.txt").open("w"),
            text=True,
        )
        self.said: list[str] = []
        self._url = ""
        self._ready = threading.Event()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(r"live page at +(\S+)", line):
                self._url = found[1]
            if "Ctrl-C" in line:
                self._ready.set()
        self._ready.set()

    @property
    def url(self) -> str:
        """The page, with a slash at its end."""
        assert self._ready.wait(PATIENCE_S), "dev is not ready"
        assert self._url, self.complaint
        return self._url

    @property
    def complaint(self) -> str:
        """What it said on standard error."""
        return (self.folder / "stderr.txt").read_text()

    @property
    def settings(self) -> dict[str, Any]:
        """What it left for other commands."""
        return tomllib.loads((self.folder / ".dev" / "bridge.toml").read_text())

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send a signal and wait for the end; returns the exit code. One that does not end is not left behind."""
        self.process.send_signal(number)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self._reading.join(PATIENCE_S)
        return code

    def run(self, *words: str) -> str:
        """Run another command of the program in the same folder; returns what it printed."""
        return subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        ).stdout

    # -- the simulated provider

    def simulator(self, what: str, arguments: dict[str, Any] | None = None) -> Any:
        """Look at it (``truth``, ``state``), or do something to it (``mail``, ``cut`` …)."""
        url = f"{self.settings['provider']['api_url']}/simulator/{what}"
        body = None if arguments is None else json.dumps(arguments).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=PATIENCE_S) as answer:
            told = json.load(answer)
        return told if arguments is None else told["done"]

    def wait_for_listener(self) -> None:
        """Return when the worker listens: what is pushed before is lost to it."""
        deadline = time.monotonic() + PATIENCE_S
        while self.simulator("state")["listeners"] != 1:
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.02)

    def pushed(self, mailbox: str) -> list[str]:
        """MailIds of what was announced in a mailbox, oldest first."""
        return [mail["mail_id"] for mail in self.simulator("truth")["mails"].get(mailbox, []) if mail["pushed"]]

    def __enter__(self) -> Self:
        assert self.url
        self.wait_for_listener()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL if kind else signal.SIGINT)
        assert self.process.stdout is not None
        self.process.stdout.close()
