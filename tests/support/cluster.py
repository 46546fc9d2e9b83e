"""A cluster of three masters, each alone or with a replica; a test kills or pauses nodes and moves the namespace."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from redis.crc import key_slot

from bridge.journal.embedded import find_server_binary
from tests.support.processes import free_port
from tests.support.sentinel import DataServer, in_pairs
from tests.support.waiting import PATIENCE_S, until

SLOT = key_slot(b"{exmail}")
_HANDSHAKES_S = 10
_RANGES = ((0, 5460), (5461, 10922), (10923, 16383))


class ClusterSet:
    """``replicated``: how many of the masters have a replica, the one that holds ``{exmail}`` first."""

    def __init__(self, folder: Path, *, replicas: int = 1, binary: Path | None = None) -> None:
        self._folder = folder
        self._binary = binary or find_server_binary()
        self._replicas = replicas
        self.servers: list[DataServer] = []
        self._bus: dict[DataServer, int] = {}

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{server.port}' for server in self.servers[:3])}"

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _start(self) -> None:
        for number in range(3 + self._replicas):
            bus = free_port()
            config = {
                "cluster-enabled": "yes",
                "cluster-node-timeout": "1000",
                "cluster-port": str(bus),
                "cluster-config-file": "nodes.conf",
            }
            server = DataServer(self._folder / f"node-{number}", self._binary, **config)
            self.servers.append(server)
            self._bus[server] = bus
        for number, (server, slots) in enumerate(zip(self.servers[:3], _RANGES, strict=True), start=1):
            server.run("CLUSTER", "ADDSLOTSRANGE", *slots)
            server.run("CLUSTER", "SET-CONFIG-EPOCH", number)
        for number, server in enumerate(self.servers[3:], start=4):
            server.run("CLUSTER", "SET-CONFIG-EPOCH", number)
        self._meet()
        while not await self._have_met():
            # A handshake that takes longer than a second is given up.
            self._meet()
        masters = sorted(self.servers[:3], key=lambda server: server is not self.owner)
        for master, replica in zip(masters, self.servers[3:], strict=False):
            id = self.id_of(master)
            await until(lambda id=id, replica=replica: id in _text(replica.run("CLUSTER", "NODES")))  # type: ignore[misc]
            replica.run("CLUSTER", "REPLICATE", id)
        await until(self.settled)
        # Nobody is taken for dead who merely stands still, before a test wants it: see ``watch_closely``.
        self._set_patience(PATIENCE_S)

    def _meet(self) -> None:
        for server in self.servers[1:]:
            self.servers[0].run("CLUSTER", "MEET", "127.0.0.1", server.port, self._bus[server])

    async def _have_met(self) -> bool:
        everybody = str(len(self.servers))
        with suppress(TimeoutError):
            await until(
                lambda: all(self._info(server)["cluster_known_nodes"] == everybody for server in self.servers),
                within_s=_HANDSHAKES_S,
            )
            return True
        return False

    def watch_closely(self) -> None:
        """From now on a node that is silent for a second is taken for dead."""
        self._set_patience(1)

    def _set_patience(self, seconds: float) -> None:
        for server in self.servers:
            server.run("CONFIG", "SET", "cluster-node-timeout", int(seconds * 1000))

    def _info(self, server: DataServer) -> dict[str, str]:
        return dict(line.split(":") for line in _text(server.run("CLUSTER", "INFO")).split())

    def id_of(self, server: DataServer) -> str:
        return _text(server.run("CLUSTER", "MYID"))

    def settled(self) -> bool:
        """All running nodes agree that all is well, and the owner's replica follows it."""
        running = [server for server in self.servers if server.server.pid is not None]
        if any(self._info(server)["cluster_state"] != "ok" for server in running):
            return False
        with self.owner.client() as client:
            told = client.info("replication")
        if self._replicas == 0 or len(running) < len(self.servers):
            return True
        replica = told.get("slave0")
        return bool(replica) and replica["state"] == "online"

    def owner_in_the_eyes_of(self, asked: DataServer) -> DataServer | None:
        with asked.client() as client:
            for entry in client.execute_command("CLUSTER", "SHARDS"):
                shard = in_pairs(entry)
                slots = shard["slots"]
                if any(first <= SLOT <= last for first, last in zip(slots[::2], slots[1::2], strict=True)):
                    for each in map(in_pairs, shard["nodes"]):
                        if each["role"] == b"master" and each["health"] == b"online":
                            return next((s for s in self.servers if s.port == each["port"]), None)
        return None

    @property
    def owner(self) -> DataServer:
        """The node that holds ``{exmail}`` in the eyes of the first that runs."""
        for server in self.servers:
            if server.server.pid is not None and (found := self.owner_in_the_eyes_of(server)) is not None:
                return found
        raise AssertionError("nobody holds the slot")

    async def promoted(self, server: DataServer) -> None:
        """Return when this node holds the slot, in its own eyes, as a master."""
        await until(lambda: self.owner_in_the_eyes_of(server) is server and server.role == "master")

    def migrate_slot(self, target: DataServer) -> None:
        """Move the slot with all its keys, as ``redis-cli --cluster reshard`` does."""
        source = self.owner
        self.begin_migration(source, target)
        with source.client() as client:
            while keys := client.execute_command("CLUSTER", "GETKEYSINSLOT", SLOT, 100):
                client.execute_command(
                    "MIGRATE", "127.0.0.1", target.port, "", 0, int(PATIENCE_S * 1000), "KEYS", *keys
                )
        for server in (target, source, *self.servers):
            if server.server.pid is not None and server.role == "master":
                server.run("CLUSTER", "SETSLOT", SLOT, "NODE", self.id_of(target))

    def begin_migration(self, source: DataServer, target: DataServer) -> None:
        target.run("CLUSTER", "SETSLOT", SLOT, "IMPORTING", self.id_of(source))
        source.run("CLUSTER", "SETSLOT", SLOT, "MIGRATING", self.id_of(target))

    async def __aexit__(self, *_: object) -> None:
        for server in self.servers:
            server.close()


def _text(told: Any) -> str:
    return told.decode() if isinstance(told, bytes) else str(told)
