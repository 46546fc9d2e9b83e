"""``python -m tests.bench.compare REV``: what became faster or slower, smaller or larger since a commit.

Both versions are measured by this harness, from outside, in turns: before, after, after, before, … The commit is
checked out into a temporary folder; the libraries are those of this environment for both. Exit code 1 if a row became
worse by more than the noise, 2 if there was nothing to compare. The rule is in tests/bench/judge.py.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

from bridge.journal.embedded import EmbeddedServerError
from tests.bench.judge import FEWEST_ROUNDS, Verdict, judge
from tests.bench.machine import make_room, say_where
from tests.bench.product import CannotMeasure, Product, two_products
from tests.bench.rows import ROWS, Figures, Row, Scale, chosen, descriptors, measure, parts

RULE: Final = """Before and after are medians, after / before is the median of the rounds' ratios. Better or worse is
said where the rounds point one way (one in eight may differ) and that ratio differs from 1 by more than the noise:
three times the middle deviation of a version's own repeats, and at least 2 %."""


def turns(rounds: int) -> Iterator[tuple[int, int]]:
    """Which side is measured first and which then: each is first in every other round."""
    return ((0, 1) if number % 2 == 0 else (1, 0) for number in range(rounds))


def take_turns(
    products: tuple[Product, Product], rows: Sequence[Row], scale: Scale, rounds: int
) -> tuple[list[Figures], list[Figures]]:
    """Measure both ``rounds`` times, and say on the error stream how it goes. They take turns at every few rows: a slow
    minute hits both.

    Where something did not come, those rows are measured again, of both.

    Raises:
        CannotMeasure: it did not come then, either.
    """
    found: tuple[list[Figures], list[Figures]] = ([], [])
    for number, order in enumerate(turns(rounds), 1):
        started = time.monotonic()
        of_round: tuple[Figures, Figures] = ({}, {})
        for part in parts(rows):
            for side, figures in _of_both(products, part, scale, order).items():
                of_round[side].update(figures)
        for side in order:
            found[side].append(of_round[side])
        print(f"round {number} of {rounds}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return found


def _of_both(
    products: tuple[Product, Product], rows: Sequence[Row], scale: Scale, order: tuple[int, int]
) -> dict[int, Figures]:
    try:
        return {side: measure(products[side], rows, scale) for side in order}
    except CannotMeasure as error:
        print(f"measured again: {error}", file=sys.stderr, flush=True)
    return {side: measure(products[side], rows, scale) for side in order}


def as_table(rows: Sequence[Row], verdicts: Sequence[Verdict]) -> str:
    """Markdown."""
    lines = ["| row | unit | before | after | after / before | noise | |", "|---|---|--:|--:|--:|--:|---|"]
    for row, verdict in zip(rows, verdicts, strict=True):
        word = f"**{verdict.word}**" if verdict.word in ("better", "worse") else verdict.word
        lines.append(
            f"| {row.name} | {row.unit} | {figure(verdict.before)} | {figure(verdict.after)} | {verdict.ratio:.3f} "
            f"| ±{verdict.noise:.1%} | {word} |"
        )
    return "\n".join(lines)


def figure(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def run(arguments: argparse.Namespace) -> int:
    rows = chosen(arguments.rows)
    scale = Scale(arguments.seconds, arguments.share)
    make_room(descriptors(rows, scale))
    with two_products(arguments.rev, arguments.to) as products:
        for product in products:
            product.make_ready()
        print(say_where())
        print(f"before: {products[0].name}; after: {products[1].name}; {arguments.rounds} rounds\n", flush=True)
        before, after = take_turns(products, rows, scale, arguments.rounds)
    verdicts = [
        judge([each[row.name] for each in before], [each[row.name] for each in after], more=row.more) for row in rows
    ]
    print(as_table(rows, verdicts))
    print(f"\n{RULE}")
    if arguments.rounds < FEWEST_ROUNDS:
        print(f"?: fewer than {FEWEST_ROUNDS} rounds prove nothing.")
    return 1 if any(verdict.word == "worse" for verdict in verdicts) else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.bench.compare", description=__doc__)
    made.add_argument("rev", help="the commit to compare with")
    made.add_argument("--to", help="another commit, instead of the working tree")
    made.add_argument("--rounds", type=_positive, default=5, help="default 5; fewer prove nothing")
    made.add_argument(
        "--rows", nargs="+", default=[], metavar="ROW", help=f"of {', '.join(row.name for row in ROWS)}; ws-*"
    )
    made.add_argument("--seconds", type=float, default=1.0, help="of CPU, about, that a row takes; default 1")
    made.add_argument("--share", type=float, default=1.0, help="of the connections, default 1")
    return made


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def main() -> None:
    # What was started ends with us, and so do the temporary folders.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(run(parser().parse_args()))
    except (CannotMeasure, EmbeddedServerError) as error:
        print(f"tests.bench.compare: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
