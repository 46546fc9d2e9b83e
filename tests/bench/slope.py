"""``python -m tests.bench.slope``: what one more idle connection costs an edge, and what it does to the others' mails.

One edge process with a mailbox for each connection. As their number grows: its memory and its CPU time while nothing
happens; and, of another process, because mails leave traces in memory, how long mails take from PUBLISH until the
browser has read them, at two rates. What more connections than this machine has descriptors for would take is
extrapolated, and said to be. ``--before REV`` measures a commit and the working tree in turns. ``--first``, for root:
everything here runs before all other programs of the machine, which gets in their way for minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from tests.bench.around import port_of
from tests.bench.load import stamp
from tests.bench.product import HERE, CannotMeasure, Product, two_products
from tests.bench.rows import Figures, send_paced
from tests.bench.stage import KEYS, Process, Publisher, edge, event, facts, place, subscribers, valkey

SIZES: Final = (5000, 10_000, 18_000)
RATES: Final = (200, 5000)
"""Mails a second."""
BEYOND: Final = 50_000
_SPARE: Final = 1500
"""Descriptors that a process needs besides one for each connection."""
_STEP: Final = 7919
"""So many mailboxes lie between one mail's and the next one's."""


class Crowd:
    """The connections, in groups of a load client each, and the mails to them."""

    def __init__(self, client: Any, publisher: Publisher, port: int) -> None:
        self._client = client
        self._publisher = publisher
        self._port = port
        self._groups: list[tuple[int, int, Any]] = []
        self._seqs: list[int] = []

    @property
    def size(self) -> int:
        return len(self._seqs)

    def grow(self, stack: ExitStack, size: int) -> None:
        """Open more, up to ``size``; those who are there answer their pings meanwhile."""
        first = self.size
        names = [f"u{number}@bench.cn" for number in range(first, size)]
        place(self._client, names)
        waiting = [count(1, patience_s=600.0) for _, _, count in self._groups]
        count, _ = stack.enter_context(subscribers(self._port, len(names), websocket=True, mailboxes=names))
        for begun, _, _ in self._groups:
            self._send([begun])
        for answer in waiting:
            answer()
        self._groups.append((first, size, count))
        self._seqs += [0] * len(names)

    def idle(self, seconds: float) -> None:
        """Nothing happens, but that pings are answered."""
        for answer in [count(1, patience_s=seconds) for _, _, count in self._groups]:
            if (told := answer())["closed"]:
                raise CannotMeasure(f"{told['closed']:.0f} connections were closed")

    def mails(self, rate: int, seconds: float) -> list[int]:
        """Mails to one mailbox after the other; how long each took, in microseconds, sorted."""
        numbers = [number * _STEP % self.size for number in range(int(rate * seconds))]
        waiting = []
        for first, end, count in self._groups:
            frames = sum(first <= number < end for number in numbers)
            waiting.append((frames, count(frames, timed=True)))
        send_paced(len(numbers), rate, lambda at, size: self._send(numbers[at : at + size]))
        took: list[int] = []
        for frames, answer in waiting:
            told = answer()
            if told["frames"] != frames or told["closed"]:
                raise CannotMeasure(f"{frames - told['frames']:.0f} of {frames} mails are missing")
            took += told["timed_us"]
        return sorted(took)

    def _send(self, numbers: Sequence[int]) -> None:
        made = []
        for number in numbers:
            self._seqs[number] += 1
            mailbox = f"u{number}@bench.cn"
            made.append((KEYS.mailbox_channel(mailbox), event(mailbox, self._seqs[number], stamp())))
        self._publisher.publish(made)


def measure(product: Product, sizes: Sequence[int], *, seconds: float) -> dict[int, Figures]:
    """Memory in KB, CPU as a share of a core, and milliseconds, by number of connections."""
    found: dict[int, Figures] = {size: {} for size in sizes}
    with ExitStack() as stack:
        for crowd, process in _grown(stack, product, sizes):
            crowd.idle(process.unsettled_s(seconds) + 3.0)
            found[crowd.size]["rss_kb"] = process.rss_kb
            cpu = process.cpu_s
            crowd.idle(seconds)
            found[crowd.size]["idle"] = (process.cpu_s - cpu) / seconds
    with ExitStack() as stack:
        for crowd, process in _grown(stack, product, sizes):
            crowd.idle(process.unsettled_s(seconds) + 3.0)
            for rate in RATES:
                took = crowd.mails(rate, seconds / 3)
                found[crowd.size][f"p50 {rate}"] = took[len(took) // 2] / 1000
                found[crowd.size][f"p99 {rate}"] = took[int(len(took) * 0.99)] / 1000
    return found


def _grown(stack: ExitStack, product: Product, sizes: Sequence[int]) -> Iterator[tuple[Crowd, Process]]:
    """An edge, each time with more connections."""
    server, client = stack.enter_context(valkey())
    most = str(max(sizes) + _SPARE)
    process, port = stack.enter_context(edge(server.tcp_url, product, BRIDGE_EDGE_MAX_CONNECTIONS=most))
    crowd = Crowd(client, Publisher(port_of(server)), port)
    for size in sizes:
        crowd.grow(stack, size)
        yield crowd, process


def middle(rounds: Sequence[dict[int, Figures]]) -> dict[int, Figures]:
    """The median of each figure."""
    return {
        size: {name: statistics.median(each[size][name] for each in rounds) for name in figures}
        for size, figures in rounds[0].items()
    }


def slope(found: dict[int, Figures]) -> float:
    """KB for each connection more, between the smallest number of them and the largest."""
    low, high = min(found), max(found)
    return (found[high]["rss_kb"] - found[low]["rss_kb"]) / (high - low)


def report(found: dict[int, Figures]) -> Iterator[str]:
    """The table, and what lies beyond it."""
    rates = "".join(f" p50, p99 at {rate:,} mails a second |" for rate in RATES)
    yield f"| connections | memory | CPU while idle |{rates}"
    yield f"|--:|--:|--:|{'--:|' * len(RATES)}"
    for size, figures in found.items():
        ways = "".join(f" {figures[f'p50 {rate}']:.2f}, {figures[f'p99 {rate}']:.2f} ms |" for rate in RATES)
        yield f"| {size:,} | {figures['rss_kb'] / 1024:.0f} MB | {figures['idle']:.2%} of a core |{ways}"
    low, high = min(found), max(found)
    each, most = slope(found), found[high]
    yield ""
    yield f"Each connection more, from {low:,} to {high:,}: {each:.2f} KB."
    beyond_mb = (most["rss_kb"] + each * (BEYOND - high)) / 1024
    yield (
        f"Extrapolated, not measured: {BEYOND:,} connections would take {beyond_mb:.0f} MB, and while nothing happens "
        f"{most['idle'] * BEYOND / high:.1%} of a core."
    )


@contextmanager
def _products(before: str | None) -> Iterator[list[Product]]:
    if before is None:
        yield [HERE]
    else:
        with two_products(before, None) as both:
            yield list(both)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.slope", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=30.0, help="of idleness; of mails a third of it for each rate")
    parser.add_argument("--before", metavar="REV", help="a commit to measure in turns with the working tree")
    parser.add_argument("--first", action="store_true", help="before all other programs (SCHED_FIFO), as root")
    options = parser.parse_args()
    if options.first:
        # Whatever is started from here on inherits it.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    print(f"# {facts()}")
    with _products(options.before) as products:
        for product in products:
            product.make_ready()
        rounds: dict[str, list[dict[int, Figures]]] = {product.name: [] for product in products}
        for number in range(options.rounds):
            for product in products[:: -1 if number % 2 else 1]:
                rounds[product.name].append(measure(product, sorted(options.sizes), seconds=options.seconds))
        for name, each in rounds.items():
            print(f"\n{name}:\n", *report(middle(each)), sep="\n")


if __name__ == "__main__":
    main()
