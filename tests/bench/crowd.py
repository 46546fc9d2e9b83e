"""``python -m tests.bench.crowd --accounts 120000``: what stands still where a corporation is large.

One worker, three edges, a provider that answers in 50 ms, and people on line; then what happens to a directory, one
after the other. Printed for each: how long it took, the longest stand of an event loop of worker and edges (CPU and
wall time, see :mod:`.watched`), and Redis's slowest call. The server may run before everybody else, if we may arrange
that: its SLOWLOG counts wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bridge.events import to_json
from bridge.journal.made import REVISION, Made
from tests.bench.histories import write
from tests.bench.product import ROOT, CannotMeasure
from tests.bench.stage import SECRET, facts, free_port, load, valkey, wait_for
from tests.bench.town import alias, person

DELAY_S: Final = 0.05
EDGES: Final = 3
SETTLED_S: Final = 3.0
SLOW_US: Final = 2000
TOPS_S: Final = 35.0
"""Two comparisons of positions."""


@dataclass(frozen=True, slots=True)
class Stand:
    cpu_ms: float
    wall_ms: float
    what: str

    def __str__(self) -> str:
        return f"{self.cpu_ms:.0f} ({self.wall_ms:.0f}) ms, {self.what}" if self.cpu_ms else "–"


NONE: Final = Stand(0.0, 0.0, "")


class Watched:
    """A program whose loop is watched; started again under the same name it goes on with the same file.

    ``callbacks``: each of them is timed, which says what stood still and costs a little.
    """

    def __init__(self, folder: Path, name: str, environ: Mapping[str, str], *, callbacks: bool = True) -> None:
        how = () if callbacks else ("--beat",)
        self._command = [sys.executable, "-m", "tests.bench.watched", *how, str(folder / f"{name}.stands"), name]
        self._stands = folder / f"{name}.stands"
        self._log = folder / f"{name}.log"
        self._environ = {n: v for n, v in os.environ.items() if not n.startswith("BRIDGE_")} | dict(environ)
        self._read = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, stderr=log
            )

    @property
    def cpu_s(self) -> float:
        assert self._process is not None
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def check(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise CannotMeasure(f"ended: {self._log.read_bytes()[-500:].decode('utf-8', 'replace')}")

    def longest(self) -> Stand:
        """The longest stand since the last question; one that a single callback made is named by it."""
        if not self._stands.exists():
            return NONE
        with self._stands.open(encoding="utf-8") as file:
            file.seek(self._read)
            found = [Stand(**json.loads(line)) for line in file if line.endswith("\n")]
            self._read = file.tell()
        most = max(found, key=lambda stand: stand.cpu_ms, default=NONE)
        named = [stand for stand in found if stand.what != "the loop" and stand.cpu_ms > 0.7 * most.cpu_ms]
        return max(named, key=lambda stand: stand.cpu_ms, default=most)


class Town:
    """The provider; see :mod:`.town`."""

    def __init__(self, accounts: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.town", str(accounts), str(DELAY_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self.url, self.secret, self.ver = told["url"], told["secret"], told["ver"]

    def order(self, what: str, first: int, last: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {first} {last}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@dataclass(slots=True)
class Crowd:
    """Everything that runs, and what happens to it."""

    accounts: int
    online: int
    client: Any
    town: Town
    worker: Watched
    edges: list[Watched] = field(default_factory=list)
    environ: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[Callable[[str], None]]:
        """Measure what happens in the block, and some seconds more; the block may add a remark."""
        self.worker.longest()
        for edge in self.edges:
            edge.longest()
        self.client.slowlog_reset()
        remarks: list[str] = []
        cpu_s, began = self.worker.cpu_s, time.monotonic()
        yield remarks.append
        took_s = time.monotonic() - began
        time.sleep(SETTLED_S)
        stands = [edge.longest() for edge in self.edges]
        slow = sorted(self.client.slowlog_get(1000), key=lambda call: -call["duration"])
        if (spent_s := self.worker.cpu_s - cpu_s) > 0:
            # It is less after a restart.
            remarks.append(f"worker {spent_s:.1f} s of CPU")
        redis = f"{slow[0]['duration'] / 1000:.0f} ms, {_named(slow[0]['command'])}" if slow else "–"
        if over := sum(call["duration"] > 20_000 for call in slow):
            redis += f"; {over} of {len(slow)} over {SLOW_US / 1000:.0f} ms over 20 ms"
        edge = max(stands, key=lambda stand: stand.cpu_ms, default=NONE)
        print(
            f"| {name}; {'; '.join(remarks)} | {took_s:.1f} s | {self.worker.longest()} | {edge} | {redis} |",
            flush=True,
        )

    def until(self, condition: Callable[[], Any], *, within_s: float = 1800.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            for each in (self.worker, *self.edges):
                each.check()
            if time.monotonic() > deadline:
                raise CannotMeasure("gave up waiting")
            time.sleep(0.05)

    def newest(self) -> bytes:
        """The id of the directory's newest event."""
        found = self.client.xrevrange("{exmail}:log:directory", count=1)
        return bytes(found[0][0]) if found else b"0-0"

    def told(self, kind: str, after: bytes) -> bool:
        """Whether an event of a kind is among the newest after this one."""
        found = self.client.xrevrange("{exmail}:log:directory", min=b"(" + after, count=20)
        return any(b'"type":"exmail.directory.%b"' % kind.encode() in fields[b"event"] for _, fields in found)

    def command(self, *words: str) -> str:
        """A command of an operator; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "bridge", *words], env=self.environ, cwd=ROOT, capture_output=True, text=True
        )
        return done.stdout + done.stderr

    # What happens, in this order.

    def fill(self) -> None:
        with self.phase(f"first fill of {self.accounts:,}") as remark:
            began, cpu_s = time.monotonic(), self.worker.cpu_s
            self.until(lambda: self.told("synced", b"0-0"))
            took_s, spent_s = time.monotonic() - began, self.worker.cpu_s - cpu_s
            remark(
                f"{self.accounts / took_s:,.0f} accounts/s, {spent_s / self.accounts * 1e6:.0f} µs of the worker each"
            )

    def restart(self) -> None:
        with self.phase("worker started again") as remark:
            before = self.client.get("{exmail}:fence")
            self.worker.stop()
            self.worker.start()
            self.until(lambda: self.client.get("{exmail}:fence") != before)
            began, at = time.monotonic(), self.newest()
            self.town.order("modify", self.accounts - 10, self.accounts - 9)
            self.until(lambda: self.told("synced", at))
            remark(f"a change told after {time.monotonic() - began:.1f} s")

    def delta(self) -> None:
        some, at = self.accounts * 5 // 12, self.newest()
        with self.phase(f"{some:,} changed at once") as remark:
            began = time.monotonic()
            first = self.accounts // 6
            self.town.order("modify", first, first + some)
            remark(f"the provider took {time.monotonic() - began:.1f} s to change them")
            began = time.monotonic()
            self.until(lambda: self.newest() != at)
            remark(f"first told after {time.monotonic() - began:.1f} s")
            self.until(lambda: self.told("synced", at))

    def department(self, what: str) -> None:
        some, at = self.accounts * 11 // 120, self.newest()
        with self.phase(f"department of {some:,}: {what}d") as remark:
            began = time.monotonic()
            self.town.order(what, 0, some)
            self.until(lambda: self.client.scard("{exmail}:barred") > 0 or what == "enable")
            remark(f"first after {time.monotonic() - began:.1f} s")
            self.until(lambda: self.told("synced", at))
            if what == "remove":
                self.until(lambda: not self.client.exists("{exmail}:owed"))

    def reconnect(self) -> None:
        with self.phase("feeds of the edges cut"):
            self.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            self.until(lambda: self.client.pubsub_numsub(f"exmail:mailbox:{alias(self.online - 1)}")[0][1] == 1)
            time.sleep(SETTLED_S)

    def tops(self) -> None:
        with self.phase("positions compared"):
            for _ in range(2):
                self.client.incr("{exmail}:nothing")
                time.sleep(TOPS_S / 2)

    def resync(self) -> None:
        with self.phase("resync") as remark:
            remark(self.command("directory", "resync").strip()[-60:])

    def hold(self) -> None:
        some = self.accounts // 3
        with self.phase(f"{some:,} gone: held"):
            self.town.order("remove", self.accounts - some - 1, self.accounts - 1)
            self.until(lambda: self.client.exists("{exmail}:held"))
            self.until(lambda: len(json.loads(self.client.get("{exmail}:held"))["aliases"]) >= some)

    def release(self) -> None:
        told = self.command("directory", "held")
        digest = told.rpartition("--release ")[2].split()[0].strip("`.,")
        with self.phase("released") as remark:
            remark(self.command("directory", "held", "--release", digest).strip()[-60:])
            self.until(lambda: not self.client.exists("{exmail}:held"))


def _named(command: bytes) -> str:
    words = command.split()
    return (words[0] + (b" " + words[1] if words[0] != b"EVALSHA" and len(words) > 1 else b"")).decode()[:40]


PHASES: Final[Mapping[str, Callable[[Crowd], None]]] = {
    "restart": Crowd.restart,
    "delta": Crowd.delta,
    "disable": lambda crowd: crowd.department("disable"),
    "enable": lambda crowd: crowd.department("enable"),
    "reconnect": Crowd.reconnect,
    "tops": Crowd.tops,
    "resync": Crowd.resync,
    "remove": lambda crowd: crowd.department("remove"),
    "hold": Crowd.hold,
    "release": Crowd.release,
}


def prefill(client: Any, accounts: int, ver: int) -> None:
    """Store what a first fill stores, but for the two accounts that the provider added last."""
    fields = ("alias", "name", "slaves", "parties", "status")
    privacy, kept, revision = Made("full", frozenset(fields), REVISION).as_fields()
    client.hset("{exmail}:made", mapping={"privacy": privacy, "fields": kept, "revision": revision})
    for start in range(0, accounts - 3, 1000):
        people = [person(number) for number in range(start, min(start + 1000, accounts - 3))]
        profiles = {each.alias: to_json({name: getattr(each, name) for name in fields}) for each in people}
        client.hset("{exmail}:directory", mapping=profiles)
        client.hset("{exmail}:slaves", mapping={slave: each.alias for each in people for slave in each.slaves})
    client.set("{exmail}:ver", ver - 2)


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Run the phases, and print a line of a table for each."""
    accounts, online, filled = options.accounts, options.online, options.filled
    with ExitStack() as stack:
        server, client = stack.enter_context(valkey())
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, server.pid, -10)
        client.config_set("slowlog-log-slower-than", SLOW_US)
        client.config_set("slowlog-max-len", 1000)
        # More than there are accounts: others have left.
        write(server.tcp_url, [alias(number) for number in range(options.histories)], each=3)
        town = Town(accounts)
        stack.callback(town.stop)
        common = {"BRIDGE_REDIS_URL": server.tcp_url, "BRIDGE_LOG_LEVEL": "warning", "PYTHONPATH": str(ROOT)}
        provider = {
            "BRIDGE_PROVIDER_API_URL": town.url,
            "BRIDGE_PROVIDER_AUTH_URL": town.url,
            "BRIDGE_PROVIDER_CLIENT_ID": "simulated",
            "BRIDGE_PROVIDER_CLIENT_SECRET": town.secret,
            "BRIDGE_WORKER_ADMIN_LISTEN": "127.0.0.1:0",
        }
        worker = Watched(folder, "worker", common | provider)
        stack.callback(worker.stop)
        base = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
        crowd = Crowd(accounts, online, client, town, worker, environ=base | common)
        ports = [free_port() for _ in range(EDGES)]
        for number, port in enumerate(ports):
            place = folder / str(number)
            place.mkdir()
            listen = {
                "BRIDGE_EDGE_JWT_SECRET": SECRET,
                "BRIDGE_EDGE_LISTEN": f"127.0.0.1:{port}",
                "BRIDGE_EDGE_ADMIN_LISTEN": "127.0.0.1:0",
                "BRIDGE_EDGE_HANDSHAKE_RATE": "0",
            }
            edge = Watched(place, "edge", common | listen)
            stack.callback(edge.stop)
            edge.start()
            crowd.edges.append(edge)
        each = online // EDGES
        for number, port in enumerate(ports):
            wait_for(port, within_s=60.0)
            names = [alias(person) for person in range(number * each, (number + 1) * each)]
            count, _ = stack.enter_context(
                load(port=port, n=each, websocket=True, path="/ws", mailboxes=names, secret=SECRET)
            )
            # Read and answer pings from now on; the answer is not waited for.
            count(2**40, patience_s=86_400.0)
        print(f"{facts()}; {accounts:,} accounts, {online:,} on line, {options.histories:,} mailboxes with a history\n")
        print("| what | time | worker: longest stand, CPU (wall) | edges | Redis: slowest call |")
        print("|---|--:|---|---|---|")
        if filled:
            prefill(client, accounts, town.ver)
        worker.start()
        crowd.until(lambda: crowd.told("synced", b"0-0")) if filled else crowd.fill()
        for name in options.phases:
            PHASES[name](crowd)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crowd", description=__doc__)
    parser.add_argument("--accounts", type=int, default=120_000)
    parser.add_argument("--online", type=int, default=15_000)
    parser.add_argument("--histories", type=int, default=200_000, help="mailboxes in which there are three mails")
    parser.add_argument("--phases", nargs="*", choices=PHASES, default=list(PHASES), help="after the first fill")
    parser.add_argument("--filled", action="store_true", help="without the first fill: the mirror is there already")
    options = parser.parse_args()
    # What was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
