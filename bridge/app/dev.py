"""``dev``: Redis, a simulated provider, worker, edge and a page, in one process and one folder.

Everything that can be refused is refused before anything runs: the folder, the settings, the port. What was started
last ends first, so that the embedded server outlasts the worker's last commit.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge import __version__
from bridge.app.dev_folder import KEPT, DevFolder, Key, given, is_given
from bridge.app.dev_page import DevPage
from bridge.app.edge import bind, serve_edge
from bridge.app.parts import redis_address
from bridge.app.worker import serve_worker
from bridge.events import from_json
from bridge.journal.embedded import EmbeddedServer, EmbeddedServerError
from bridge.journal.keys import Keys
from bridge.journal.mirror import Mirror
from bridge.obs.logs import TextFormatter, setup_logs
from bridge.obs.metrics import Metrics
from bridge.settings import Address, Settings
from bridge.simulator import Simulator, World
from bridge.simulator.seeded import seeded
from bridge.supervision import Shutdown, StartRefused

log = logging.getLogger(__name__)

_SEED: Final = 2026
_USERS: Final = 20
_MAILS_KEPT: Final = 20_000
_RATE_PER_S: Final = 1.0
_LISTENER_S: Final = 2.0
_MOST_ACCOUNTS: Final = 500
_MADE_UP: Final[dict[Key, str]] = {
    # A killed leader's lease holds up the next start, and silence should be seen while somebody looks.
    ("worker", "lease"): "3",
    ("provider", "listen_silence"): "5",
}


@dataclass(frozen=True, slots=True)
class _Running:
    """What the greeting tells of."""

    url: str
    mailbox: str | None
    settings: Settings
    folder: DevFolder
    provider_url: str


async def run_dev(
    environ: Mapping[str, str], *, folder: Path, listen: Address | None, real_provider: bool
) -> None:
    """Run until Ctrl-C or SIGTERM.

    ``listen`` is where the page is served, before what is set; ``folder`` keeps everything. With ``real_provider``
    the configured provider is listened to, and there is no simulator.

    Raises:
        StartRefused, SettingsError: in one line why nothing was started.
    """
    async with AsyncExitStack() as stack:
        dev_folder = stack.enter_context(DevFolder(folder))
        entries, used = given(environ, simulated=not real_provider)
        _make_up(entries, dev_folder.kept(), simulated=not real_provider)
        settings = dev_folder.load(entries, used)
        settings.require_for("worker")
        settings.require_for("edge")
        stack.callback(_start_logs(settings, dev_folder.path / "dev.log").close)
        shutdown = stack.enter_context(Shutdown())
        sock = stack.enter_context(_bind(listen or settings.edge.listen))
        used["BRIDGE_EDGE_LISTEN"] = entries["edge", "listen"] = str(Address(*sock.getsockname()[:2]))
        if not is_given(entries, "redis", "url"):
            entries["redis", "url"] = stack.enter_context(_embedded(dev_folder.path / "redis")).url
        _choose_admin_ports(entries, settings)
        simulator = None
        if not real_provider:
            simulator = await stack.enter_async_context(await _simulate(settings))
            entries["provider", "api_url"] = entries["provider", "auth_url"] = simulator.url
        settings = dev_folder.load(entries, used)
        await _serve(settings, dev_folder, sock, simulator, shutdown)
    sys.stdout.write("stopped\n")


def _make_up(entries: dict[Key, Any], kept: Mapping[Key, Any], *, simulated: bool) -> None:
    """Fill in what was not set."""
    if is_given(entries, "edge", "jwks_url"):
        raise StartRefused("`dev` signs its page's cookie by a secret of its own: unset BRIDGE_EDGE_JWKS_URL")
    made_up = dict(_MADE_UP) if simulated else {}
    made_up |= {key: kept.get(key) or secrets.token_urlsafe(36) for key in KEPT if simulated or key[0] == "edge"}
    if simulated:
        made_up["provider", "client_id"] = "simulated"
    for key, value in made_up.items():
        if not is_given(entries, *key):
            entries[key] = value


def _start_logs(settings: Settings, path: Path) -> logging.Handler:
    """Send the logs to a file; what matters, or what the operator asked for, to the terminal too."""
    file = path.open("w", encoding="utf-8")
    setup_logs(settings.log.level, "text" if settings.log.format == "auto" else settings.log.format, stream=file)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(TextFormatter())
    asked_for = settings.sources["BRIDGE_LOG_LEVEL"] != "default"
    terminal.setLevel(settings.log.level.upper() if asked_for else logging.WARNING)
    logging.getLogger().addHandler(terminal)
    return logging.getLogger().handlers[0]


def _bind(address: Address) -> socket.socket:
    try:
        return bind(address)
    except OSError as error:
        raise StartRefused(f"{error.strerror}; --port 0 takes any free one") from None


def _start_redis(stack: ExitStack | AsyncExitStack, directory: Path) -> str:
    """Start an embedded server that ends with ``stack``; return its URL."""
    server = EmbeddedServer(directory)
    try:
        stack.enter_context(server)
    except EmbeddedServerError as error:
        raise StartRefused(str(error)) from None
    return server.url


def _free_address(wanted: Address) -> Address:
    """Return ``wanted``, or the same host with any free port if that one is taken."""
    for port in (wanted.port, 0):
        try:
            with socket.create_server((wanted.host, port)) as probe:
                return Address(wanted.host, probe.getsockname()[1])
        except OSError:
            continue
    raise StartRefused(f"cannot listen on {wanted.host}")


async def _simulate(settings: Settings) -> Simulator:
    world = World(
        _SEED,
        users=_USERS,
        client_id=settings.provider.client_id,
        client_secret=settings.provider.client_secret(),
        mails_kept=_MAILS_KEPT,
    )
    return await Simulator.start(world)


async def _serve(
    settings: Settings, folder: DevFolder, sock: socket.socket, simulator: Simulator | None, shutdown: Shutdown
) -> None:
    """Run worker, edge, page and traffic until the shutdown."""
    stop = shutdown.event
    accepting = asyncio.Event()
    url = f"http://{_reachable(Address(*sock.getsockname()[:2]))}/"
    async with AsyncExitStack() as stack:
        if simulator is not None:
            accounts: Accounts = _Simulated(simulator)
        else:
            redis = redis_address(settings).client()
            stack.push_async_callback(redis.aclose)
            accounts = _Mirrored(Mirror(redis, Keys(settings.namespace)))
        page = DevPage(settings, simulator=simulator, accounts=accounts)
        worker = serve_worker(settings, Metrics(version=__version__, edge=False), stop, admin=True)
        edge = serve_edge(
            settings,
            Metrics(version=__version__, worker=False),
            stop,
            sock=sock,
            admin=True,
            add_routes=page.mount,
            ready=lambda _: accepting.set(),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(worker, name="worker")
                tasks.create_task(edge, name="edge")
                traffic = tasks.create_task(_enliven(simulator, page, accepting), name="traffic")
                await _either(accepting, stop)
                if not stop.is_set():
                    folder.announce(url)
                    sys.stdout.write(_greeting(url, settings, folder, simulator, next(iter(await accounts()), None)))
                    sys.stdout.flush()
                await stop.wait()
                traffic.cancel()
        except ExceptionGroup as group:
            raise _plainest(group) from None


async def _enliven(simulator: Simulator | None, page: DevPage, accepting: asyncio.Event) -> None:
    """Have things happen to everybody, and more often in the mailbox that is looked at."""
    if simulator is None:
        return
    await accepting.wait()
    # What comes before the worker listens is lost to it, and would look like a fault of ours.
    with suppress(TimeoutError):
        await simulator.listeners.wait(timeout_s=_LISTENER_S)
    simulator.traffic.rate_per_s = _RATE_PER_S
    world, chance = simulator.world, seeded(_SEED, "page")
    while True:
        await asyncio.sleep(chance.uniform(2.5, 5.5))
        mailbox = page.mailbox
        if simulator.traffic.paused or mailbox not in world.accounts:
            continue
        if chance.random() < _READS:
            world.read(mailbox, chance.randint(1, 6))
        else:
            world.deliver_mail(mailbox)
