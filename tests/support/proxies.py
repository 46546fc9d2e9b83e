"""A real HAProxy or Caddy with the files that come with the bridge; only addresses, ports and folders are changed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.deploy.programs import ROOT, accepts, running
from tests.support.processes import has_ipv6
from tests.support.waiting import PATIENCE_S, until

FILES = ROOT / "deploy" / "proxy"
EDGES = ("127.0.0.1", "127.0.0.2")
"""Where the files have edges: Caddy asks for the health of all at one port."""


@dataclass(frozen=True)
class Place:
    """Where a proxy serves, and what it stands before.

    ``edge_port``, ``health_port``: the same on each of the addresses ``EDGES``. ``chain``: with TLS and HTTP/2, by this
    certificate and key. ``page``: what it answers to ``/page.html``. ``patience_s``: how long it waits for streams when
    it ends, and HAProxy after a reload. ``try_s``: for how long Caddy looks for an edge that takes a request.
    """

    port: int
    edge_port: int
    health_port: int
    signon_port: int = 1
    chain: Path | None = None
    page: Path | None = None
    patience_s: int = 1
    try_s: int = 1

    @property
    def url(self) -> str:
        return f"{'https' if self.chain else 'http'}://localhost:{self.port}"

    @property
    def edges(self) -> list[str]:
        """The addresses of the edges."""
        return [f"{host}:{self.edge_port}" for host in EDGES]


@dataclass(frozen=True)
class Running:
    """``log``: where requests are noted. ``reload``: what an operator does after a change."""

    log: Path
    reload: Callable[[], Awaitable[None]]

    def noted(self) -> str:
        """What the log holds; Caddy makes the file with its first line."""
        return self.log.read_text() if self.log.exists() else ""


class Proxy(Protocol):
    """Starts one, with its file, until the block ends."""

    def __call__(self, program: str, folder: Path, place: Place) -> AbstractAsyncContextManager[Running]: ...


def changed(text: str, changes: Sequence[tuple[str, str]]) -> str:
    """The text with each of these replaced.

    Raises:
        AssertionError: it no longer holds one of them.
    """
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def running_haproxy(program: str, folder: Path, place: Place) -> AsyncIterator[Running]:
    """As a service does: a master process, and a worker that a reload replaces."""
    bind = f"bind 127.0.0.1:{place.port}"
    if place.chain is not None:
        bind += f" ssl crt {place.chain} alpn h2,http/1.1"
    page = f"http-request return status 200 content-type text/html file {place.page} if {{ path /page.html }}"
    changes = [
        ("log /dev/log local0", "log stdout format raw local0"),
        ("    user haproxy\n    group haproxy\n", ""),
        ("maxconn 32768", "maxconn 4000"),
        # Asked often; and an edge that is slow on this machine is none that is away.
        ("inter 1s", "inter 200ms"),
        ("timeout check 2s", "timeout check 60s"),
        ("hard-stop-after 60s", f"hard-stop-after {place.patience_s}s"),
        ("    bind :80\n", f"    {bind}\n" + (f"    {page}\n" if place.page else "")),
        ("    bind [::]:80 v6only\n", f"    {bind.replace('127.0.0.1', '[::1]', 1)}\n" if has_ipv6() else ""),
        (":8080", f":{place.edge_port}"),
        ("9102", str(place.health_port)),
        ("127.0.0.1:8081", f"127.0.0.1:{place.signon_port}"),
    ]
    file, log = folder / "haproxy.cfg", folder / "haproxy.log"
    file.write_text(changed((FILES / "haproxy.cfg").read_text(), changes))
    async with running(program, "-W", "-f", str(file), log=log) as master:

        async def reload() -> None:
            master.send_signal(signal.SIGUSR2)

        await until(lambda: accepts(place.port))
        yield Running(log, reload)


@asynccontextmanager
async def running_caddy(program: str, folder: Path, place: Place) -> AsyncIterator[Running]:
    """With an admin socket and storage of its own."""
    site = f"https://localhost:{place.port}" if place.chain else f"http://:{place.port}"
    tls = f"tls {place.chain} {place.chain}" if place.chain else ""
    page = f"handle /page.html {{\nroot * {place.page.parent}\nfile_server\n}}" if place.page else ""
    changes = [
        ("health_interval 1s", "health_interval 200ms"),
        ("health_timeout 2s", "health_timeout 60s"),
        ("lb_try_duration 1s", f"lb_try_duration {place.try_s}s"),
        ("grace_period 3s", f"grace_period {place.patience_s}s\nauto_https disable_redirects"),
        ("{\n\t# A Caddy that", f"{{\nadmin unix/{folder}/admin\n\t# A Caddy that"),
        ("oa.corp.com {", f"{site} {{\n{tls}\nbind 127.0.0.1\n{page}\n"),
        ("/var/log/caddy/", f"{folder}/"),
        (":8080", f":{place.edge_port}"),
        ("9102", str(place.health_port)),
        ("127.0.0.1:8081", f"127.0.0.1:{place.signon_port}"),
    ]
    file = folder / "Caddyfile"
    file.write_text(changed((FILES / "Caddyfile").read_text(), changes))
    environ = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    words = ("--config", str(file), "--adapter", "caddyfile")
    async with running(program, "run", *words, log=folder / "caddy.log", **environ):

        async def reload() -> None:
            # --force: the file is the same one.
            told = (program, "reload", *words, "--force", "--address", f"unix/{folder}/admin")
            async with running(*told, log=folder / "reload.log", **environ) as reloading:
                assert await asyncio.wait_for(reloading.wait(), PATIENCE_S) == 0

        await until(lambda: accepts(place.port))
        yield Running(folder / "exmail-bridge.log", reload)


PROXIES: dict[str, Proxy] = {"haproxy": running_haproxy, "caddy": running_caddy}
