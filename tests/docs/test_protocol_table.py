"""``docs/protocol.md`` and the provider's document: no section without a method, a route, a command and a test."""

from __future__ import annotations

import ast
import re

import pytest

from bridge.cli import build_parser
from bridge.commands.api.reference import reference
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.endpoints import ENDPOINTS, UNDOCUMENTED
from bridge.simulator.api.endpoints import ENDPOINTS as ROUTES
from tests.docs.pages import ROOT, Page

PAGE = Page(ROOT / "docs" / "protocol.md")

# The document's headings with their URLs as it prints them, typographical errors put right (it has
# ``user/list`` in the example of 3.3.5 and ``user/close/wxtoken`` in that of 3.3.15).
DOCUMENT = {
    "2.3": "cgi-bin/token",
    "3.1.1": "openapi/mail/authkey",
    "3.1.2": "cgi-bin/login",
    "3.2.1": "openapi/listen",
    "3.3.1": "openapi/user/get",
    "3.3.2": "openapi/user/sync",
    "3.3.3": "openapi/user/list",
    "3.3.4": "openapi/mail/newcount",
    "3.3.5": "openapi/party/sync",
    "3.3.6": "openapi/party/list",
    "3.3.7": "openapi/partyuser/list",
    "3.3.8": "openapi/user/check",
    "3.3.9": "openapi/group/add",
    "3.3.10": "openapi/group/delete",
    "3.3.121": "openapi/group/addmember",
    "3.3.11": "openapi/group/deletemember",
    "3.3.12": "openapi/group/addallowlist",
    "3.3.13": "openapi/group/delallowlist",
    "3.3.14": "openapi/user/openwxtoken",
    "3.3.15": "openapi/user/closewxtoken",
}
# What user/sync (3.3.2) and party/sync (3.3.5) take as Action.
ACTIONS = {"3.3.2": {"ADD", "MOD", "DEL"}, "3.3.5": {"ADD", "MOD", "DEL"}}


def rows() -> list[list[str]]:
    """The cells of each line of the table, without backticks."""
    lines = [[cell.strip().strip("`") for cell in line.split("|")[1:-1]] for line in PAGE.text.splitlines()]
    return [cells for cells in lines if len(cells) == 7 and cells[0] not in ("section", "---")]


def test_the_page_equals_the_table() -> None:
    """``docs/protocol.md`` is what ``api --reference`` prints; write it again after changing the table."""
    assert PAGE.text == reference()


def test_every_section_of_the_document_is_there() -> None:
    """Each heading with its URL, each action, and beside them only what is said to be undocumented."""
    found = {section: path.removeprefix("/") for section, _, _, _, path, _, _ in rows()}
    assert found.pop(UNDOCUMENTED) == "openapi/user/swapalias"
    assert found == DOCUMENT
    for section, actions in ACTIONS.items():
        assert {name.split()[-1] for place, name, *_ in rows() if place == section} == actions


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[3])
def test_each_line_is_true(row: list[str]) -> None:
    """The method exists, the simulator has the route, the command line takes the command, the test is there."""
    _, name, _, method, path, command, test = row
    assert callable(getattr(ProviderClient, method))
    assert ROUTES[path].name == name.split()[0]
    words = command.split()
    with pytest.raises(SystemExit) as helped:
        build_parser().parse_args([*words, "--help"])
    assert helped.value.code == 0
    file, _, function = test.partition("::")
    defined = {
        node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.AsyncFunctionDef)
    }
    assert function in defined


def test_every_route_and_method_has_a_line() -> None:
    """What the simulator answers and what the client offers is on the page: neither outgrows the other."""
    printed = {path for _, _, _, _, path, _, _ in rows()}
    assert {path for path in ROUTES if not path.startswith("/cgibin/")} == printed
    methods = {name for name in vars(ProviderClient) if not name.startswith("_")}
    assert methods == {endpoint.method for endpoint in ENDPOINTS}


def test_sections_named_in_the_client_are_those_of_the_table() -> None:
    """The docstring of a method says where in the document it stands, and the table agrees."""
    for endpoint in ENDPOINTS:
        said = getattr(ProviderClient, endpoint.method).__doc__
        assert re.search(rf"\b{re.escape(endpoint.section)}\b", said), endpoint.method
