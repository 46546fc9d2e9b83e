"""Whether this machine can measure, and what it is."""

from __future__ import annotations

import resource
import sys

from tests.bench.product import CannotMeasure
from tests.bench.stage import CORES, MEASURED, REST, facts


def make_room(needed: int) -> None:
    """Raise this process's limit of descriptors, which what it starts inherits.

    Raises:
        CannotMeasure: the machine does not allow as many, or does not tell what processes take.
    """
    if sys.platform != "linux":
        raise CannotMeasure("only Linux tells the CPU time of other processes")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (-1, resource.RLIM_INFINITY) and hard < needed:
        raise CannotMeasure(f"{needed:,} open files are needed and {hard:,} allowed: ulimit -n, or fewer --rows")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == -1 else min(hard, max(needed, 40_000)), hard))


def say_where() -> str:
    """The machine, and which core has what."""
    if len(CORES) < 2:
        return f"{facts()}\none core only: what is measured shares it with Redis and the load, so all rows are noisy"
    return f"{facts()}\nthe measured process alone on core {min(MEASURED)}, Redis and the load on {sorted(REST)}"
