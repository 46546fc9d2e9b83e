"""``python -m tests.bench``: how fast and how small, on this machine, beside others; at most ten minutes.

Ours, a floor in C, bare Python, and, where they are installed, nchan and Centrifugo: each alone on one core, in turns.
Absolute figures hold for the machine they were taken on; ratios hold for more. With ``--write`` tables and picture are
put into README.md, README.zh-CN.md and docs/performance.md: do that on a machine on which nothing else runs.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

from bridge.journal.embedded import EmbeddedServerError
from tests.bench.contenders import NCHAN, installed
from tests.bench.duel import ALONE, COMPARED, fight
from tests.bench.languages import ENGLISH
from tests.bench.machine import make_room, say_where
from tests.bench.product import ROOT, CannotMeasure
from tests.bench.report import Report, section, write
from tests.bench.rows import Scale
from tests.bench.stage import facts

_MOST = 10_000


def run(arguments: argparse.Namespace) -> int:
    if arguments.read:
        report = Report.from_json(json.loads(arguments.read.read_text(encoding="utf-8")))
    else:
        report = measured(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.as_json()), encoding="utf-8")
    print(section(report, ENGLISH, picture=None, alone=True))
    for line in report.missing:
        print(f"- {line}")
    if arguments.write:
        for path in write(report, arguments.into):
            print(f"written: {path.relative_to(arguments.into)}", file=sys.stderr)
    return 0


def measured(arguments: argparse.Namespace) -> Report:
    """Measure it.

    Raises:
        CannotMeasure: see :func:`tests.bench.duel.fight`; or a row or contender that there is none of was asked for.
    """
    scale = Scale(arguments.seconds, arguments.share)
    make_room(scale.connections(_MOST) + 200)
    known = (*COMPARED, *ALONE)
    rows = [row for row in known if not arguments.rows or any(fnmatchcase(row, each) for each in arguments.rows)]
    if not rows:
        raise CannotMeasure(f"{' '.join(arguments.rows)}: no such row; there are {', '.join(known)}")
    with tempfile.TemporaryDirectory(prefix="exmail-bridge-bench-") as folder:
        contenders, missing = installed(folder=Path(folder), nchan=arguments.nchan, centrifugo=arguments.centrifugo)
        if arguments.only:
            names = {name.casefold() for name in arguments.only}
            contenders = [each for each in contenders if each.name.casefold() in names or each.is_ours]
        print(say_where(), file=sys.stderr)
        for line in missing:
            print(line, file=sys.stderr, flush=True)
        within_s = arguments.minutes * 60
        results = fight(contenders, scale, arguments.rounds, rows=rows, within_s=within_s)
    return Report(facts(), [each.name for each in contenders], missing, results)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    made.add_argument("--rounds", type=int, default=5, choices=range(1, 100), metavar="N", help="default 5")
    made.add_argument("--minutes", type=float, default=10.0, help="no round is begun that would not end by then")
    made.add_argument("--rows", nargs="+", default=[], metavar="ROW", help=f"of {', '.join((*COMPARED, *ALONE))}")
    made.add_argument("--only", nargs="+", default=[], metavar="NAME", help="beside ours only these: 'C floor' nchan")
    made.add_argument("--seconds", type=float, default=0.4, help="of CPU, about, that a row takes; default 0.4")
    made.add_argument("--share", type=float, default=1.0, help="of the connections, default 1")
    made.add_argument("--nchan", type=Path, default=NCHAN, metavar="MODULE", help="nginx's module")
    made.add_argument("--centrifugo", type=Path, metavar="PATH", help="the program, if it is not on PATH")
    made.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    made.add_argument("--read", type=Path, metavar="FILE", help="measure nothing: take kept figures")
    made.add_argument("--write", action="store_true", help="put tables and picture into the pages")
    made.add_argument("--into", type=Path, default=ROOT, help=argparse.SUPPRESS)
    return made


def main() -> None:
    # What was started ends with us, and so does the temporary folder.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(run(parser().parse_args()))
    except (CannotMeasure, EmbeddedServerError, OSError) as error:
        print(f"tests.bench: {error}", file=sys.stderr)
        sys.exit(2)
    except subprocess.CalledProcessError as error:
        print(f"tests.bench: {' '.join(map(str, error.cmd))} ended with {error.returncode}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
