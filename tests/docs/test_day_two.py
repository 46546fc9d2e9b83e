"""``docs/day-two.md``: its tables of the data that are kept name what is kept, and who may read it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields

import pytest

from bridge.edge.hub import _LEFT_MOST
from bridge.journal.keys import Keys
from bridge.journal.layout import FORMAT, too_new
from bridge.settings import load_settings
from tests.docs.pages import ROOT, Page

PAGE = Page(ROOT / "docs" / "day-two.md")
KEPT = PAGE.text.partition("\n## Data kept\n")[2].partition("\n### ")[0]
ROWS = [line.strip("| ").split(" | ") for line in KEPT.splitlines() if line.startswith("| `{exmail}:")]
KEYS = Keys("exmail")


def pattern(key: str) -> str:
    """A key as an access list names it."""
    return re.sub("<.*>", "*", key)


def keys_of(row: list[str]) -> set[str]:
    return {pattern(key) for key in re.findall(r"`([^`]+)`", row[0])}


def test_every_key_is_in_the_table() -> None:
    """And no other."""
    plain = {getattr(KEYS, each.name) for each in fields(Keys) if not each.init}
    named = {KEYS.state("*"), KEYS.log("*"), KEYS.seen("*"), KEYS.ticket("*"), KEYS.clicks("*")}
    assert set().union(*map(keys_of, ROWS)) == plain | named | {KEYS.answer("*"), KEYS.testimony("*")}


@pytest.mark.parametrize("user", ["reader", "operator"])
def test_who_reads_is_what_the_access_list_says(user: str) -> None:
    """A row names the user if, and only if, the file gives him its keys to read."""
    rules = (ROOT / "deploy/redis/users.acl").read_text().partition(f"\nuser {user} ")[2].partition("\n\n")[0]
    # Not what may be looked at in passing by a command that serves another purpose.
    whole = re.sub(r"\([^()]*\)", "", rules)
    given = set(re.findall(r"%R~(\S+)", whole))
    assert {key for row in ROWS if f"`{user}`" in row[4] for key in keys_of(row)} == given


def test_every_bound_is_the_settings_default() -> None:
    """180 days, 7 days, 4,096 connections."""
    settings = load_settings({}, None)
    assert settings.audit.seconds == 180 * 86_400
    assert settings.dead.seconds == 7 * 86_400
    assert f"the last {_LEFT_MOST:,} connections" in KEPT


def test_browsers_keep_what_the_page_says() -> None:
    """``client.js`` uses the two stores that the row names, and no other."""
    scripts = "".join(path.read_text() for path in (ROOT / "bridge/edge/static/client").glob("*.js"))
    used = set(re.findall(r"\b(sessionStorage|localStorage|indexedDB|caches|cookieStore|document\.cookie)\b", scripts))
    [row] = [line for line in KEPT.splitlines() if line.startswith("| the browser |")]
    assert used == set(re.findall(r"`(\w+Storage)`", row))


def records() -> Iterator[tuple[str, set[str]]]:
    """The sentence of each log record of the bridge, and the names of its fields."""
    for path in (ROOT / "bridge").rglob("*.py"):
        for node in ast.walk(ast.parse("" if "simulator" in path.parts else path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                for given in (each.value for each in node.keywords if each.arg == "extra"):
                    keys = given.keys if isinstance(given, ast.Dict) else []
                    yield ast.unparse(node.args[0]), {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def test_only_the_lines_of_the_page_name_somebody_in_the_log() -> None:
    """A click, and a mailbox that cannot be read: no other record has a field with an address or a name."""
    naming = {"mailbox", "account", "alias", "address", "user", "sid", "sender", "receiver", "subject", "summary"}
    found = {sentence.strip("'") for sentence, names in records() if names & naming}
    assert found == {"click on a mail", "a mailbox cannot be read"}


def test_the_layout_number_is_the_present_one() -> None:
    """The page says what it is, and what a program says that knows no later one."""
    assert f"the number of the layout of the data, {FORMAT} so far" in PAGE.text
    assert f"`{too_new(FORMAT + 1)}`" in PAGE.text
