"""``python -m tests.bench.flame``: where an edge and a worker spend their time, as flame graphs.

Both run under full load while ``py-spy`` (``pip install py-spy``) looks at their stacks; the pictures go to
docs/flame-edge.svg and docs/flame-worker.svg. A box is a function, as wide as its share of the samples, on top of its
caller. What takes less than half a percent is left out, so that the picture can be read.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from tests.bench.product import ROOT, CannotMeasure
from tests.bench.rows import Scale, edge_under_load, worker_under_load

_RATE: Final = 250
_ATTACHED_S: Final = 1.0
_LEAST: Final = 0.005
_WIDTH, _ROW, _TOP = 1200, 18, 40
_LETTER: Final = 6.6
_ENTRY: Final = "_run_once ("
"""Whatever asyncio's loop runs begins behind it; what is below is the same for all."""
_COLOURS: Final = {"bridge": "#7cc4b1", "asyncio": "#d9c07a", "aiohttp": "#a9b9d8", "": "#d3d3cc"}


@dataclass(slots=True)
class Box:
    """A function as it was called from one place, with those that it called."""

    name: str
    room: str
    samples: int = 0
    inner: dict[str, Box] = field(default_factory=dict)

    def add(self, frames: list[tuple[str, str]], samples: int) -> None:
        self.samples += samples
        if frames:
            (name, room), *rest = frames
            self.inner.setdefault(name, Box(name, room)).add(rest, samples)


def read(lines: Iterable[str], what: str) -> Box:
    """Folded stacks, ``frame;frame;frame samples``, from the loop on; other threads are left out."""
    whole = Box(what, "")
    for line in lines:
        stack, _, samples = line.rstrip("\n").rpartition(" ")
        names = stack.split(";")
        entry = next((at for at, frame in enumerate(names) if _ENTRY in frame), None)
        if entry is not None:
            whole.add([_frame(each) for each in names[entry + 1 :]], int(samples))
    if not whole.samples:
        raise CannotMeasure(f"{what}: no sample was taken")
    return whole


def _frame(text: str) -> tuple[str, str]:
    """``deliver (bridge/edge/cursor.py:12)`` → ``deliver · edge/cursor.py`` and its room, ``bridge``."""
    name, _, place = text.partition(" (")
    path = place.rpartition(":")[0] or place.rstrip(")")
    room = next((each for each in _COLOURS if each and f"{each}/" in f"/{path}"), "")
    return f"{name} · {'/'.join(path.split('/')[-2:])}", room


def draw(whole: Box) -> str:
    """The SVG, the callers at its top."""
    boxes = list(_placed(whole, 0.0, 0))
    height = _TOP + (max(depth for _, _, depth in boxes) + 1) * _ROW + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" font-size="11"'
        ' font-family="ui-monospace, Menlo, Consolas, monospace">',
        f"  <title>{escape(whole.name)}</title>",
        f'  <rect width="{_WIDTH}" height="{height}" fill="#f7f7f4"/>',
        f'  <text x="10" y="24" font-size="14" fill="#1b1f1e">{escape(whole.name)}</text>',
    ]
    for box, left, depth in boxes:
        share = box.samples / whole.samples
        x, y, width = left * _WIDTH, _TOP + depth * _ROW, share * _WIDTH
        letters = int((width - 6) / _LETTER)
        shown = escape(box.name[:letters]) if letters > 3 else ""
        lines.append(
            f'  <g><title>{escape(box.name)}: {share:.1%}</title><rect x="{x:.1f}" y="{y}" width="{width - 0.5:.1f}"'
            f' height="{_ROW - 1}" rx="2" fill="{_COLOURS[box.room]}"/>'
            f'<text x="{x + 3:.1f}" y="{y + 12}">{shown}</text></g>'
        )
    return "\n".join([*lines, "</svg>", ""])


def _placed(box: Box, left: float, depth: int, whole: int = 0) -> Iterator[tuple[Box, float, int]]:
    """Each box that is wide enough, where it begins as a share of all, and how deep it is."""
    whole = whole or box.samples
    yield box, left, depth
    for inner in sorted(box.inner.values(), key=lambda each: -each.samples):
        if inner.samples / whole >= _LEAST:
            yield from _placed(inner, left, depth + 1, whole)
        left += inner.samples / whole


@contextmanager
def sampled(py_spy: str, into: str, pid: int) -> Iterator[None]:
    """Look at a process until the block ends."""
    command = [py_spy, "record", "--pid", str(pid), "--rate", str(_RATE), "--duration", "600", "--format", "raw"]
    spy = subprocess.Popen([*command, "--output", into], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(_ATTACHED_S)
    try:
        yield
    finally:
        spy.send_signal(signal.SIGINT)
        spy.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--py-spy", default=shutil.which("py-spy"), help="the program, if it is not on PATH")
    parser.add_argument("--seconds", type=float, default=6.0, help="of CPU, about, that each is looked at")
    arguments = parser.parse_args()
    if arguments.py_spy is None:
        parser.exit(2, "flame: py-spy is missing: pip install py-spy\n")
    scale = Scale(seconds=arguments.seconds)
    for name, run, what in (
        ("edge", edge_under_load, "edge: each event to one of 10,000 WebSocket connections"),
        ("worker", worker_under_load, "worker: from the listen socket to committed"),
    ):
        with tempfile.NamedTemporaryFile("r", suffix=".folded") as file:
            run(scale, partial(sampled, arguments.py_spy, file.name))
            picture = draw(read(Path(file.name).read_text(encoding="utf-8").splitlines(), what))
        (ROOT / f"docs/flame-{name}.svg").write_text(picture, encoding="utf-8")
        print(f"written: docs/flame-{name}.svg")


if __name__ == "__main__":
    main()
