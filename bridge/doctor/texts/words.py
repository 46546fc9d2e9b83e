"""What a code says to people, in both languages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """``seen`` with the facts in braces; ``why`` it matters, and what to do (``fix``), without any."""

    seen: str
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Text:
    """The same in English and in Chinese."""

    en: Words
    zh: Words
