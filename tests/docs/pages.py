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
_NAMED = re.compile(r'^(?:<a id="([\w-]+)"></a>\n\n)?#+ (.+)$', re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_COMMENT = re.compile(r"\s+# .*")


@dataclass(frozen=True)
class Block:
    """A code block: the word behind the fence, and what is between the fences."""

    language: str
    text: str

    @property
    def commands(self) -> str:
        """What is between the fences; of a shell's lines without comments, which are in the page's language."""
        return _COMMENT.sub("", self.text) if self.language == "sh" else self.text


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

    def under(self, title: str) -> list[Block]:
        """The code blocks below a heading, up to the next one."""
        below = re.split(rf"^#+ {re.escape(title)}$", self.text, maxsplit=1, flags=re.MULTILINE)[1]
        outside = _FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), below)
        heading = _HEADING.search(outside)
        lines = None if heading is None else outside[: heading.start()].count("\n")
        return [Block(*found) for found in _FENCE.findall("\n".join(below.split("\n")[:lines]) + "\n")]

    @property
    def levels(self) -> list[int]:
        """How deep each heading is, in order."""
        return [len(marks) for marks, _ in _HEADING.findall(self.prose)]

    @property
    def anchors(self) -> list[str]:
        """What a link may have behind ``#``, heading by heading: the name before it, or as GitHub makes it of it."""
        named = _NAMED.findall(self.prose)
        return [name or re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for name, title in named]

    @property
    def sections(self) -> list[str]:
        """The prose before the first heading, behind the first, and so on."""
        return re.split(r"^#+ .*$", self.prose, flags=re.MULTILINE)

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
        "code": [[(block.language, block.commands) for block in page.blocks] for page in pages],
        "links": [sorted(link.replace(IN_CHINESE, ".md") for link in page.links) for page in pages],
    }
    found = [what for what, (one, other) in compared.items() if one != other]
    for number, (one, other) in enumerate(zip(english.sections, chinese.sections, strict=False)):
        if rows_of(one) != rows_of(other):
            found.append(f"rows of tables behind heading {number}")
        if names_in(one) != names_in(other):
            found.append(f"names behind heading {number}: {sorted(names_in(one) ^ names_in(other))}")
    return found


def rows_of(section: str) -> list[list[str]]:
    """The tables' rows, each as the names in its first cell."""
    return [_CODE.findall(cell) for cell in re.findall(r"^\|((?:`[^`\n]*`|[^|`\n])*)", section, re.MULTILINE)]


def names_in(section: str) -> set[str]:
    """What is said between backticks: commands, settings, names."""
    return set(_CODE.findall(section))
