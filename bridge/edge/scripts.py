"""What pages load: put together from ``static/client/`` when the edge starts, without a bundler.

The parts are plain functions that know each other by name. A tab and the worker that tabs share have the same line to
the edge in them; the rest is a tab's or the worker's alone. Comments and indentation are for readers of the parts.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import count, product
from string import ascii_letters
from types import MappingProxyType
from typing import Final

_LINE: Final = ("links.js", "choice.js", "ticket.js", "line.js")
_TAB: Final = (*_LINE, "page.js", "notices.js", "share.js", "connect.js")
_WORKER: Final = (*_LINE, "box.js", "herald.js", "relay.js", "ports.js")
_ABOUT: Final = "/* Exmail bridge, {what}. MIT. Readable: bridge/edge/static/client/; manual: docs/client.md. */\n"

_TEXT: Final = re.compile(r"""('(?:[^'\\]|\\.)*'|`[^`]*`)""")
_NUMBER: Final = re.compile(r"^const ([A-Z][A-Z_]*) = (\d+);\n", re.MULTILINE)
_IN_TEMPLATE: Final = re.compile(r"\$\{([^}]*)\}")
_MEMBERS: Final = tuple(
    map(
        re.compile,
        (r"(?<!\.)\.(\w+)", r"\b(\w+) ?:", r"[{,]\s*(\w+)(?=\s*(?:[,}]|=[^;]*\}))", r"\b[gs]et (\w+)\("),
    )
)
"""What makes a name a member's. What follows ``{`` or a comma is one, unless it begins a statement."""
_RESERVED: Final = {"as", "do", "if", "in", "is", "of"}
_EXPORTED: Final = {"connect", "pageTitle"}
_BLANKS: Final = re.compile(r" ?(=>|[=!]==|[-+*]=|!=|&&|[|]{2}|[=<>{}?:,;()*]) ?| ([-+]) (?![-+])")
"""Blanks around what ends a word anyway, except between two signs."""

_CLASSIC: Final = """(function () {{
'use strict';
const HERE = typeof document === 'object' && document.currentScript && document.currentScript.src;
const VERSION = '{version}';
{code}window.ExmailBridge = {{ connect, pageTitle }};
}})();
"""
_MODULE: Final = """const HERE = import.meta.url;
const VERSION = '{version}';
{code}if (typeof window === 'object' && !window.ExmailBridge) window.ExmailBridge = {{ connect, pageTitle }};
export {{ connect }};
"""
_COMMONJS: Final = """'use strict';
const HERE = '';
const VERSION = '{version}';
{code}if (typeof window === 'object' && !window.ExmailBridge) window.ExmailBridge = {{ connect, pageTitle }};
exports.connect = connect;
"""
_SHARED: Final = """'use strict';
{code}"""


@dataclass(frozen=True, slots=True)
class Script:
    """One file as it is served."""

    content_type: str
    body: bytes


def read_scripts(**numbers: int) -> Mapping[str, Script]:
    """Every file for pages, by its name. ``numbers`` replace those of these names, for tests that cannot wait."""
    return _made(tuple(sorted(numbers.items())))


@lru_cache(maxsize=8)
def _made(numbers: tuple[tuple[str, int], ...]) -> Mapping[str, Script]:
    """Made once, however many edges a process has."""
    tab, worker = (_joined(names, dict(numbers)) for names in (_TAB, _WORKER))
    # What a tab and the worker say to each other belongs together: after an upgrade old tabs keep the old worker.
    version = hashlib.sha256((worker + tab).encode()).hexdigest()[:12]
    javascript = {
        "client.js": ("the browser's client", _CLASSIC.format(version=version, code=tab)),
        "client.mjs": ("the browser's client as a module", _MODULE.format(version=version, code=tab)),
        "client.worker.js": ("one connection for all tabs", _SHARED.format(code=worker)),
    }
    scripts = {
        name: Script("text/javascript", (_ABOUT.format(what=what) + code).encode())
        for name, (what, code) in javascript.items()
    }
    return MappingProxyType(scripts | {"client.d.ts": Script("text/plain", _read("client.d.ts").encode())})


def read_package() -> Mapping[str, bytes]:
    """The client for npm, for bundlers and servers: the same source as a module and as CommonJS, with its types."""
    served = read_scripts()
    tab = _joined(_TAB, {})
    [version] = re.findall(r"const VERSION = '(\w+)';", served["client.js"].body.decode())
    # In a bundle the module's own address says nothing about the edge's.
    module = served["client.mjs"].body.replace(b"const HERE = import.meta.url;", b"const HERE = '';")
    common = _ABOUT.format(what="the browser's client") + _COMMONJS.format(version=version, code=tab)
    types = served["client.d.ts"].body
    return {"index.mjs": module, "index.cjs": common.encode(), "index.d.mts": types, "index.d.cts": types}


def _read(name: str) -> str:
    return files("bridge.edge").joinpath("static/client", name).read_text(encoding="utf-8")


def _joined(names: Sequence[str], numbers: Mapping[str, int]) -> str:
    return short_names(bare("".join(map(_read, names)), numbers))


def bare(code: str, numbers: Mapping[str, int] = MappingProxyType({})) -> str:
    """JavaScript without what is for readers only: comments, blanks, line ends, and names of numbers.

    The parts are written for it: a block comment begins a line, every statement ends with its semicolon, no text has
    ' // ' in it and none goes over two lines, no template has another one in it, and a name in capitals is one thing in
    all parts.
    """
    code = re.sub(r"^\s*/\*.*?\*/\n", "", code, flags=re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"(^|\s+)// .*", "", line).strip() for line in code.split("\n")]
    code = "".join(f"{line}\n" for line in lines if line)
    found = {name: str(numbers.get(name, value)) for name, value in _NUMBER.findall(code)}
    code = re.sub(r"\b[A-Z][A-Z_]*\b", lambda word: found.get(word[0], word[0]), _NUMBER.sub("", code))
    return re.sub(r"([;{},([])\n", r"\1", "\n".join(map(_tight, code.split("\n"))))


def short_names(code: str) -> str:
    """JavaScript with short names for what it declares.

    A name that is also a member's, or stands in a text, is kept: a page, the edge or the other side may use it. What a
    template has between braces is code. The short ones are words that stand nowhere in the code.
    """
    pieces = _TEXT.split(code)
    texts = " ".join(_IN_TEMPLATE.sub(" ", piece) for piece in pieces[1::2])
    bare_code = "\0".join([*pieces[::2], *_IN_TEMPLATE.findall(" ".join(pieces[1::2]))])
    declared = set(re.findall(r"\b(?:function|const|let) (\w{4,})\b", bare_code)) - _EXPORTED
    kept = set(re.findall(r"\w+", texts)).union(*(of_members.findall(bare_code) for of_members in _MEMBERS))
    # The shortest for the most frequent; the same ones each time, because the version is a hash of the code.
    frequency = Counter(re.findall(r"\w+", bare_code))
    free = sorted(declared - kept, key=lambda name: (-frequency[name], name))
    taken = _RESERVED | set(re.findall(r"\w+", code))
    shorts = dict(zip(free, (letters for letters in _letters() if letters not in taken), strict=False))
    return re.sub(r"\b\w{4,}\b", lambda found: shorts.get(found[0], found[0]), code)


def _letters() -> Iterator[str]:
    for length in count(1):
        yield from map("".join, product(ascii_letters, repeat=length))


def _tight(line: str) -> str:
    """A line without its blanks; what has a slash outside of texts may be a pattern, and stays."""
    pieces = _TEXT.split(line)
    if any("/" in piece for piece in pieces[::2]):
        return line
    pieces[::2] = [_BLANKS.sub(r"\1\2", piece) for piece in pieces[::2]]
    return "".join(pieces)
