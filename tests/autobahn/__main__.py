"""Run the Autobahn WebSocket test suite, cases 1 to 7, against the edge: ``python -m tests.autobahn``.

``wstest`` is looked for on PATH, or named with ``--wstest``; CONTRIBUTING.md says how to get it. Exits with 1 and
names the cases if one has failed; the reports are left in ``--reports``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from bridge.journal.embedded import EmbeddedServer
from tests.support.echo_edge import PATH, add_echo
from tests.support.stage import running_edge

AGENT = "exmail-bridge"
CASES = [f"{family}.*" for family in range(1, 8)]
GOOD = ("OK", "NON-STRICT", "INFORMATIONAL")
"""Non-strict: allowed by RFC 6455, if not the best. Informational: says how, not how well."""


async def run_suite(wstest: list[str], reports: Path, cases: list[str]) -> dict[str, dict[str, Any]]:
    """Run the suite against an edge of our own; case → what it found."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        async with running_edge(server.url, add_routes=add_echo) as (url, _):
            spec = {
                "outdir": str(reports),
                "servers": [{"agent": AGENT, "url": url.replace("http", "ws") + PATH}],
                "cases": cases,
                "exclude-cases": [],
            }
            (Path(folder) / "spec.json").write_text(json.dumps(spec))
            process = await asyncio.create_subprocess_exec(
                *wstest, "--mode", "fuzzingclient", "--spec", f"{folder}/spec.json", stdout=asyncio.subprocess.DEVNULL
            )
            if await process.wait():
                raise SystemExit("wstest failed")
    found: dict[str, dict[str, Any]] = json.loads((reports / "index.json").read_text())[AGENT]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn")
    parser.add_argument("--wstest", default=shutil.which("wstest"), help="the program, with arguments if need be")
    parser.add_argument("--reports", type=Path, default=Path(tempfile.gettempdir()) / "exmail-bridge-autobahn")
    parser.add_argument("cases", nargs="*", default=CASES)
    given = parser.parse_args()
    if given.wstest is None or shutil.which(shlex.split(given.wstest)[0]) is None:
        print("wstest is not there: CONTRIBUTING.md says how to get it", file=sys.stderr)
        return 2
    found = asyncio.run(run_suite(shlex.split(given.wstest), given.reports, given.cases))
    bad = {}
    for case, verdict in sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]):
        if verdict["behavior"] not in GOOD or verdict["behaviorClose"] not in GOOD:
            bad[case] = verdict
            print(f"{case}: {verdict['behavior']}, close {verdict['behaviorClose']}: {verdict['reportfile']}")
    kinds = Counter(verdict["behavior"] for verdict in found.values())
    print(f"{len(found)} cases, {len(bad)} bad; {dict(kinds)}; reports in {given.reports}")
    return 1 if bad or not found else 0


if __name__ == "__main__":
    raise SystemExit(main())
