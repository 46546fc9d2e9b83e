"""The contenders beside each other: the same events, the same load client, one after the other in every round."""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.bench.around import port_of
from tests.bench.contenders import Contender
from tests.bench.product import HERE
from tests.bench.rows import Scale, broadcast, chosen, measure, unicast
from tests.bench.stage import valkey

BROADCASTS: Final = ("ws-1000", "ws-5000", "sse-1000", "sse-5000")
UNICAST: Final = "unicast-10000"
MEMORY: Final = "memory"
HANDSHAKES: Final = "handshakes"
COMPARED: Final = (*BROADCASTS, UNICAST)
"""Rows of which a ratio is told."""
ALONE: Final = ("worker", "redis-cpu", "way-p50", "way-p99")
OWN: Final = "own mailbox"
_LARGE: Final = "ws-5000"


@dataclass(slots=True)
class Results:
    """A list of figures, one for each round, by row and contender."""

    found: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    rounds: int = 0

    def note(self, row: str, contender: str, value: float) -> None:
        self.found.setdefault(row, {}).setdefault(contender, []).append(value)

    def median(self, row: str, contender: str) -> float | None:
        values = self.found.get(row, {}).get(contender)
        return statistics.median(values) if values else None

    def ratio(self, row: str, contender: str, to: str) -> float | None:
        """The median of the rounds' ratios to another contender."""
        these, those = (self.found.get(row, {}).get(name) for name in (contender, to))
        if not these or not those:
            return None
        return statistics.median(one / other for one, other in zip(these, those, strict=True))


def fight(
    contenders: Sequence[Contender], scale: Scale, rounds: int, *, rows: Sequence[str], within_s: float
) -> Results:
    """Measure these rows of all; stop before a round that would not end in time.

    Who is first changes with every round.

    Raises:
        CannotMeasure: something did not start, or not everything came.
    """
    results = Results()
    ours = next(each for each in contenders if each.is_ours)
    started = time.monotonic()
    for number in range(rounds):
        spent = time.monotonic() - started
        if number and spent * (number + 1) / number > within_s:
            print(f"no time for a round after {number}", file=sys.stderr, flush=True)
            break
        order = [*contenders[number % len(contenders) :], *contenders[: number % len(contenders)]]
        with valkey() as (server, client):
            for row, contender in itertools.product(BROADCASTS, order):
                if row in rows:
                    _broadcast(results, contender, row, port_of(server), client, scale)
            for contender in order:
                if contender.unicast and UNICAST in rows:
                    _unicast(results, contender, port_of(server), client, scale)
        if alone := [row for row in ALONE if row in rows]:
            # The way needs some hundred mails for its p99.
            for name, value in measure(HERE, chosen(alone), Scale(2 * scale.seconds, scale.share)).items():
                results.note(name, ours.name, value)
        results.rounds += 1
        print(f"round {number + 1} of {rounds}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return results


def _broadcast(results: Results, contender: Contender, row: str, redis_port: int, client: Any, scale: Scale) -> None:
    kind, _, size = row.partition("-")
    n = scale.connections(int(size))
    with contender.running(redis_port, client) as running:
        process = running.process
        before_kb, cpu = process.rss_kb, process.cpu_s
        with running.subscribers(n, websocket=kind == "ws") as (count, _):
            if row == _LARGE:
                results.note(HANDSHAKES, contender.name, n / (process.cpu_s - cpu))
                results.note(MEMORY, contender.name, (process.rss_kb - before_kb) / n)
            value = broadcast(row, process, count, lambda seq: running.send([(None, seq)]), n, scale)
    results.note(row, contender.name, value)


def _unicast(results: Results, contender: Contender, redis_port: int, client: Any, scale: Scale) -> None:
    n = scale.connections(10_000)
    seqs = [0] * n

    def send(first: int, size: int) -> None:
        made: list[tuple[int | None, int]] = []
        for number in range(first, first + size):
            at = number * 7919 % n
            seqs[at] += 1
            made.append((at, seqs[at]))
        running.send(made)

    with contender.running(redis_port, client, mailboxes=n) as running:
        before_kb = running.process.rss_kb
        with running.subscribers(n, websocket=True) as (count, _):
            results.note(OWN, contender.name, (running.process.rss_kb - before_kb) / n)
            # Only an edge looks whether what it was told is in the journal.
            count(1, patience_s=running.process.unsettled_s(scale.seconds))()
            value = unicast(UNICAST, running.process, count, send, scale)
    results.note(UNICAST, contender.name, value)
