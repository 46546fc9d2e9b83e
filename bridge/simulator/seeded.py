"""Repeatable random numbers: the same words give the same numbers, on every machine."""

from __future__ import annotations

from random import Random


def seeded(*words: object) -> Random:
    """A random source of its own for these words, so that one consumer does not shift the numbers of another."""
    return Random(" ".join(map(str, words)))  # noqa: S311 - it has to be repeatable, that is all
