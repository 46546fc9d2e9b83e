"""``python -m tests.model``: everything that can happen to two workers and Redis within bounds, and what is true of it.

The real ``Writer`` and the real script on a real Valkey, under a scheduler that decides in every state what
happens next: a call is applied, a connection is lost with calls on their way, a worker dies, a lease runs out while its
holder believes in it, a replica that lacks the newest writes is promoted. In every state the promises of
``tests/model/promises.py`` hold, and a worker without memory can lead and commit.

``--deep`` explores the large bounds; ``--only NAME`` one of them; ``--replay NAME TRACE`` shows one way, step by step.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from bridge.journal.embedded import EmbeddedServer
from bridge.journal.script import SOURCE
from tests.model.bounds import DEEP, QUICK
from tests.model.datasets import Asked, Datasets
from tests.model.explorer import Explorer
from tests.model.promises import Broken
from tests.model.state import State


def main() -> int:
    """Explore or replay; 0 if every promise held."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--deep", action="store_true", help="the large bounds: an hour or so")
    parser.add_argument("--only", metavar="NAME", choices=[*QUICK, *DEEP])
    parser.add_argument("--most", type=int, metavar="N", help="visit at most N states of each")
    parser.add_argument("--replay", nargs=2, metavar=("NAME", "TRACE"))
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(Path(folder), config={"appendonly": "no"}) as server,
    ):
        if arguments.replay:
            return _replay(server.url, *arguments.replay)
        chosen = (
            {arguments.only: (QUICK | DEEP)[arguments.only]} if arguments.only else DEEP if arguments.deep else QUICK
        )
        return max(_explore(server.url, name, arguments.most) for name in chosen)


def _explore(url: str, name: str, most: int | None) -> int:
    datasets = Datasets(url, SOURCE, backward=(QUICK | DEEP)[name].backward)
    explorer = Explorer(datasets, (QUICK | DEEP)[name])
    started = time.perf_counter()
    found = explorer.explore(most)
    print(
        f"{name}: {explorer.states:,} states, {explorer.steps:,} steps between them, {datasets.calls:,} different calls"
        f" of the script on {len(datasets):,} datasets, {time.perf_counter() - started:.0f} s",
        flush=True,
    )
    explorer.close()
    datasets.close()
    if found is None:
        return 0
    print(f"  BROKEN {found.promise}\n  python -m tests.model --replay {name!r} {','.join(found.trace)}")
    return 1


def _replay(url: str, name: str, trace: str) -> int:
    """Show one way. Workers are told apart by their whole history here: what is shown is one run, not a merger."""
    datasets = Datasets(url, SOURCE, backward=(QUICK | DEEP)[name].backward)
    explorer = Explorer(datasets, (QUICK | DEEP)[name], exact=True)
    state = explorer.start()
    try:
        for action in filter(None, trace.split(",")):
            print(f"{action}{_about(explorer, state, action)}")
            state = explorer.act(state, action)
            for n, server in enumerate(state.servers):
                if server is not None:
                    data = datasets[server.dataset]
                    entries = " ".join(f"{entry.id}={entry.name}" for entry in data.entries)
                    print(
                        f"    server {n}: lease {data.lease or '-'}, commits {data.commits}, ver {data.ver},"
                        f" generation {data.generation}, events {entries or '-'}"
                    )
        explorer.check_ending(state)
    except Broken as broken:
        print(f"BROKEN {broken}")
        return 1
    finally:
        explorer.close()
        datasets.close()
    return 0


def _asked(explorer: Explorer, state: State, action: str) -> Asked | None:
    """The call that an action has applied, if it is that."""
    if action.startswith("stray"):
        return state.strays[int(action[5:])].request.calls[0]
    name, _, step = action.partition("-")
    if name not in ("a", "b", "c") or step not in ("", "over"):
        return None
    seat = state.seats["abc".index(name)]
    return explorer.workers[seat.state].waiting[0].calls[len(seat.answers)]


def _about(explorer: Explorer, state: State, action: str) -> str:
    asked = _asked(explorer, state, action)
    return "" if asked is None else f": {' '.join(_word(word) for word in asked[1][:4])}"


def _word(word: str | bytes | int) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


if __name__ == "__main__":
    sys.exit(main())
