"""Seeded mutations of good inputs: what is there where no coverage-guided fuzzer is."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

_KEPT = 500
_BYTES = (0, 1, 9, 10, 13, 32, 34, 44, 58, 91, 92, 93, 123, 125, 127, 128, 255)


class Mutator:
    """Gives one input after the other, each a few changes away from one before it. The same seed, the same inputs."""

    def __init__(self, seeds: Sequence[bytes], words: Sequence[bytes], *, longest: int, seed: int) -> None:
        self._random = Random(seed)
        self._seeds = list(seeds)
        self._pool = list(seeds)
        self._words = words
        self._longest = longest

    def next(self) -> bytes:
        """The next input, at most ``longest`` bytes."""
        random = self._random
        data = bytearray(random.choice(self._pool))
        for _ in range(random.choice((1, 1, 2, 4, 16))):
            self._change(data)
        result = bytes(data[: self._longest])
        # Changes add up in some lines of descent, and not in all.
        if random.random() < 0.05:
            if len(self._pool) < _KEPT:
                self._pool.append(result)
            else:
                self._pool[random.randrange(len(self._seeds), _KEPT)] = result
        return result

    def _change(self, data: bytearray) -> None:
        random = self._random
        at = random.randint(0, len(data))
        end = min(len(data), at + random.choice((1, 1, 4, 30, 300)))
        match random.randrange(8):
            case 0:
                data[at:end] = b""
            case 1:
                data[at:at] = data[at:end]
            case 2:
                data[at:at] = random.choice(self._words)
            case 3:
                data[at : at + 1] = bytes((random.choice(_BYTES),))
            case 4:
                data[at : at + 1] = bytes((random.randrange(256),))
            case 5:
                other = random.choice(self._pool)
                begin = random.randint(0, len(other))
                data[at:end] = other[begin : begin + random.choice((4, 30, 300, 3000))]
            case 6:
                data[at:at] = random.randbytes(random.choice((1, 4, 30)))
            case _:
                data[at:end] = data[at:end] * random.choice((2, 5, 50))
