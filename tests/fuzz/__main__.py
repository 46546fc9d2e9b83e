"""``python -m tests.fuzz TARGET --bytes 10000000``: feed a target until so many bytes are done, or it breaks.

With ``atheris`` installed the inputs grow by coverage; without it they are seeded mutations of good ones. Prints bytes,
runs, and how much the process grew after the first tenth. What breaks a target is written to a file and its name told;
``--input FILE`` runs it again.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.mutate import Mutator

NAMES = ("listen", "push", "answer", "position", "message", "settings", "settings-file")


_RUN_S = 20.0
"""CPU seconds of one run; what takes longer does not end."""


class Hangs(Exception):
    """A run does not end."""


class Count:
    """Feeds a target, counts, and knows when it is enough."""

    def __init__(self, name: str, run: Callable[[bytes], None], most: int) -> None:
        self._name = name
        self._run = run
        self._most = most
        self._began_s = time.monotonic()
        self._warm_kib = 0
        self.bytes = 0
        self.runs = 0
        signal.signal(signal.SIGVTALRM, _hangs)

    def feed(self, data: bytes) -> bool:
        """Run once; whether it is enough."""
        signal.setitimer(signal.ITIMER_VIRTUAL, _RUN_S)
        try:
            self._run(data)
        except BaseException:
            path = Path(tempfile.gettempdir()) / f"fuzz-{self._name}-{hashlib.sha256(data).hexdigest()[:12]}"
            path.write_bytes(data)
            print(f"{self._name} breaks; again with: python -m tests.fuzz {self._name} --input {path}", flush=True)
            raise
        self.bytes += len(data)
        self.runs += 1
        if not self._warm_kib and self.bytes >= self._most / 10:
            self._warm_kib = _peak_kib()
        return self.bytes >= self._most

    def told(self, how: str) -> str:
        grown = (_peak_kib() - self._warm_kib) / 1024
        seconds = time.monotonic() - self._began_s
        done = f"{self.bytes:,} bytes in {self.runs:,} runs, {seconds:.0f} s"
        return f"{self._name}: {done}, peak RSS +{grown:.1f} MiB ({how})"


def _hangs(number: int, frame: object) -> None:
    raise Hangs(f"not done after {_RUN_S:.0f} s of CPU")


def _peak_kib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def by_mutation(name: str, most: int, seed: int) -> None:
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    mutator = Mutator(target.seeds, target.words, longest=target.longest, seed=seed)
    count = Count(name, target.run, most)
    while not count.feed(mutator.next()):
        pass
    print(count.told(f"mutations, seed {seed}"))


def by_coverage(name: str, most: int, seed: int) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["bridge"]):
        from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    count = Count(name, target.run, most)

    def one(data: bytes) -> None:
        if count.feed(data):
            print(count.told(f"atheris, seed {seed}"), flush=True)
            os._exit(0)

    with tempfile.TemporaryDirectory() as folder:
        corpus, words = Path(folder, "corpus"), Path(folder, "words")
        corpus.mkdir()
        for number, data in enumerate(target.seeds):
            (corpus / str(number)).write_bytes(data)
        words.write_text("".join(_entry(word) for word in target.words))
        options = [
            f"-seed={seed}",
            f"-max_len={target.longest}",
            f"-dict={words}",
            f"-artifact_prefix={folder}/",
            "-verbosity=0",
        ]
        atheris.Setup([sys.argv[0], *options, str(corpus)], one)
        atheris.Fuzz()


def _entry(word: bytes) -> str:
    """A line of libFuzzer's dictionary."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n'


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--bytes", type=int, default=10_000_000, help="how much to feed (10,000,000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="mutations also where atheris is installed")
    parser.add_argument("--input", type=Path, help="run this one input")
    arguments = parser.parse_args()
    if arguments.input is not None:
        from tests.fuzz.targets import TARGETS

        TARGETS[arguments.target].run(arguments.input.read_bytes())
        print("holds")
    elif arguments.plain or find_spec("atheris") is None:
        by_mutation(arguments.target, arguments.bytes, arguments.seed)
    else:
        by_coverage(arguments.target, arguments.bytes, arguments.seed)


if __name__ == "__main__":
    main()
