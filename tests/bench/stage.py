"""Processes of a measurement, each on its core: the measured one alone on one, everything else on the other."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import redis

from bridge.journal.embedded import EmbeddedServer
from bridge.journal.keys import Keys
from tests.bench.product import HERE, ROOT, CannotMeasure, Product

KEYS = Keys("exmail")
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
MEASURED = {CORES[0]}
REST = set(CORES[1:]) or MEASURED
EPOCH = "bench000"
SECRET = "x" * 32
_ALL_THREADS = 2  # CPUCLOCK_SCHED of clock_getcpuclockid(3), which Python does not have
_BUSY = 10.0  # how many times longer something may take on a machine that has other work
_TOPS_S = 16.0
"""Somewhat more than edges let pass before they first compare positions with the journal (docs/architecture.md)."""


def facts() -> str:
    """What this was measured on."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), model)
    return (
        f"{len(CORES)} cores of {model}, {platform.system()} {_version(platform.release())}, "
        f"Python {platform.python_version()}"
    )


def _version(release: str) -> str:
    """Without what a distributor, or whoever made the virtual machine, put behind it."""
    found = re.match(r"[\d.]+", release)
    return found[0] if found else release


class Process:
    """A process that is measured: CPU seconds and resident memory, read from the kernel."""

    def __init__(self, pid: int, is_alive: Callable[[], bool]) -> None:
        self.pid = pid
        self.is_alive = is_alive
        self.admin_port = 0
        self.ready_cpu_s = 0.0
        self._ready_at = 0.0

    def is_ready(self) -> None:
        """Note what the start took."""
        self.ready_cpu_s, self._ready_at = self.cpu_s, time.monotonic()

    def unsettled_s(self, needed_s: float) -> float:
        """How long to wait with what takes so long, so that no first comparison of positions falls into it: that would
        notice what is published past the journal. Later ones look at the number of commits first; there are none."""
        since = time.monotonic() - self._ready_at
        return max(0.0, _TOPS_S - since) if since + _BUSY * needed_s > _TOPS_S - 2 else 0.0

    @property
    def cpu_s(self) -> float:
        """Of all its threads, to the nanosecond: /proc counts in ticks of 10 ms."""
        return time.clock_gettime((~self.pid << 3) | _ALL_THREADS)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It stands still in the block."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    @property
    def rss_kb(self) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


@contextmanager
def valkey(binary: Path | None = None) -> Iterator[tuple[EmbeddedServer, Any]]:
    """A server with its file on, as in production."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(Path(folder), port=free_port(), binary=binary) as server,
    ):
        os.sched_setaffinity(server.pid, REST)
        with redis.Redis.from_url(server.tcp_url) as client:
            yield server, client


@contextmanager
def spawned(command: Sequence[str], *, cores: set[int], name: str, environ: Mapping[str, str]) -> Iterator[Process]:
    """A program on these cores, ended afterwards.

    Raises:
        CannotMeasure: it ended by itself; with the last line that it said.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        ended: int | None = None
        try:
            yield Process(process.pid, lambda: process.poll() is None)
            ended = process.poll()
        except Exception:
            ended = process.poll()
            if ended is None:
                raise
        finally:
            process.terminate()
            process.wait(10)
        if ended is not None:
            log.seek(0)
            said = log.read().decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise CannotMeasure(f"{name} ended with {ended}: {said[-1][:500]}")


def program(*words: str, cores: set[int], product: Product = HERE, **environ: str) -> AbstractContextManager[Process]:
    """``python -m bridge …`` of a product on these cores; settings that it does not have are left out."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    # The folder that it runs in must not be where its code comes from.
    base |= {"PYTHONPATH": str(product.folder), "PYTHONSAFEPATH": "1", "BRIDGE_LOG_LEVEL": "warning"}
    known = {name: value for name, value in environ.items() if product.knows(name)}
    command = [sys.executable, "-m", "bridge", *words]
    return spawned(command, cores=cores, name=f"{words[0]} of {product.name}", environ=base | known)


@contextmanager
def edge(redis_url: str, product: Product = HERE, **environ: str) -> Iterator[tuple[Process, int]]:
    """One edge process, alone on its core; ``environ`` are further settings."""
    port, admin_port = free_port(), free_port()
    with program(
        "edge",
        cores=MEASURED,
        product=product,
        BRIDGE_REDIS_URL=redis_url,
        BRIDGE_EDGE_JWT_SECRET=SECRET,
        BRIDGE_EDGE_LISTEN=f"127.0.0.1:{port}",
        BRIDGE_EDGE_DRAIN="0",
        BRIDGE_EDGE_HANDSHAKE_RATE="0",
        BRIDGE_EDGE_ADMIN_LISTEN=f"127.0.0.1:{admin_port}",
        **environ,
    ) as process:
        process.admin_port = admin_port
        wait_for(port, process.is_alive)
        process.is_ready()
        yield process, port


def subscribers(
    port: int, n: int, *, websocket: bool, mailboxes: Sequence[str] | None = None, **wanted: Any
) -> AbstractContextManager[tuple[Any, dict[str, float]]]:
    """Subscribers of an edge. With ``mailboxes`` each brings a token for its own, or all for the one; without, the
    tickets of :func:`prepare`. ``wanted``: further fields of :class:`tests.bench.load.Load`."""
    path = "/ws" if websocket else "/events"
    credentials: dict[str, Any] = {"path": f"{path}?ticket=B%d"}
    if mailboxes is not None:
        credentials = {"path": path, "mailboxes": mailboxes, "secret": SECRET}
    return load(port=port, n=n, websocket=websocket, **credentials, **wanted)


@contextmanager
def load(**wanted: Any) -> Iterator[tuple[Any, dict[str, float]]]:
    """A load client with connections to a server, the fields of :class:`tests.bench.load.Load`; yield what asks it to
    count, and how the handshakes went."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/bench/load.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, REST),
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def order(**fields: Any) -> None:
        process.stdin.write(json.dumps(fields).encode() + b"\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]

    def answer() -> dict[str, float]:
        line = process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise CannotMeasure("the load client has died")
        fields: dict[str, float] = json.loads(line)
        return fields

    try:
        order(host="127.0.0.1", **wanted)
        opened = answer()

        def count(frames: int, **options: float | str) -> Any:
            order(frames=frames, **options)
            return answer

        yield count, opened
    finally:
        process.kill()
        process.wait()


def prepare(client: Any, mailboxes: Sequence[str], *, known_position: bool = True) -> None:
    """A ticket for each subscriber, ``B0``, ``B1`` …, and where it is asked for a mailbox at seq 0 of our epoch."""
    pipeline = client.pipeline(transaction=False)
    fresh = int(time.time() * 1000) + 86_400_000
    for number, mailbox in enumerate(mailboxes):
        claims = {"mailboxes": [mailbox], "sid": None, "scope": [], "expires": time.time() + 86_400}
        digest = hashlib.sha256(f"B{number}".encode()).hexdigest()
        pipeline.set(KEYS.ticket(digest), json.dumps(claims))
        if known_position:
            pipeline.hset(KEYS.state(mailbox), mapping=_state(fresh))
    pipeline.execute()


def place(client: Any, mailboxes: Sequence[str]) -> None:
    """Put mailboxes at seq 0 of our epoch, without history, by the documented keys (docs/events.md), which are the same
    in every version."""
    pipeline = client.pipeline(transaction=False)
    fresh = int(time.time() * 1000) + 86_400_000
    for mailbox in mailboxes:
        pipeline.hset(f"{{exmail}}:mailbox:{mailbox}", mapping=_state(fresh))
        pipeline.delete(f"{{exmail}}:log:{mailbox}")
    pipeline.execute()


def _state(as_of: int) -> dict[str, str | int]:
    return {"generation": "0", "epoch": EPOCH, "seq": 0, "unread": 1, "as_of": as_of}


def event(mailbox: str, seq: int, mail_id: str) -> bytes:
    """An event as the worker would have published it, 500 bytes."""
    return (
        b'{"specversion":"1.0","id":"%b-%d","sequence":"%016d","source":"/exmail/mailbox/%b","type":"exmail.mail.new",'
        b'"subject":"%b","time":"2026-11-24T05:20:13.538Z","datacontenttype":"application/json","data":{"mailbox":"%b",'
        b'"mail_id":"%b","sender":"\\"Test\\" <test@gzdev.com>","receiver":"%b","mail_subject":"TestMail",'
        b'"summary":"TestMail Content, and as much of it as a preview shows","unread":549,"as_of":1795497613538}}'
    ) % (EPOCH.encode(), seq, seq, *(mailbox.encode(),) * 3, mail_id.encode(), mailbox.encode())


class Publisher:
    """Publishes events by raw pipelines: what a worker sends, without a worker's work."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._replies = self._sock.makefile("rb")

    def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Send all in one write and wait for Redis's answers."""
        self._sock.sendall(
            b"".join(
                b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(channel), channel.encode(), len(body), body)
                for channel, body in events
            )
        )
        for _ in events:
            self._replies.readline()

    def record(self, mailbox: str, seq: int, body: bytes) -> None:
        """Store and publish one event as a worker does, by the documented keys (docs/events.md): an edge that compares
        positions with the journal finds what it was told."""
        self._sock.sendall(
            _command("MULTI")
            + _command("XADD", f"{{exmail}}:log:{mailbox}", "MAXLEN", "~", "200", f"{seq}-0", "event", body)
            + _command("HSET", f"{{exmail}}:mailbox:{mailbox}", "seq", str(seq))
            + _command("PUBLISH", f"exmail:mailbox:{mailbox}", body)
            + _command("EXEC")
        )
        # +OK, QUEUED three times, *3, the id in two lines, and two numbers.
        answers = [self._replies.readline() for _ in range(9)]
        if not answers[4].startswith(b"*3"):
            raise CannotMeasure(f"an event was not stored: {answers[4].decode().strip()}")


def _command(*words: str | bytes) -> bytes:
    encoded = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n%b" % (len(encoded), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded))


def wait_for(port: int, is_alive: Callable[[], bool] = lambda: True, *, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline or not is_alive():
                raise
            time.sleep(0.02)
        else:
            return


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
