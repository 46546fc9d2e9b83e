"""A master, its replica, and sentinels that watch them; a test kills, pauses or cuts off any of them."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import redis as redis_sync

from bridge.journal.embedded import EmbeddedServer, find_server_binary
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_S, until

MASTER = "mymaster"
_DATA = {
    "appendonly": "no",
    "repl-diskless-sync-delay": "0",
    "repl-timeout": "5",
    "enable-debug-command": "local",
    # Long enough that what was not replicated at a failover is never made up for by a partial resync of the loser.
    "repl-backlog-size": "1mb",
}
# The sentinels' own patience is made for networks, not for tests. Two things go by the second however much they hurry.
# While the master is down a replica is looked at, and is no candidate if that is five PING-PERIODs ago. Whether it was
# promoted is looked at, while a sentinel that has not heard of it demotes it again after four PUBLISH-PERIODs.
HURRY = ("PING-PERIOD", "300", "ASK-PERIOD", "100", "PUBLISH-PERIOD", "500", "INFO-PERIOD", "200")


def in_pairs(flat: list[Any]) -> dict[str, Any]:
    """What a server answers as names and values in turn."""
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


class DataServer:
    """One server of a topology: reachable over TCP, and signalled as a whole."""

    def __init__(self, folder: Path, binary: Path, **config: str) -> None:
        self.port = free_port()
        self.server = EmbeddedServer(folder, port=self.port, binary=binary, config=_DATA | config)
        self.server.start()

    def client(self) -> Any:
        """Over the Unix socket, which is there also while the port is cut off."""
        return redis_sync.Redis.from_url(self.server.url, protocol=2)

    def run(self, *words: str | int) -> Any:
        with self.client() as client:
            return client.execute_command(*words)

    @property
    def role(self) -> str:
        with self.client() as client:
            return client.role()[0].decode()

    def demoted(self) -> bool:
        """Whether this one is a replica now. Who demotes it cuts its clients, whoever asks among them."""
        with suppress(redis_sync.RedisError):
            return self.role == "slave"
        return False

    def signal(self, number: signal.Signals) -> None:
        if self.server.pid is not None:
            os.kill(self.server.pid, number)

    def stop_replication(self) -> None:
        """No replica gets anything from here any more, nor what was in flight; for everybody else nothing changes."""
        self.run("ACL", "SETUSER", "default", "-psync", "-sync", "-replconf")
        self.run("CLIENT", "KILL", "TYPE", "replica")

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        self.server.kill()

    def close(self) -> None:
        self.wake()
        self.server.kill()
        self.server.stop()


class SentinelSet:
    """``servers[0]`` is the first master. Sentinels need more than half of them for a failover."""

    def __init__(self, folder: Path, *, sentinels: int = 1, binary: Path | None = None, **config: str) -> None:
        self._folder = folder
        self._binary = binary or find_server_binary()
        self._quorum = sentinels // 2 + 1
        self._processes: list[subprocess.Popen[bytes]] = []
        self.servers: list[DataServer] = []
        self.ports = [free_port() for _ in range(sentinels)]
        self._config = config

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{hosts}/{MASTER}/0"

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _start(self) -> None:
        for number in range(2):
            self.servers.append(DataServer(self._folder / f"data-{number}", self._binary, **self._config))
        self.servers[1].run("REPLICAOF", "127.0.0.1", self.servers[0].port)
        for port in self.ports:
            self._processes.append(self._sentinel(port))
        for number in range(len(self.ports)):
            await until(lambda number=number: self._knows_all(number))  # type: ignore[misc]
        await until(self.replicated)

    def _sentinel(self, port: int) -> subprocess.Popen[bytes]:
        place = self._folder / f"sentinel-{port}"
        place.mkdir()
        (place / "sentinel.conf").write_text(
            f"port {port}\nbind 127.0.0.1\ndir {place}\nlogfile {place}/log\n"
            f"sentinel monitor {MASTER} 127.0.0.1 {self.servers[0].port} {self._quorum}\n"
            # Nobody is taken for dead who merely stands still, before a test wants it: see ``watch_closely``.
            f"sentinel down-after-milliseconds {MASTER} {PATIENCE_S * 1000:.0f}\n"
            f"sentinel failover-timeout {MASTER} 10000\n"
        )
        return subprocess.Popen([self._binary, str(place / "sentinel.conf"), "--sentinel"], stdout=subprocess.DEVNULL)

    def ask(self, number: int, *words: str) -> Any:
        """Ask one sentinel."""
        with redis_sync.Redis(port=self.ports[number], socket_timeout=2, protocol=2) as client:
            return client.execute_command(*words)

    def _knows_all(self, number: int) -> bool:
        with suppress(redis_sync.RedisError):
            self.ask(number, "SENTINEL", "DEBUG", *HURRY)
            told = in_pairs(self.ask(number, "SENTINEL", "MASTER", MASTER))
            others = len(self.ports) - 1
            return int(told["num-slaves"]) == 1 and int(told["num-other-sentinels"]) == others
        return False

    def named(self) -> list[DataServer]:
        """The master in the eyes of each sentinel that answers."""
        found = [self._named_by(number) for number in range(len(self.ports))]
        return [server for server in found if server is not None]

    def _named_by(self, number: int) -> DataServer | None:
        """``None``: it does not answer."""
        with suppress(redis_sync.RedisError):
            port = int(self.ask(number, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)[1])
            return next(server for server in self.servers if server.port == port)
        return None

    def watch_closely(self) -> None:
        """From now on a server that is silent for half a second is taken for dead."""
        for number in range(len(self.ports)):
            self.ask(number, "SENTINEL", "SET", MASTER, "down-after-milliseconds", "500")

    def replicated(self) -> bool:
        """Whether the replica has everything that the master has; not while no sentinel names one."""
        if not (named := self.named()):
            return False
        with named[0].client() as client:
            told = client.info("replication")
        replica = told.get("slave0")
        return bool(replica) and replica["state"] == "online" and replica["offset"] == told["master_repl_offset"]

    async def promoted(self, server: DataServer) -> None:
        """Return when this one is the master, says so, and every sentinel that answers has heard of it."""

        def is_master() -> bool:
            return set(self.named()) == {server} and server.role == "master"

        await until(is_master)

    async def failed_over(self) -> None:
        """A failover that an operator orders, from the present master to the other; again, if it is given up."""
        await until(lambda: bool(self.named()))
        master = self.named()[0]
        other = next(server for server in self.servers if server is not master)

        def is_other() -> bool:
            if set(self.named()) == {other} and other.role == "master":
                return True
            # Ordered of whoever has done it already it would lead back again.
            if self._named_by(0) is master:
                # INPROG or NOGOODSLAVE: the sentinels have not settled yet.
                with suppress(redis_sync.RedisError):
                    self.ask(0, "SENTINEL", "FAILOVER", MASTER)
            return False

        await until(is_other)

    def name(self, server: DataServer, *sentinels: int) -> None:
        """These sentinels name this server from now on, as if they never had heard of another."""
        for number in sentinels:
            self.ask(number, "SENTINEL", "REMOVE", MASTER)
            self.ask(number, "SENTINEL", "MONITOR", MASTER, "127.0.0.1", str(server.port), str(self._quorum))

    def power_cut(self) -> None:
        """Nobody is left, neither servers nor sentinels."""
        for process in self._processes:
            process.kill()
            process.wait()
        for server in self.servers:
            server.kill()

    def pause_sentinel(self, number: int) -> None:
        self._processes[number].send_signal(signal.SIGSTOP)

    def wake_sentinel(self, number: int) -> None:
        self._processes[number].send_signal(signal.SIGCONT)

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        for server in self.servers:
            server.close()
