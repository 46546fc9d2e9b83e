"""Datasets of a real Valkey, and what one call makes of one: the real script as a table.

A dataset is all keys with their values, known by a number. Each pair of dataset and call is run on the server once;
after that the answer and the dataset that came of it are looked up. What the script takes from outside, the clock and
the server's ``run_id``, is given to it by a prelude, so that a run can be repeated; the script's text stays as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import redis as redis_sync

from bridge.journal.keys import Keys
from tests.support.waiting import PATIENCE_S

KEYS: Final = Keys("model")
MAILBOX: Final = "bob@gzdev.com"
RECOLLECT: Final = "recollect"
"""Asked without keys: what those remember who were given positions."""
Asked = tuple[tuple[str, ...], tuple[str | bytes | int, ...]]
"""Keys and arguments of one call of the script; without keys: a read of one string, named by the only argument."""

_PRELUDE: Final = """
local redis = (function(real)
  return {call = function(command, ...)
    if command == 'TIME' then return {'%d', '0'} end
    if command == 'INFO' then return [[run_id:server%d %s ]] end
    return real.call(command, ...)
  end, pcall = real.pcall}
end)(redis)
"""
_SINGLE: Final = """uptime_in_seconds:0
role:master
connected_slaves:0
repl_backlog_active:%d
master_replid2:0000
cluster_enabled:0"""
CLOCK_STEP_S: Final = 1000
_SERVERS_MOST: Final = 20
_LOAD: Final = b"""
redis.call('FLUSHALL')
for i = 1, #KEYS do redis.call('RESTORE', KEYS[i], 0, ARGV[i]) end
"""
_READ_ALL: Final = b"""
local all = {}
for i, key in ipairs(redis.call('KEYS', '*')) do
  local kind, value = redis.call('TYPE', key).ok, nil
  if kind == 'string' then value = redis.call('GET', key)
  elseif kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'stream' then value = redis.call('XRANGE', key, '-', '+')
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, '0', '-1')
  else value = redis.call('SMEMBERS', key) end
  all[i] = {key, kind, value, redis.call('DUMP', key)}
end
return all
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the stream of all events.

    ``content`` is all that was given, its time too: who compares what he has with what Redis has must find the same.
    """

    id: str
    source: str
    position: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a server holds, read for whoever judges it."""

    entries: tuple[Entry, ...]
    log: tuple[bytes, ...]
    ver: int
    profiles: frozenset[str]
    commits: int
    generation: int
    server: str
    lease: str
    leader: str
    names: frozenset[str] = field(repr=False)


class Datasets:
    """All datasets met so far. ``source`` is the text of the script, perhaps a spoilt one; ``backward``: see Bounds."""

    def __init__(self, url: str, source: bytes, *, backward: bool = False) -> None:
        self._redis: Any = redis_sync.Redis.from_url(url, socket_timeout=PATIENCE_S)
        self._source = source
        self._backward = backward
        self._scripts: dict[tuple[int, bool], str] = {}
        self._numbers: dict[Any, int] = {}
        self._dumps: list[tuple[list[bytes], list[bytes]]] = []
        self._facts: list[Dataset] = []
        self._after: dict[tuple[int, int, bool, Asked], tuple[Any, int]] = {}
        self._without_lease: dict[int, int] = {}
        self._redis.flushall()
        self._load, self._read_all = self._redis.script_load(_LOAD), self._redis.script_load(_READ_ALL)
        self._loaded = self.empty = self._number([])

    @property
    def calls(self) -> int:
        """How many different calls of different datasets the server was asked for."""
        return len(self._after)

    def __len__(self) -> int:
        return len(self._dumps)

    def __getitem__(self, number: int) -> Dataset:
        return self._facts[number]

    def close(self) -> None:
        """Let go of the server."""
        self._redis.close()

    def apply(self, dataset: int, server: int, asked: Asked, *, promoted: bool = False) -> tuple[Any, int]:
        """The answer to a call, and the dataset after it. Servers differ by ``run_id`` and clock, and a promoted one by
        what it says of its replication."""
        known = self._after.get((dataset, server, promoted, asked))
        if known is None:
            known = self._after[dataset, server, promoted, asked] = self._run(dataset, server, promoted, asked)
        return known

    def without_lease(self, dataset: int) -> int:
        """The same dataset when the lease has run out."""
        if dataset not in self._without_lease:
            self._without_lease[dataset] = self._ask(dataset, ("DEL", KEYS.lease))[1]
        return self._without_lease[dataset]

    def _run(self, dataset: int, server: int, promoted: bool, asked: Asked) -> tuple[Any, int]:
        keys, arguments = asked
        if not keys:
            return self._ask(dataset, ("GET", arguments[0]))
        if (server, promoted) not in self._scripts:
            clock_s = CLOCK_STEP_S * (_SERVERS_MOST - server if self._backward else server + 1)
            prelude = _PRELUDE % (clock_s, server, _SINGLE % promoted)
            self._scripts[server, promoted] = self._redis.script_load(prelude.encode() + self._source)
        return self._ask(dataset, ("EVALSHA", self._scripts[server, promoted], len(keys), *keys, *arguments))

    def _ask(self, dataset: int, command: tuple[Any, ...]) -> tuple[Any, int]:
        """The answer to a command and the dataset that it makes of this one, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        if self._loaded != dataset:
            keys, dumps = self._dumps[dataset]
            pipeline.execute_command("EVALSHA", self._load, len(keys), *keys, *dumps)
        pipeline.execute_command(*command)
        pipeline.execute_command("EVALSHA", self._read_all, 0)
        *_, answer, found = pipeline.execute()
        self._loaded = self._number(found)
        return _frozen(answer), self._loaded

    def _number(self, found: list[Any]) -> int:
        """Give what the server holds a number, the old one if it was met before; keys are in no order."""
        values = {key: _value(kind, value) for key, kind, value, _ in found}
        name = tuple(sorted(values.items()))
        if name not in self._numbers:
            self._numbers[name] = len(self._dumps)
            self._dumps.append(([key for key, *_ in found], [dump for *_, dump in found]))
            self._facts.append(_read(values))
        return self._numbers[name]


def _value(kind: bytes, value: Any) -> Any:
    """A value without the order that Redis gives the members of a hash or set."""
    if kind == b"hash":
        return tuple(sorted(zip(value[::2], value[1::2], strict=True)))
    return tuple(sorted(value)) if kind in (b"set", b"zset") else _frozen(value)


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value


def _read(values: dict[bytes, Any]) -> Dataset:
    def text(key: str) -> str:
        found: bytes = values.get(key.encode(), b"")
        return found.decode()

    entries = [_entry(id, fields[1]) for id, fields in values.get(KEYS.events.encode(), ())]
    return Dataset(
        entries=tuple(entries),
        log=tuple(fields[1] for _, fields in values.get(KEYS.log(MAILBOX).encode(), ())),
        ver=int(text(KEYS.ver) or 0),
        profiles=frozenset(re.findall(r"u\d+[ab]", repr(values.get(KEYS.directory.encode(), ())))),
        commits=int(text(KEYS.commits) or 0),
        generation=int(text(KEYS.generation) or 0),
        server=text(KEYS.server),
        lease=text(KEYS.lease),
        leader=dict(values.get(KEYS.upstream.encode(), ())).get(b"leader", b"").decode(),
        names=frozenset(entry.name for entry in entries),
    )


def _entry(id: bytes, event: bytes) -> Entry:
    read = orjson.loads(event)
    return Entry(id.decode(), read["source"], read["id"], read["data"]["name"], event)
