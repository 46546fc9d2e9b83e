"""``dev``: Redis, a simulated provider, worker, edge and a page, in one process and one folder.

Everything that can be refused is refused before anything runs: the folder, the settings, the port. What was started
last ends first, so that the embedded server outlasts the worker's last commit.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from bridge import __version__
from bridge.app.edge import serve_edge
from bridge.app.fitness import check_fitness
from bridge.app.parts import redis_address
from bridge.app.public_port import bind
from bridge.app.worker import serve_worker
from bridge.dev.folder import KEPT, DevFolder, Entries, given, is_given, make_secret
from bridge.dev.greeting import Greeting
from bridge.dev.page import Accounts, DevPage
from bridge.journal.embedded import EmbeddedServer, EmbeddedServerError
from bridge.journal.errors import JournalError
from bridge.journal.keys import Keys
from bridge.journal.mirror import Mirror
from bridge.obs.logs import TextFormatter, setup_logs
from bridge.obs.metrics import Metrics
from bridge.settings import Address, Settings
from bridge.simulator import Simulator, World
from bridge.simulator.seeded import seeded
from bridge.supervision import Shutdown, StartRefused

_SEED: Final = 2026
_USERS: Final = 20
_MAILS_KEPT: Final = 20_000
_RATE_PER_S: Final = 1.0
_READS: Final = 0.2
_LISTENER_S: Final = 2.0
_MOST_ACCOUNTS: Final = 500

_DEV_DEFAULTS: Final = {
    ("provider", "client_id"): "simulated",
    # On this machine; where exactly is known once the simulator runs.
    ("provider", "api_url"): "http://127.0.0.1:0",
    ("provider", "auth_url"): "http://127.0.0.1:0",
    # Short, so that somebody who cuts the connection sees the effect soon.
    ("provider", "listen_silence"): "5",
    # The lease of a `dev` that was killed holds up the next one.
    ("worker", "lease"): "3",
}


async def run_dev(environ: Mapping[str, str], *, folder: Path, listen: Address | None, real_provider: bool) -> None:
    """Run until Ctrl-C or SIGTERM.

    ``listen`` is where the page is served, before what is set; ``folder`` keeps everything. With ``real_provider``
    the configured provider is listened to, and there is no simulator.

    Raises:
        StartRefused, SettingsError: in one line why nothing runs.
    """
    async with AsyncExitStack() as stack:
        home = stack.enter_context(DevFolder(folder))
        entries, environ = given(environ, simulated=not real_provider)
        _make_up(entries, home.kept(), simulated=not real_provider)
        settings = home.load(entries, environ)
        check_fitness(settings, "worker", "edge")
        # The page shows what its buttons cause; problems with the real provider go to the terminal.
        _start_logs(stack, settings, home.path / "dev.log", aloud=logging.WARNING if real_provider else logging.ERROR)
        shutdown = stack.enter_context(Shutdown())
        sock = stack.enter_context(closing(await _bind(listen or settings.edge.listen)))
        # Any free port may have been asked for; the file gets the one that was bound.
        entries["edge", "listen"] = str(Address(*sock.getsockname()[:2]))
        if not is_given(entries, "redis", "url"):
            entries["redis", "url"] = _start_redis(stack, home.path / "redis")
        simulator = None
        if not real_provider:
            simulator = await stack.enter_async_context(await _simulate(settings))
            entries["provider", "api_url"] = entries["provider", "auth_url"] = simulator.url
        _move_taken_admin_ports(entries, settings)
        settings = home.load(entries, {name: value for name, value in environ.items() if name != "BRIDGE_EDGE_LISTEN"})
        await _serve(settings, home, sock, simulator, shutdown.event)
    sys.stdout.write("stopped\n")


# -- before anything runs


def _make_up(entries: Entries, kept: Entries, *, simulated: bool) -> None:
    """Fill in what nobody has set."""
    if is_given(entries, "edge", "jwks_url"):
        raise StartRefused("`dev` signs the cookie of its page with a secret of its own: unset BRIDGE_EDGE_JWKS_URL")
    made_up = {key: kept.get(key) or make_secret() for key in KEPT if simulated or key[0] == "edge"}
    if simulated:
        made_up |= _DEV_DEFAULTS
    for key, value in made_up.items():
        if not is_given(entries, *key):
            entries[key] = value


def _start_logs(stack: AsyncExitStack, settings: Settings, path: Path, *, aloud: int) -> None:
    """Send logs to a file, and from level ``aloud`` on, or the one that was asked for, to the terminal too."""
    file = stack.enter_context(path.open("w", encoding="utf-8"))
    setup_logs(
        settings.log.level, "text" if settings.log.format == "auto" else settings.log.format, role="dev", stream=file
    )
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(TextFormatter("dev"))
    asked_for = settings.sources["BRIDGE_LOG_LEVEL"] == "environment"
    terminal.setLevel(settings.log.level.upper() if asked_for else aloud)
    root = logging.getLogger()
    [to_file] = root.handlers
    root.addHandler(terminal)
    # A file that is closed must not be written to.
    stack.callback(root.removeHandler, to_file)


async def _bind(address: Address) -> socket.socket:
    try:
        return await bind(address)
    except OSError as error:
        raise StartRefused(f"{error.strerror}; --port 0 takes any free one") from None


def _move_taken_admin_ports(entries: Entries, settings: Settings) -> None:
    """Give worker and edge another admin port where the usual one is taken and nobody has chosen it."""
    usual = {"worker": settings.worker.admin_listen, "edge": settings.edge.admin_listen}
    with ExitStack() as probes:  # both at once: they must not be given the same one
        for section, address in usual.items():
            if is_given(entries, section, "admin_listen") or address.port == 0:
                continue
            try:
                probe = probes.enter_context(socket.create_server(address))
            except OSError:
                probe = probes.enter_context(socket.create_server((address.host, 0)))
            entries[section, "admin_listen"] = str(Address(*probe.getsockname()[:2]))


def _start_redis(stack: AsyncExitStack, directory: Path) -> str:
    """Start an embedded server that ends with ``stack``; return its URL."""
    server = EmbeddedServer(directory)
    try:
        stack.enter_context(server)
    except EmbeddedServerError as error:
        raise StartRefused(str(error)) from None
    return server.url


async def _simulate(settings: Settings) -> Simulator:
    world = World(
        _SEED,
        users=_USERS,
        client_id=settings.provider.client_id,
        client_secret=settings.provider.client_secret(),
        mails_kept=_MAILS_KEPT,
    )
    return await Simulator.start(world)


# -- while it runs


async def _serve(
    settings: Settings, home: DevFolder, sock: socket.socket, simulator: Simulator | None, stop: asyncio.Event
) -> None:
    """Run worker, edge, page and traffic until ``stop``."""
    async with AsyncExitStack() as stack:
        if simulator is not None:
            accounts = _simulated_accounts(simulator)
        else:
            redis = redis_address(settings).client()
            stack.push_async_callback(redis.aclose)
            accounts = _mirrored_accounts(Mirror(redis, Keys(settings.namespace)))
        page = DevPage(settings, simulator=simulator, accounts=accounts)
        greeting = Greeting(settings, home, simulator)

        def greet(_: str) -> None:
            home.announce(greeting.url)
            sys.stdout.write(str(greeting))
            sys.stdout.flush()

        worker_metrics = Metrics(namespace=settings.namespace, version=__version__, edge=False)
        edge_metrics = Metrics(namespace=settings.namespace, version=__version__, worker=False)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(serve_worker(settings, worker_metrics, stop, admin=True), name="dev worker")
                tasks.create_task(
                    serve_edge(
                        _at_once(settings),
                        edge_metrics,
                        stop,
                        sock=sock,
                        admin=True,
                        add_routes=page.mount,
                        ready=greet,
                    ),
                    name="dev edge",
                )
                if simulator is not None:
                    traffic = tasks.create_task(_enliven(simulator, page), name="dev traffic")
                    await stop.wait()
                    traffic.cancel()
        except ExceptionGroup as group:
            raise _in_one_line(group) from group


def _at_once(settings: Settings) -> Settings:
    """Whoever presses Ctrl-C does not want to wait for a drain that he did not ask for."""
    if settings.sources["BRIDGE_EDGE_DRAIN"] != "default":
        return settings
    return replace(settings, edge=replace(settings.edge, drain_s=0.0))


def _in_one_line(group: ExceptionGroup[Exception]) -> Exception:
    """The one-line error in what ended worker and edge, if there is one; otherwise the whole group."""
    refused = group.subgroup((StartRefused, OSError))
    if refused is None or len(refused.exceptions) != len(group.exceptions):
        return group
    first = refused.exceptions[0]
    return first if not isinstance(first, ExceptionGroup) else _in_one_line(first)


def _simulated_accounts(simulator: Simulator) -> Accounts:
    async def accounts() -> Mapping[str, str]:
        return {account.alias: account.name for account in simulator.world.accounts.values()}

    return accounts


def _mirrored_accounts(mirror: Mirror) -> Accounts:
    async def accounts() -> Mapping[str, str]:
        try:
            aliases = sorted(await mirror.aliases())[:_MOST_ACCOUNTS]
            profiles = await mirror.profiles(aliases)
        except JournalError:
            return {}
        return {
            alias: str(profile.get("name", "")) if profile else ""
            for alias, profile in zip(aliases, profiles, strict=True)
        }

    return accounts


async def _enliven(simulator: Simulator, page: DevPage) -> None:
    """Generate traffic for everybody, and more of it in the mailbox that the page shows."""
    # Mails that come before the worker listens are lost to it, which would look like a fault of the bridge.
    with suppress(TimeoutError):
        await simulator.listeners.wait(timeout_s=_LISTENER_S)
    simulator.traffic.rate_per_s = _RATE_PER_S
    world, chance = simulator.world, seeded(_SEED, "page")
    while True:
        await asyncio.sleep(chance.uniform(2.5, 5.5))
        mailbox = page.mailbox
        if simulator.traffic.paused or mailbox is None or mailbox not in world.accounts:
            continue
        if chance.random() < _READS:
            world.read(mailbox, chance.randint(1, 6))
        else:
            world.deliver_mail(mailbox)
