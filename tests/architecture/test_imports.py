"""The import arrows of docs/architecture.md, held by reading the imports.

A room may import what its line names and nothing else of ours; a library may be imported at its address only.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
LEAVES: dict[str, set[str]] = {
    room: set() for room in ("events", "obs", "supervision", "provider", "simulator", "settings", "sizing", "bootstrap")
}
ARROWS = LEAVES | {
    "journal": {"events"},
    "worker": {"provider", "journal", "events", "obs", "supervision"},
    "access": {"journal", "events", "obs"},
    "schemas": {"access", "journal", "events", "obs"},
    "edge": {"access", "journal", "events", "obs", "schemas"},
    "signon": {"access", "provider", "journal", "events", "obs"},
    "app": {"worker", "edge", "signon", "access", "provider", "journal", "events", "obs", "supervision", "settings"},
    "dev": {"app", "access", "simulator", "journal", "events", "obs", "supervision", "settings"},
    "doctor": {"access", "app", "events", "journal", "provider", "settings", "sizing"},
    "commands": {
        *("app", "dev", "doctor", "simulator", "access", "provider", "journal", "events", "obs", "supervision"),
        *("settings", "sizing"),
    },
    "cli": {"commands", "settings", "supervision"},
    "__main__": {"bootstrap", "cli"},
}
# The composition root makes what it hands on: a client session for the provider, a Redis client for the journal.
ADDRESSES = {
    "redis": ("journal/", "app/"),
    "hiredis": ("journal/",),
    "aiohttp": ("provider/", "access/issuer.py", "access/office.py", "app/", "dev/", "doctor/"),
    "aiohttp.web": ("access/", "edge/", "signon/", "obs/", "simulator/", "app/", "dev/"),
    "prometheus_client": ("obs/",),
    "tenacity": ("supervision.py", "provider/"),
}
LONGEST = 380
# What the rooms share that act on a provider, whichever it is, and the way out to it.
VOCABULARY = {"pushes", "faults", "members", "counts", "login", "source", "egress", "proxy", "trust", "pace"}
KNOW_A_DIALECT = ("app/", "commands/api/")
DIALECT = re.compile(
    r"""errcode | bizmail | \b(?:is|read)_ver\b | far_ahead | VER_END | DAY_MS                # codes, what a Ver can be
      | \b(?:user/(?:list|get)|mail/(?:newcount|authkey)|openapi|protocol\ \d|Ret)\b    # endpoints, places, fields
    """,
    re.VERBOSE | re.IGNORECASE,
)


def imports_of(path):
    """Yield (line, module) of every import in full; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            origin = ".".join([*package, *filter(None, [node.module])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def library_of(module):
    """The name in ADDRESSES that a module falls under: aiohttp is two libraries, a client and a server."""
    if module.startswith("aiohttp"):
        client = module == "aiohttp" or module.startswith(("aiohttp.Client", "aiohttp.TCPConnector"))
        return "aiohttp" if client else "aiohttp.web"
    return module.split(".")[0]


def test_every_import_follows_an_arrow():
    """Room to room only along the table, and no arrow that nobody needs; each library at its one address."""
    wrong = []
    needed = {(room, other) for room, others in ARROWS.items() for other in others}
    for path in sorted((ROOT / "bridge").rglob("*.py")):
        place = path.relative_to(ROOT / "bridge").as_posix()
        room = place.split("/")[0].removesuffix(".py")
        for line, module in imports_of(path):
            if module.startswith("bridge."):
                other = module.split(".")[1]
                needed.discard((room, other))
                allowed = other in {room, "__version__", *ARROWS.get(room, ())}
            else:
                allowed = place.startswith(ADDRESSES.get(library_of(module), ("",)))
            if not allowed:
                wrong.append(f"bridge/{place}:{line} imports {module}")
    wrong += [f"{room} may import {other}, and does not" for room, other in sorted(needed)]
    assert not wrong, "\n".join(wrong)


def test_the_architecture_page_draws_these_arrows():
    """The table of ``docs/architecture.md`` and the one that is held here are the same."""
    page = (ROOT / "docs/architecture.md").read_text()
    rows = re.findall(r"^\| ((?:`\w+` ?)+)\|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    drawn = {
        room: set(filter(None, names.strip().split(", ")))
        for rooms, names in rows
        for room in rooms.replace("`", "").split()
    }
    assert drawn == ARROWS


def test_only_programs_and_commands_know_a_dialect():
    """Worker and sign-on act on the vocabulary of ``provider/``, which knows none of its rooms; another provider is a
    room beside them, and a line in ``app/``. The package's own face gathers the names for other people's programs.
    """
    wrong = []
    for path in sorted((ROOT / "bridge").rglob("*.py")):
        place = path.relative_to(ROOT / "bridge").as_posix()
        if place.startswith((*KNOW_A_DIALECT, "provider/bizmail/")) or place == "provider/__init__.py":
            continue
        for line, module in imports_of(path):
            if module == "bridge.provider" or (
                module.startswith("bridge.provider.") and module.split(".")[2] not in VOCABULARY
            ):
                wrong.append(f"bridge/{place}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_worker_and_sign_on_speak_no_dialect():
    """What a code of the provider means, and whether a cursor can be one, is said by a value of the vocabulary."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for room in ("worker", "signon")
        for path in sorted((ROOT / "bridge" / room).rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if DIALECT.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_imports_in_a_circle():
    """Not behind ``TYPE_CHECKING`` either: what knows each other is one thing, or lacks a third that both know."""
    names = {}
    for path in (ROOT / "bridge").rglob("*.py"):
        names[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    imports = {
        name: {each for _, module in imports_of(path) for each in (module, module.rpartition(".")[0]) if each in names}
        # What a package gathers from its own files is a face, not a need.
        - ({other for other in names if other.startswith(f"{name}.")} if path.name == "__init__.py" else set())
        for name, path in names.items()
    }
    for name in imports:
        imports[name] -= {name, *(name.rsplit(".", depth)[0] for depth in range(1, name.count(".") + 1))}
    free: set[str] = set()
    while more := {name for name, needs in imports.items() if name not in free and needs <= free}:
        free |= more
    assert not set(imports) - free, f"these lead to each other: {sorted(set(imports) - free)}"


ROOMS_OF_THE_SIMULATOR = {
    "world": set(),
    "faults": set(),
    "wire": {"world", "faults"},
    "api": {"world", "faults", "wire"},
}


def test_the_rooms_of_the_simulator_have_arrows_too():
    """The world knows no protocol, the wire no endpoint; what puts them together stands beside them."""
    wrong = []
    for path in sorted((ROOT / "bridge/simulator").glob("*/*.py")):
        room = path.parent.name
        for line, module in imports_of(path):
            other = module.removeprefix("bridge.simulator.").split(".")[0]
            if other in ROOMS_OF_THE_SIMULATOR and other not in {room, *ROOMS_OF_THE_SIMULATOR[room]}:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_no_file_is_long():
    """One noun a file: a long one holds two."""
    files = [
        path for folder in ("bridge", "tests") for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".lua")
    ]
    long = {str(path.relative_to(ROOT)): lines for path in files if (lines := path.read_text().count("\n")) > LONGEST}
    assert not long


IMPORT_ALL = """
import importlib, logging, pathlib, sys, threading, prometheus_client
registered = set(prometheus_client.REGISTRY._collector_to_names)
opened = []
forbidden = ("socket.__new__", "socket.bind", "socket.connect", "subprocess.Popen", "os.fork")
sys.addaudithook(lambda event, arguments: opened.append(event) if event in forbidden else None)
for path in sorted(pathlib.Path("bridge").rglob("*.py")):
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    importlib.import_module(name)
    assert not opened, f"{name} opens something: {opened}"
    assert set(prometheus_client.REGISTRY._collector_to_names) == registered, f"{name} registers a metric"
    assert threading.active_count() == 1, f"{name} starts a thread"
    assert not logging.getLogger().handlers, f"{name} sets logs up"
"""


def test_importing_opens_and_registers_nothing():
    """Every module can be imported without a socket, process, thread, log handler or registered metric."""
    told = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert told.returncode == 0, told.stderr
