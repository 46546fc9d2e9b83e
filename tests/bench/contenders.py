"""Who is measured beside the bridge: how each is started, and how an event gets into it.

Each runs alone on one core. The floor and the bare Python server read Redis as the edge does; nchan and Centrifugo are
published to over HTTP, a thousandth of the work of a broadcast.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.bench.load import stamp
from tests.bench.product import HERE, ROOT, CannotMeasure
from tests.bench.stage import MEASURED, Process, Publisher, edge, event, free_port, load, place, spawned, wait_for
from tests.bench.stage import SECRET as OURS

Send = Callable[[Sequence[tuple[int | None, int]]], None]
CHANNEL: Final = "bench"
NCHAN: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_ONE: Final = "all@bench.cn"
_HEAD_IS_OVER: Final = "\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Running:
    """A server with its port. ``send`` takes pairs: a subscriber's number, ``None`` for all, and a sequence number."""

    process: Process
    port: int
    send: Send
    websocket: dict[str, Any]
    sse: dict[str, Any]

    @contextmanager
    def subscribers(self, n: int, *, websocket: bool) -> Iterator[tuple[Any, dict[str, float]]]:
        """``n`` of them, numbered from 0."""
        with load(port=self.port, n=n, websocket=websocket, **(self.websocket if websocket else self.sse)) as opened:
            yield opened


@dataclass(frozen=True, slots=True)
class Contender:
    """``start`` takes the port of a Redis, a client of it, and, for events to one each, how many subscribers."""

    name: str
    start: Callable[..., Any]
    unicast: bool = False
    is_ours: bool = False
    options: dict[str, Path] = field(default_factory=dict)

    def running(self, redis_port: int, client: Any, *, mailboxes: int | None = None) -> Any:
        """A context manager; it yields a :class:`Running`."""
        return self.start(redis_port, client, mailboxes, **self.options)


def installed(*, folder: Path, nchan: Path, centrifugo: Path | None) -> tuple[list[Contender], list[str]]:
    """What this machine has, ours first, and a line for each that it lacks. ``folder`` takes what is compiled."""
    found, missing = [Contender("Exmail Bridge", _ours, unicast=True, is_ours=True)], []
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        missing.append("no C compiler, so no floor and no ratios: apt install gcc")
    else:
        binary = folder / "floor"
        source = ROOT / "tests/bench/floor.c"
        subprocess.run([compiler, "-O2", "-o", str(binary), str(source)], check=True, timeout=120)
        found.append(Contender("C floor", _floor, unicast=True, options={"binary": binary}))
    found.append(Contender("bare Python", _bare, unicast=True))
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if nginx is None or not nchan.exists():
        missing.append("no nchan: apt install nginx-light libnginx-mod-nchan, or --nchan MODULE.so")
    else:
        found.append(Contender("nchan", _nchan, options={"nginx": Path(nginx), "module": nchan, "folder": folder}))
    program = centrifugo or shutil.which("centrifugo")
    if program is None:
        missing.append("no Centrifugo: put centrifugo on PATH, or --centrifugo PATH")
    elif not os.access(program, os.X_OK):
        raise CannotMeasure(f"{program} is no program")
    else:
        found.append(Contender("Centrifugo", _centrifugo, options={"binary": Path(program), "folder": folder}))
    return found, missing


@contextmanager
def _ours(redis_port: int, client: Any, mailboxes: int | None) -> Iterator[Running]:
    names = [_ONE] if mailboxes is None else [f"u{number}@bench.cn" for number in range(mailboxes)]
    place(client, names)
    publisher = Publisher(redis_port)

    def send(events: Sequence[tuple[int | None, int]]) -> None:
        if mailboxes is None:
            for _, seq in events:
                publisher.record(_ONE, seq, event(_ONE, seq, stamp()))
            return
        made = ((names[to or 0], seq) for to, seq in events)
        publisher.publish([(f"exmail:mailbox:{name}", event(name, seq, stamp())) for name, seq in made])

    with edge(f"redis://127.0.0.1:{redis_port}/0", HERE) as (process, port):
        asked = {"mailboxes": names, "secret": OURS}
        yield Running(process, port, send, {"path": "/ws", **asked}, {"path": "/events", **asked})


@contextmanager
def _floor(redis_port: int, client: Any, mailboxes: int | None, *, binary: Path) -> Iterator[Running]:
    port = free_port()
    with _reads_redis([str(binary), str(port), str(redis_port), CHANNEL], "the floor", port, redis_port) as running:
        yield running


@contextmanager
def _bare(redis_port: int, client: Any, mailboxes: int | None) -> Iterator[Running]:
    port = free_port()
    source = str(ROOT / "tests/bench/bare.py")
    command = [sys.executable, source, str(port), str(redis_port), CHANNEL]
    with _reads_redis(command, "the bare server", port, redis_port) as running:
        yield running


@contextmanager
def _reads_redis(command: Sequence[str], name: str, port: int, redis_port: int) -> Iterator[Running]:
    """A server that reads one channel; each message says for which subscriber it is."""
    publisher = Publisher(redis_port)

    def send(events: Sequence[tuple[int | None, int]]) -> None:
        publisher.publish(
            [
                (CHANNEL, b"%b\n%b" % (b"*" if to is None else b"%d" % to, event(_ONE, seq, stamp())))
                for to, seq in events
            ]
        )

    with spawned(command, cores=MEASURED, name=name, environ=os.environ) as process:
        wait_for(port, process.is_alive)
        process.is_ready()
        asked = {"opened_by": _HEAD_IS_OVER}
        yield Running(process, port, send, {"path": "/ws?u=%d", **asked}, {"path": "/sse?u=%d", **asked})


@contextmanager
def _nchan(
    redis_port: int, client: Any, mailboxes: int | None, *, nginx: Path, module: Path, folder: Path
) -> Iterator[Running]:
    port = free_port()
    config = (ROOT / "tests/bench/nchan.conf").read_text(encoding="utf-8")
    path = folder / "nchan.conf"
    path.write_text(config.replace("@MODULE@", str(module)).replace("@PORT@", str(port)), encoding="utf-8")
    command = [str(nginx), "-p", str(folder), "-c", str(path)]
    with spawned(command, cores=MEASURED, name="nginx", environ=os.environ) as master:
        wait_for(port, master.is_alive)
        process = Process(_only_child(master.pid), master.is_alive)
        process.is_ready()
        asked = {"opened_by": _HEAD_IS_OVER}
        send = _over_http(port, "/pub", b"%b")
        yield Running(process, port, send, {"path": "/ws", **asked}, {"path": "/sse", **asked})


def _only_child(pid: int) -> int:
    """nginx's worker: its master does nothing."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        if children:
            return int(children[0])
        time.sleep(0.02)
    raise CannotMeasure("nginx has no worker")


@contextmanager
def _centrifugo(
    redis_port: int, client: Any, mailboxes: int | None, *, binary: Path, folder: Path
) -> Iterator[Running]:
    port = free_port()
    command = [str(binary), "-c", str(ROOT / "tests/bench/centrifugo.json")]
    command += ["--http_server.address", "127.0.0.1", "--http_server.port", str(port)]
    environ = {**os.environ, "GOMAXPROCS": "1"}
    with spawned(command, cores=MEASURED, name="Centrifugo", environ=environ) as process:
        wait_for(port, process.is_alive)
        process.is_ready()
        subscribe = json.dumps({"subs": {"all": {}}}, separators=(",", ":"))
        quoted = subscribe.replace("{", "%7B").replace("}", "%7D").replace('"', "%22").replace(":", "%3A")
        opened = {"opened_by": '"connect"'}
        yield Running(
            process,
            port,
            _over_http(port, "/api/publish", b'{"channel":"all","data":%b}'),
            {"path": "/connection/uni_websocket", "say": subscribe, **opened},
            {"path": f"/connection/uni_sse?cf_connect={quoted}", **opened},
        )


def _over_http(port: int, path: str, around: bytes) -> Send:
    """What publishes by one POST after the other on one connection."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=20)
    answers = sock.makefile("rb")

    def send(events: Sequence[tuple[int | None, int]]) -> None:
        for _, seq in events:
            body = around % event(_ONE, seq, stamp())
            sock.sendall(
                b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (path.encode(), len(body), body)
            )
            status = answers.readline()
            length = 0
            while (line := answers.readline().lower()) not in (b"\r\n", b""):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            answers.read(length)
            if not status.startswith(b"HTTP/1.1 2"):
                raise CannotMeasure(f"an event was refused: {status.decode('latin-1').strip()}")

    return send
