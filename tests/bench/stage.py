"""Processes of a measurement, each on its core: the measured one alone on one, everything else on the other."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from bridge.journal.embedded import EmbeddedServer
from bridge.journal.keys import Keys

ROOT = Path(__file__).parents[2]
KEYS = Keys("exmail")
CORES = sorted(os.sched_getaffinity(0))
MEASURED = {CORES[0]}
REST = set(CORES[1:]) or MEASURED
EPOCH = "bench000"


def facts() -> str:
    """What this was measured on."""
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), model)
    return (
        f"{len(CORES)} cores of {model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


class Process:
    """A process that is measured: CPU seconds and resident memory, read from the kernel."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.admin_port = 0

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

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
def program(*words: str, cores: set[int], **environ: str) -> Iterator[Process]:
    """``python -m bridge …`` on these cores."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_")}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge", *words],
            env=base | {"PYTHONPATH": str(ROOT), "BRIDGE_LOG_LEVEL": "warning"} | environ,
            stdout=subprocess.DEVNULL,
            stderr=log,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        try:
            yield Process(process.pid)
            if process.poll() is not None:
                log.seek(0)
                raise SystemExit(log.read().decode())
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def edge(redis_url: str) -> Iterator[tuple[Process, int]]:
    """One edge process, alone on its core."""
    port, admin_port = free_port(), free_port()
    with program(
        "edge",
        cores=MEASURED,
        BRIDGE_REDIS_URL=redis_url,
        BRIDGE_EDGE_JWT_SECRET="x" * 32,
        BRIDGE_EDGE_LISTEN=f"127.0.0.1:{port}",
        BRIDGE_EDGE_DRAIN="0",
        BRIDGE_EDGE_HANDSHAKE_RATE="0",
        BRIDGE_EDGE_ADMIN_LISTEN=f"127.0.0.1:{admin_port}",
    ) as process:
        process.admin_port = admin_port
        wait_for(port)
        yield process, port


@contextmanager
def subscribers(port: int, n: int, *, websocket: bool) -> Iterator[tuple[Any, dict[str, float]]]:
    """A load client with ``n`` connections; yield what asks it to count, and how the handshakes went."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/bench/load.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, REST),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    path = "/ws" if websocket else "/events"

    def order(**fields: Any) -> None:
        process.stdin.write(json.dumps(fields).encode() + b"\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]

    def answer() -> dict[str, float]:
        line = process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise SystemExit("the load client has died")
        fields: dict[str, float] = json.loads(line)
        return fields

    try:
        order(host="127.0.0.1", port=port, path=path + "?ticket=B%d", n=n, websocket=websocket)
        opened = answer()

        def count(frames: int, **options: float) -> Any:
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
            state = {"generation": "0", "epoch": EPOCH, "seq": 0, "unread": 1, "as_of": fresh}
            pipeline.hset(KEYS.state(mailbox), mapping=state)
    pipeline.execute()


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


def wait_for(port: int, *, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
