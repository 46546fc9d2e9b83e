"""``status``: one screen for whoever is on duty: who leads, the provider, what waits, the edges, Redis.

Works with Redis alone: where no worker or edge answers, that is what it says.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from bridge.commands.command import OK, Command, add_settings_options, operator_settings
from bridge.commands.leader import connected, shown, shown_json, why_no_writes
from bridge.events import timestamp, to_json
from bridge.settings import Settings, SettingsError
from bridge.supervision import StartRefused

if TYPE_CHECKING:
    from bridge.journal.inquiry import Answer
    from bridge.journal.overview import Overview, Server

_EVERY_S: Final = 2.0
_PATIENCE_S: Final = 3.0
_CLOCK_OFF_S: Final = 10
"""More than an answer takes where others are waited for."""
_CLEAR: Final = "\x1b[H\x1b[2J"
_MIB: Final = 1024 * 1024


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser, dev=True)
    parser.add_argument("--json", action="store_true", help="the same as one JSON object; with --watch one a line")
    parser.add_argument("--watch", action="store_true", help="again every two seconds, until Ctrl-C")


def _run(arguments: argparse.Namespace) -> int:
    settings = operator_settings(arguments)
    if arguments.watch and not arguments.json and not sys.stdout.isatty():
        raise SettingsError(["--watch draws on a terminal; take --json with it, or leave it away"])
    return asyncio.run(_show(settings, as_json=arguments.json, watch=arguments.watch))


async def _show(settings: Settings, *, as_json: bool, watch: bool) -> int:
    if not watch:
        _write(await _look(settings), as_json=as_json)
        return OK
    while True:
        try:
            found: Status | StartRefused = await _look(settings)
        except StartRefused as error:
            found = error  # whoever watches wants to see it come back
        if not as_json:
            sys.stdout.write(_CLEAR)
        _write(found, as_json=as_json)
        sys.stdout.flush()
        await asyncio.sleep(_EVERY_S)


def _write(found: Status | StartRefused, *, as_json: bool) -> None:
    if as_json:
        facts = {"error": str(found)} if isinstance(found, StartRefused) else found.facts()
        sys.stdout.buffer.write(shown_json(to_json(facts)) + b"\n")
    else:
        lines = [("redis", str(found))] if isinstance(found, StartRefused) else found.lines()
        sys.stdout.write("".join(f"{name:<10} {shown(line)}\n" for name, line in lines))


async def _look(settings: Settings) -> Status:
    from bridge.journal.clock import redis_now_us
    from bridge.journal.databases import Databases
    from bridge.journal.groups import Groups
    from bridge.journal.inquiry import Inquiries, by_edge
    from bridge.journal.orders import NotAnswered, Orders
    from bridge.journal.overview import overview

    # A new connection each time: whoever watches goes on when Redis has moved.
    async with connected(settings) as (redis, keys):
        seen = await overview(redis, keys)
        orders = Orders(redis, keys)
        no_writes = await why_no_writes(orders)

        async def described() -> Mapping[str, Any] | None:
            if seen.fence is None or no_writes:
                return None
            try:
                answer = await orders.ask("describe", within_s=_PATIENCE_S)
            except NotAnswered:
                return None
            return answer if answer.get("ok") else None

        asking = Inquiries(redis, keys).edges(within_s=0.0 if no_writes else _PATIENCE_S)
        # At the same time: where neither answers, whoever looks waits once.
        leader, (answers, heard) = await asyncio.gather(described(), asking)
        now_ms = await redis_now_us(redis) // 1000
        return Status(
            namespace=settings.namespace,
            seen=seen,
            no_writes=no_writes,
            leader=leader,
            edges=[_by_redis(each, now_ms) for each in by_edge(answers) if "connections" in each],
            heard=heard,
            consumers_behind=await Groups(redis, keys).most_behind(),
            led_elsewhere=await Databases(redis, keys).led_elsewhere(),
        )


@dataclass(frozen=True)
class Status:
    """All that was found. ``no_writes``: why Redis takes none, so that nobody can answer; empty if it takes them.
    ``leader``: what it says of itself, ``None`` if none answers; ``heard``: how many edges were asked."""

    namespace: str
    seen: Overview
    no_writes: str
    leader: Mapping[str, Any] | None
    edges: Sequence[Answer]
    heard: int
    consumers_behind: int
    led_elsewhere: Sequence[int]

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints. No address of a person."""
        return {
            "namespace": self.namespace,
            **asdict(self.seen),
            "no_writes": self.no_writes or None,
            "leader": None if self.leader is None else {k: v for k, v in self.leader.items() if k != "ok"},
            "edges": list(self.edges),
            "edges_asked": self.heard,
            "consumers_behind": self.consumers_behind,
            "led_in_databases": list(self.led_elsewhere),
            "look_at": self.look_at(),
        }

    def lines(self) -> list[tuple[str, str]]:
        """``(name, text)`` of each line of the screen."""
        seen = self.seen
        people = f"{seen.accounts:,} accounts, {seen.barred:,} addresses barred, {seen.online:,} mailboxes on line"
        return [
            ("provider", self._provider()),
            ("leader", self._leader()),
            ("directory", f"Ver {seen.ver or 'none yet'}; {people}"),
            ("edges", self._edges()),
            *(("", self._edge(edge)) for edge in self.edges),
            ("events", self._events()),
            ("redis", _server(seen.server)),
            *(("look at", line) for line in self.look_at()),
        ]

    def look_at(self) -> list[str]:
        """What somebody should look at, and with which command; empty when all is well."""
        seen, server = self.seen, self.seen.server
        can_answer = not self.no_writes
        checks = (
            (not can_answer, f"Redis takes no writes, so pushes wait and nobody can lead or answer: {self.no_writes}"),
            (can_answer and seen.fence is None, "no worker leads: start one, or read the log of one that runs"),
            (
                can_answer and seen.fence is not None and self.leader is None,
                "the leader does not answer: it is busy, or hangs",
            ),
            (seen.fence is not None and seen.upstream.state != "connected", "no mail is announced: see provider"),
            (not self.heard, "no edge runs: browsers are told nothing"),
            (
                can_answer and len(self.edges) < self.heard,
                "an edge does not answer: it hangs, or is of an older release",
            ),
            (seen.held is None, f"what is held back cannot be read: {{{self.namespace}}}:held"),
            (bool(seen.held), f"{seen.held} deletions are held back: `directory held`"),
            (bool(seen.owed), f"the provider owes an answer about {seen.owed} accounts: `directory owed`"),
            (bool(seen.dead), f"{seen.dead} documents could not be read: `dead list`"),
            (bool(self.led_elsewhere), f"another bridge of this namespace leads in database {self._elsewhere()}"),
            (not server.append_only, "after a crash Redis goes back to its last snapshot: appendonly is off"),
            (server.eviction != "noeviction", f"Redis may evict keys ({server.eviction}): set noeviction"),
            (not server.saved, "Redis could not write to its disk"),
            (server.role not in ("master", "?"), f"this Redis is a {server.role}"),
        )
        return [text for applies, text in checks if applies] + [
            f"the clock of {edge['edge']} is {_off(edge['clock_off_s'])} Redis's; it judges tokens: have it set by NTP"
            for edge in self.edges
            if abs(edge.get("clock_off_s", 0)) > _CLOCK_OFF_S
        ]

    def _provider(self) -> str:
        upstream = self.seen.upstream
        if self.no_writes and self.seen.fence is None:
            return "not known: who listens cannot say so"
        since = f" since {_when(upstream.since, self.seen.now)}" if upstream.since else ""
        trouble = self.leader and self.leader.get("trouble")
        return f"{upstream.state}{since}{f': {trouble or upstream.why}' if trouble or upstream.why else ''}"

    def _leader(self) -> str:
        if self.seen.fence is None:
            return "none"
        lease = f"fence {self.seen.fence}, lease for {self.seen.lease_ms / 1000:.0f} s"
        if self.leader is None:
            return f"{lease}; it {'cannot' if self.no_writes else 'does not'} answer"
        waits = f"{self.leader['backlog']} waiting to be committed"
        if self.leader["backlog"]:
            waits += f", the oldest for {self.leader['backlog_age_s']} s"
        since = _when(self.leader["since"], self.seen.now)
        return f"{self.leader['worker']} ({self.leader['version']}), {lease}, leads since {since}; {waits}"

    def _edges(self) -> str:
        if not self.heard:
            return "none"
        if self.no_writes:
            return f"{self.heard} listen and cannot answer"
        return f"{len(self.edges)} of {self.heard} answered; {self._connections()}"

    def _connections(self) -> str:
        counts = [edge["connections"] for edge in self.edges]
        return ", ".join(f"{sum(each[name] for each in counts):,} {name}" for name in ("websocket", "sse"))

    def _edge(self, edge: Answer) -> str:
        counts = edge["connections"]
        unsent = f", {edge['behind']:,} backed up with {edge['unsent']:,} bytes" if edge["behind"] else ""
        return (
            f"{edge['edge']} ({edge['version']}): {counts['websocket']:,} websocket, {counts['sse']:,} sse, "
            f"{edge['mailboxes']:,} mailboxes{unsent}; runs since {_when(edge['since'], self.seen.now)}"
        )

    def _events(self) -> str:
        newest = "" if self.seen.newest is None else f", the newest {_when(self.seen.newest, self.seen.now)}"
        return f"{self.seen.events:,} kept{newest}; the slowest consumer group is {self.consumers_behind:,} behind"

    def _elsewhere(self) -> str:
        return ", ".join(map(str, self.led_elsewhere))


def _by_redis(edge: Answer, now_ms: int) -> Answer:
    """An edge's answer with its times by Redis's clock, and by how many seconds its own is ahead of that."""
    if "clock" not in edge:
        # It is of an earlier release.
        return edge
    ahead_ms = edge["clock"] - now_ms
    return {**edge, "since": edge["since"] - ahead_ms, "clock_off_s": round(ahead_ms / 1000)}


def _off(ahead_s: int) -> str:
    return f"{abs(ahead_s)} s {'ahead of' if ahead_s > 0 else 'behind'}"


def _server(server: Server) -> str:
    most = f" of {server.memory_most // _MIB:,}" if server.memory_most else ", no limit set"
    kept = "AOF" if server.append_only else "no AOF"
    return f"{server.name} {server.version}, {server.memory // _MIB:,} MiB{most}, {server.eviction}, {kept}"


def _when(at_ms: float, now_ms: int) -> str:
    """A moment, and how long ago that is, by the clock that set it."""
    ago_s = max(0, int(now_ms - at_ms) // 1000)
    if ago_s < 120:
        ago = f"{ago_s} s"
    elif ago_s < 7200:
        ago = f"{ago_s // 60} min"
    elif ago_s < 172_800:
        ago = f"{ago_s // 3600} h"
    else:
        ago = f"{ago_s // 86_400} days"
    return f"{timestamp(at_ms / 1000)} ({ago} ago)"


COMMAND = Command(
    name="status",
    summary="one screen: who leads, the provider, what waits, the edges, people on line, Redis",
    examples=("status", "status --watch", "status --json --dev"),
    add_arguments=_add_arguments,
    run=_run,
)
