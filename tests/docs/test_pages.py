"""What the pages say exists: links, commands, settings, metrics, log lines, codes, events."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from bridge import events
from bridge.access import codes
from bridge.access.refused import Label
from bridge.cli import COMMANDS, build_parser
from bridge.journal.keys import Keys
from bridge.obs.metrics import Metrics
from bridge.settings import load_settings, require_for
from bridge.settings.table import TABLE
from tests.docs.pages import IN_CHINESE, PAGES, ROOT, Page, differences, english_of
from tests.support.event_bytes import event_head, unread_of

README = Page(ROOT / "README.md")
DOCS = ROOT / "docs"
CHINESE = [Page(path) for path in PAGES if path.name.endswith(IN_CHINESE)]
DEPLOYMENT = Page(DOCS / "deployment.md")
EVENTS = Page(DOCS / "events.md")
USERS = ("choosing", "client", "deployment", "embedding", "events", "operations", "performance", "provider", "signing")
FOR_USERS = [Page(DOCS / f"{name}.md") for name in USERS]
SUMMARY = "**摘要。**"


def ids(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_no_link_is_dead(path: Path):
    """Each relative link leads to a file, and each ``#`` to a heading in it."""
    dead = []
    for link in Page(path).links:
        if re.match(r"https?://", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file) if file else path
        if not target.exists() or (anchor and anchor not in Page(target).anchors):
            dead.append(link)
    assert not dead


@pytest.mark.parametrize("chinese", CHINESE, ids=lambda page: page.path.stem)
def test_a_page_says_the_same_in_both_languages(chinese: Page):
    """Heading by heading, block by block, link by link: a change in one language is a change in the other."""
    assert differences(english_of(chinese), chinese) == []


@pytest.mark.parametrize("chinese", CHINESE, ids=lambda page: page.path.stem)
def test_each_language_leads_to_the_other_and_else_stays(chinese: Page):
    """Each begins with the link to the other; else Chinese leads to no English page that exists in Chinese too."""
    english = english_of(chinese)
    assert english.prose.split("\n\n")[1] == f"[中文]({chinese.path.name})"
    assert chinese.prose.split("\n\n")[1] == f"[English]({english.path.name})"
    others = {(chinese.path.parent / link.partition("#")[0]).resolve() for link in chinese.links[1:]}
    assert not others & {english_of(page).path for page in CHINESE}


def test_the_readme_leads_to_every_page():
    """What is too long for the README is one click away from it."""
    pages = {f"docs/{path.name}" for path in DOCS.glob("*.md") if not path.name.endswith(IN_CHINESE)}
    assert not pages - set(README.links)


@pytest.mark.parametrize("page", FOR_USERS, ids=lambda page: page.path.stem)
def test_a_page_for_users_has_a_chinese_page_or_summary(page: Page):
    """Whoever reads no English is led to the same page in Chinese, or told by the first paragraph what it is about."""
    translated = page.path in {english_of(chinese).path for chinese in CHINESE}
    assert page.prose.split("\n\n")[1].startswith("[中文]" if translated else SUMMARY)


RUNBOOK = Page(DOCS / "operations.md")
FAULTS = {
    "a heading that is gone": ("\n### ExmailBridgeDown\n", "\n"),
    "another command": ("exmail-bridge dead replay --all ", "exmail-bridge dead replay "),
    "another setting in a row": ("`BRIDGE_EDGE_MAX_CONNECTIONS`", "`BRIDGE_EDGE_PER_ADDRESS`"),
    "a name in another section": ("`MISCONF`", "MISCONF"),
    "rows in another order": ("| `oa` |", "| `ao` |"),
    "a row that is gone": (re.compile(r"\n\| `busy` \|.*"), ""),
    "a link to elsewhere": ("(events.md#samples)", "(events.md#one-event)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_page_that_falls_behind_is_told(fault: str, tmp_path: Path):
    """Whatever is changed in one language only."""
    found, put = FAULTS[fault]
    before = (DOCS / "operations.zh-CN.md").read_text()
    (tmp_path / "operations.zh-CN.md").write_text(
        re.sub(found if isinstance(found, re.Pattern) else re.escape(found), put, before, count=1)
    )
    assert (tmp_path / "operations.zh-CN.md").read_text() != before
    assert differences(RUNBOOK, Page(tmp_path / "operations.zh-CN.md"))


def test_the_runbook_has_the_same_anchors_in_both_languages():
    """Whoever is led to an alert by its name finds it, heading by heading, in the language that he reads."""
    assert Page(DOCS / "operations.zh-CN.md").anchors[1:] == Page(DOCS / "operations.md").anchors[1:]


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_chinese_is_set_as_chinese(path: Path):
    """No half-width comma, colon or parenthesis beside a Chinese character."""
    paragraphs = Page(path).prose.split("\n\n")
    chinese = [text for text in paragraphs if path.name.endswith(IN_CHINESE) or text.startswith(SUMMARY)]
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)", "", "\n\n".join(chinese))
    assert not re.findall(r"[\u4e00-\u9fff][,:;?!()]|[,:;?!()][\u4e00-\u9fff]", prose)


def calls_on(page: Page) -> list[list[str]]:
    """The words of each call of the bridge, in code blocks and between backticks."""
    said = "\n".join([*(block.text for block in page.blocks), *re.findall(r"`([^`\n]+)`", page.prose)])
    program = r"(?:python3 -m bridge|(?<![/\w])exmail-bridge)"
    return [call.split() for call in re.findall(rf"{program} +([a-z][^\n#`]*)(?:#.*)?$", said, re.MULTILINE)]


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_every_command_exists(path: Path):
    """Each call of the bridge on a page is one that the command line takes."""
    parser = build_parser()
    passed_on = {command.name for command in COMMANDS if command.passes_on}
    for words in calls_on(Page(path)):
        if words[0] not in passed_on:
            parser.parse_args(words)


def test_the_readme_has_the_two_commands():
    """The first thing that a reader can do is run it, and test it."""
    assert calls_on(README)[:2] == [["dev"], ["test"]]


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_every_setting_exists(path: Path):
    """A variable that a page names is one that the bridge reads."""
    known = {variable for setting in TABLE for variable in setting.variables}
    known |= {"BRIDGE_CONFIG", "BRIDGE_TEST_COLD_START", "BRIDGE_TEST_REQUIRE_ALL"}
    named = set(re.findall(r"\bBRIDGE_[A-Z_]*[A-Z]\b", Page(path).text))
    assert not {name for name in named if name not in known and name.removesuffix("_FILE") not in known}


@pytest.mark.parametrize("path", PAGES, ids=ids)
def test_every_metric_exists(path: Path):
    """A metric that a page names is one that is exported."""
    exported = Metrics().render().decode()
    assert not {name for name in re.findall(r"\bexmail_bridge_\w+", Page(path).text) if name not in exported}


def test_the_settings_file_of_deployment_starts_every_part(tmp_path: Path):
    """With the file of ``docs/deployment.md`` and the two secrets, worker, edge and sign-on have all they need."""
    text = DEPLOYMENT.block("toml")
    tomllib.loads(text)
    (tmp_path / "bridge.toml").write_text(text)
    secrets = {
        "BRIDGE_PROVIDER_CLIENT_SECRET": "an-interface-key",
        "BRIDGE_EDGE_JWT_SECRET": "a-secret-for-tests-of-32-bytes-or-more",
    }
    settings = load_settings(secrets, tmp_path / "bridge.toml")
    require_for(settings, "worker")
    require_for(settings, "edge")
    require_for(settings, "signon")


def test_the_nginx_lines_of_deployment_are_those_of_the_file():
    """What ``docs/deployment.md`` shows of nginx stands in the file that is tested; the lines of other hosts as
    comments."""
    file = [line.strip() for line in (ROOT / "deploy" / "proxy" / "nginx.conf").read_text().splitlines()]
    elsewhere, shown = [
        [line.strip() for line in block.text.splitlines() if line.strip()]
        for block in DEPLOYMENT.blocks
        if block.language == "nginx"
    ]
    assert not [line for line in shown if line not in file]
    assert not [line for line in elsewhere if line not in file and f"# {line}" not in file]


def test_names_in_redis_are_those_of_the_code():
    """Channels and keys on the pages are the ones that the bridge writes."""
    keys = Keys("exmail")
    for page in (README, EVENTS):
        assert keys.kind_channel("mail.new") in page.block("sh", holding="SUBSCRIBE")
        assert keys.events in page.block("sh", holding="XREAD")
    assert keys.events in EVENTS.block("python", holding="xread")
    text = (DOCS / "events.md").read_text()
    for name in (
        keys.mailbox_channel("<address>"),
        *(keys.kind_channel(kind) for kind in ("mail.new", "mail.unread", "directory", "system")),
        *(keys.state("<address>"), keys.log("<address>"), keys.log("directory"), keys.log("system")),
        *(keys.directory, keys.slaves, keys.ver, keys.upstream, keys.events),
    ):
        assert f"`{name}`" in text


def test_every_event_type_is_described():
    """``docs/events.md`` has each type that is published, and no other."""
    published = {value for value in vars(events).values() if isinstance(value, str) and value.startswith("exmail.")}
    described = set(re.findall(r"^\| (.*?) \|", Page(DOCS / "events.md").prose, re.MULTILINE))
    assert published == {name for cell in described for name in re.findall(r"`(exmail\.[a-z.]+)`", cell)}


def test_the_example_event_is_one_of_ours():
    """The event on the page has the head that the journal writes, and readers can cut it apart."""
    example = Page(DOCS / "events.md").block("json").replace("\n ", "").strip().encode()
    position = events.position_of(example)
    assert example.startswith(event_head(position))
    assert events.time_of(example) is not None
    assert unread_of(example) == (549, 1795497613538)


def test_every_code_is_described():
    """``docs/client.md`` has each close code with its reason, and says rightly who may come back."""
    told = dict(re.findall(r"^\| (\d{4})[^|]*\| ([^|]*\|[^|]*)\|$", Page(DOCS / "client.md").prose, re.MULTILINE))
    lines = Page(DOCS / "client.md").text
    for code, reason in codes.REASONS.items():
        assert re.search(rf"\b{code}\b", lines)
        assert reason in lines
        if str(code) in told and code >= 3000:
            assert told[str(code)].split("|")[1].strip().startswith("yes" if codes.may_return(code) else "no")


def test_every_refusal_is_described():
    """``docs/operations.md`` says what to do about each reason of ``edge_refusals``."""
    text = (DOCS / "operations.md").read_text()
    assert not [label for label in Label.__args__ if f"`{label}`" not in text]


def log_lines() -> dict[str, str]:
    """Each sentence that the bridge logs, and its level; the simulator is no part of the bridge."""
    found = {}
    for path in (ROOT / "bridge").rglob("*.py"):
        if "simulator" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "log"
                and isinstance(node.args[0], ast.Constant)
            ):
                found[str(node.args[0].value)] = node.func.attr
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_warning":
                # What the log says of itself is no call of a logger.
                assert isinstance(node.args[0], ast.Constant)
                found[str(node.args[0].value)] = "warning"
    return found


def test_every_log_line_is_explained():
    """``docs/operations.md`` explains each warning and worse, and no line that does not exist."""
    table = Page(DOCS / "operations.md").text.partition("## Log lines")[2]
    explained = set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)) - {"message"}
    logged = log_lines()
    serious = {sentence for sentence, level in logged.items() if level not in ("debug", "info")}
    assert not serious - explained
    assert not explained - set(logged)


def test_what_the_architecture_page_names_is_there():
    """Each file or folder that ``docs/architecture.md`` names exists."""
    text = (DOCS / "architecture.md").read_text()
    named = set(re.findall(r"`(bridge/[\w./]+)`", text))
    assert len(named) > 10
    assert not {name for name in named if not (ROOT / name).exists()}
    for room in (path for path in (ROOT / "bridge").iterdir() if path.is_dir() and not path.name.startswith("_")):
        assert f"{room.name}/" in text


def test_what_contributing_names_is_there():
    """Each file or folder that the table of changes names exists."""
    named = set(
        re.findall(r"`((?:bridge|tests|docs|deploy|dashboards)/[\w./]*)`", (ROOT / "CONTRIBUTING.md").read_text())
    )
    assert len(named) > 40
    assert not {name for name in named if not (ROOT / name).exists()}
