"""The project's pages, taken apart: headings, code blocks, links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
IN_CHINESE = ".zh-CN.md"

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


def pages_in(root: Path) -> list[Path]:
    """The pages of a checkout."""
    return sorted([*root.glob("*.md"), *(root / "docs").glob("*.md"), root / "dashboards" / "README.md"])


PAGES = pages_in(ROOT)


def english_of(page: Page) -> Page:
    """The page of which this is the Chinese one."""
    return Page(page.path.with_name(page.path.name.replace(IN_CHINESE, ".md")))


def differences(english: Page, chinese: Page) -> list[str]:
    """In what a page is not the same in both languages: heading by heading, block by block, link by link."""
    pages = (english, chinese)
    compared = {
        "headings": [page.levels for page in pages],
        "code": [page.blocks for page in pages],
        "links": [sorted(link.replace(IN_CHINESE, ".md") for link in page.links) for page in pages],
        "rows of tables": [len(re.findall(r"^\|", page.prose, re.MULTILINE)) for page in pages],
        "names": [set(re.findall(r"`([^`\n]+)`", page.prose)) for page in pages],
    }
    return [what for what, (one, other) in compared.items() if one != other]
