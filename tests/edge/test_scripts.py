"""What pages load, put together from its parts."""

from __future__ import annotations

import gzip
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.edge.scripts import bare, read_scripts, short_names

PARTS = Path(__file__).parents[2] / "bridge" / "edge" / "static" / "client"
SCRIPTS = [name for name in read_scripts() if name.endswith("js")]


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_can_be_read(name: str, require_binary: Callable[[str], str], tmp_path: Path) -> None:
    """Each is JavaScript, as a script or a module."""
    path = tmp_path / (name if name.endswith("mjs") else name.replace(".js", ".cjs"))
    path.write_bytes(read_scripts()[name].body)
    told = subprocess.run([require_binary("node"), "--check", path], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_they_are_small() -> None:
    """A page loads 8 KB at most; the worker is loaded once a browser."""
    for name in ("client.js", "client.mjs"):
        assert len(gzip.compress(read_scripts()[name].body)) <= 8192


@pytest.mark.parametrize("path", sorted(PARTS.glob("*.js")), ids=lambda path: str(path.name))
def test_parts_are_short_and_lose_only_what_is_for_readers(path: Path) -> None:
    """What is taken away line by line is no code: no text goes over two lines, and none has ' // ' in it."""
    code = path.read_text()
    assert code.count("\n") <= 380
    for line in code.splitlines():
        assert len(line) <= 125, line
        assert line.count("`") % 2 == 0, line
        before, comment, _ = line.partition(" // ")
        assert not comment or all(before.count(quote) % 2 == 0 for quote in "'`"), line
        if (at := line.find("/*")) >= 0:
            assert not line[:at].strip(), line
    for left in bare(code).splitlines():
        assert not left.startswith(("//", "/*", "*")), left


def test_comments_and_indentation_go() -> None:
    """So do blanks and line ends of code; texts, templates and patterns stay, and an address is no comment."""
    code = "/* About\n   it. */\nconst a = 'http://x = y'; // why\n\n  // why\n  b(/, = /, a);\n  c = `{ ${a} }` + d\n"
    assert bare(code) == "const a='http://x = y';b(/, = /, a);c=`{ ${a} }`+d\n"
    signs = "if (a - -b > c + +d) e += f * g - h; else return (i);\n"
    assert bare(signs) == "if(a - -b>c + +d)e+=f*g-h;else return(i);"


def test_numbers_stand_where_their_names_stood() -> None:
    """Whole names alone; what is no number keeps its name."""
    code = "const AN_HOUR = 3600;\nconst NAME = 'x';\nwait(AN_HOUR, AN_HOUR_AND, NAME);\n"
    assert bare(code) == "const NAME='x';wait(3600,AN_HOUR_AND,NAME);"
    assert bare(code, {"AN_HOUR": 5}) == "const NAME='x';wait(5,AN_HOUR_AND,NAME);"


def test_what_the_code_declares_has_short_names() -> None:
    """The most frequent the shortest; what is a member too, or stands in a text, may be meant by somebody else.

    No short one is a word of the code or of the language.
    """
    code = "const count=1;let total=count+count;function adding(x){return total+x}adding(total)"
    assert short_names(code) == "const a=1;let b=a+a;function c(x){return b+x}c(b)"
    assert short_names("const count=1;a(b=>count,'c')") == "const d=1;a(b=>d,'c')"
    assert short_names("const count=1;f(`count`)") == "const count=1;f(`count`)"
    assert short_names("const count=1;f(`${count} of`)") == "const a=1;f(`${a} of`)"
    assert short_names("let count=1;if(b){count=2;}") == "let a=1;if(b){a=2;}"
    assert short_names("const counts=[];f(...counts)") == "const a=[];f(...a)"
    many = "".join(f"let name{number}=1;" for number in range(3000))
    assert not re.search(r"let (as|do|if|in|of)=", short_names(many))
    for kept in (
        "const count=1;page.count=2",
        "const count=1;tell({count:2})",
        "const count=1;tell({count})",
        "const count=1;tell({a,count,b})",
        "const count=1;const {count=2}=page",
        "const count=1;page['count']",
        "const count=1;f(`${page.count}`)",
        "function connect(){}function pageTitle(){}",
    ):
        assert short_names(kept) == kept


def test_a_change_of_either_side_is_another_version() -> None:
    """The worker's address has the version of what speaks to it, so two releases have two workers."""
    [version] = re.findall(r"const VERSION = '([0-9a-f]{12})';", read_scripts()["client.js"].body.decode())
    assert f"'{version}'" in read_scripts()["client.mjs"].body.decode()
    assert "VERSION" not in read_scripts()["client.worker.js"].body.decode()
