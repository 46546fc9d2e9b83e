"""The project's pages, taken apart: headings, code blocks, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "dashboards" / "README.md"])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A code block: the word behind the fence, and what is between the fences."""

    language: str
    text: str


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def prose(self) -> str:
        """The page without its code blocks."""
        return _FENCE.sub("", self.text)

    @property
    def blocks(self) -> list[Block]:
        return [Block(*found) for found in _FENCE.findall(self.text)]

    def block(self, language: str, *, holding: str = "") -> str:
        """The first block of a language that holds a text."""
        return next(block.text for block in self.blocks if block.language == language and holding in block.text)

    @property
    def levels(self) -> list[int]:
        """How deep each heading is, in order."""
        return [len(marks) for marks, _ in _HEADING.findall(self.prose)]

    @property
    def anchors(self) -> set[str]:
        """What a link may have behind ``#``, as GitHub makes it."""
        titles = [title for _, title in _HEADING.findall(self.prose)]
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)
