"""What ``doctor`` says: in both languages, as JSON, by exit codes; and the settings of units."""

from __future__ import annotations

import re
import string
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bridge.doctor.checks import CHECKS
from bridge.doctor.finding import NotJudged, Outcome, found
from bridge.doctor.report import CHECKS_IN_CHINESE, codes_as_rows, exit_code, facts, language_of, lines
from bridge.doctor.texts import NOT_JUDGED, TEXTS
from bridge.doctor.units import unit_environ, variables_in
from tests.support.processes import ROOT
from tests.support.stage import SECRET
from tests.support.waiting import PATIENCE_S

SAID = re.compile(r'(?:found|NotJudged|NoLine)\(\s*"([a-z-]+)"')
TEXT = re.compile(r'"([a-z-]+)"')


def facts_in(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_each_code_has_both_languages_and_stands_in_the_runbook() -> None:
    """What can be found is explained in English and in Chinese, on the terminal and on the page."""
    for language, name in (("en", "operations.md"), ("zh", "operations.zh-CN.md")):
        page = (ROOT / "docs" / name).read_text()
        for row in codes_as_rows(language):
            assert f"{row}\n" in page
    for code, text in TEXTS.items():
        for language in (text.en, text.zh):
            assert all((language.seen, language.why, language.fix)), code
        assert facts_in(text.en.seen) == facts_in(text.zh.seen), code
        assert re.search(r"[\u4e00-\u9fff]", text.zh.why + text.zh.fix), code
        assert not re.search(r"[\u4e00-\u9fff][,:;?!()]|[,:;?!()][\u4e00-\u9fff]", text.zh.why + text.zh.fix), code


def test_no_check_uses_a_code_without_text_and_no_text_is_left_over() -> None:
    """A finding that nobody could read would end the report."""
    source = "".join(path.read_text() for path in (ROOT / "bridge/doctor").glob("*.py"))
    assert set(SAID.findall(source)) <= set(TEXTS)
    assert set(TEXTS) <= set(TEXT.findall(source))


def test_each_check_has_a_chinese_name() -> None:
    """And none is left over."""
    assert [check.name for check in CHECKS] == list(CHECKS_IN_CHINESE)


def test_the_exit_code_says_healthy_found_or_cannot_judge() -> None:
    """A finding outweighs what could not be judged; what nobody asked for hides nothing. Only where a secret is
    missing can nothing be done about it here; anything else that could not be judged is something to do."""
    hidden, unasked = NotJudged("no-secret", program="edge", setting="X"), NotJudged("program-left-out", by_choice=True)
    for code in ("no-public-url", "needs-redis", "no-answer-in-time", "check-broke", "program-left-out"):
        assert exit_code([Outcome("one"), Outcome("two", not_judged=[NotJudged(code)])]) == 1
        assert exit_code([Outcome("one", not_judged=[NotJudged(code), hidden])]) == 2
    for code in ("secret-closed", "passwords-closed"):
        assert exit_code([Outcome("one", not_judged=[NotJudged(code)])]) == 2
    assert exit_code([Outcome("one"), Outcome("two", not_judged=[unasked])]) == 0
    assert exit_code([Outcome("one", [found("no-edge")], [hidden])]) == 1
    assert exit_code([Outcome("one"), Outcome("two", not_judged=[hidden])]) == 2


def test_foreign_text_is_harmless_and_what_is_not_judged_is_not_called_well() -> None:
    """Escapes act on no terminal, and each line says what it is."""
    evil = found("settings-wrong", program="edge", problem="\x1b[2J\u202e" + "x" * 1000)
    outcomes = [
        Outcome("one", [evil]),
        Outcome("two", not_judged=[NotJudged("secret-closed", program="edge", problem="x")]),
        Outcome("three"),
    ]
    said = list(lines(outcomes, "zh"))
    assert all(line.isprintable() for line in said)
    assert max(map(len, said)) < 500
    assert [line[:4] for line in said if line.startswith("[")] == ["[!!]", "[--]", "[正常]"[:4]]
    chinese = list(
        lines([Outcome("redis", [found("no-edge")]), Outcome("rights", not_judged=[NotJudged("no-passwords")])], "zh")
    )
    assert not [line for line in chinese if re.search(r"[\u4e00-\u9fff][,:]", line)], "set as Chinese"
    assert "\\u001b" not in orjson.dumps(facts(outcomes, "en")).decode()


@pytest.mark.parametrize(
    ("environ", "language"),
    [({"LANG": "zh_CN.UTF-8"}, "zh"), ({"LC_ALL": "C", "LANG": "zh_CN"}, "en"), ({}, "en"), ({"LANG": "de_DE"}, "en")],
)
def test_the_locale_decides_the_language(environ: dict[str, str], language: str) -> None:
    """As for any other program: LC_ALL before LC_MESSAGES before LANG."""
    assert language_of(environ) == language


def test_a_unit_is_read_as_systemd_reads_it(tmp_path: Path) -> None:
    """Its own lines, then the drop-ins by name, the instance's before the template's; what it is handed is the file
    that it comes from; what is no setting of ours is left out."""
    for name in ("worker@", "edge", "signon"):
        (tmp_path / f"exmail-bridge-{name}.service").write_text(
            (ROOT / f"deploy/systemd/exmail-bridge-{name}.service").read_text()
        )
    drop_ins = tmp_path / "exmail-bridge-worker@.service.d"
    drop_ins.mkdir()
    (tmp_path / "more").write_text('# comment\nBRIDGE_LOG_LEVEL="debug"\n')
    (drop_ins / "20-later.conf").write_text("[Service]\nEnvironment=BRIDGE_NAMESPACE=second\n")
    (drop_ins / "10-first.conf").write_text(
        "[Unit]\nEnvironment=BRIDGE_NAMESPACE=wrong\n[Service]\n"
        "LoadCredential=redis-password:/etc/exmail-bridge/redis-password-worker\n"
        "Environment=BRIDGE_REDIS_USERNAME=worker \\\n  BRIDGE_REDIS_PASSWORD_FILE=%d/redis-password PATH=/x\n"
        f"Environment='BRIDGE_NAMESPACE=first'\nEnvironmentFile=-{tmp_path}/none\nEnvironmentFile={tmp_path}/more\n"
    )
    second = tmp_path / "exmail-bridge-worker@2.service.d"
    second.mkdir()
    (second / "20-later.conf").write_text("[Service]\nEnvironment=BRIDGE_NAMESPACE=of-%i\n")
    assert (unit_environ("worker@2", [tmp_path]) or {})["BRIDGE_NAMESPACE"] == "of-2"
    assert (unit_environ("worker@2", [tmp_path]) or {})["BRIDGE_WORKER_ADMIN_LISTEN"] == "127.0.0.2:9101"
    assert unit_environ("worker", [tmp_path]) == unit_environ("worker@1", [tmp_path])
    assert unit_environ("worker", [tmp_path]) == {
        "BRIDGE_WORKER_ADMIN_LISTEN": "127.0.0.1:9101",
        "BRIDGE_PROVIDER_CLIENT_SECRET_FILE": "/etc/exmail-bridge/client-secret",
        "BRIDGE_LOG_FORMAT": "json",
        "BRIDGE_REDIS_USERNAME": "worker",
        "BRIDGE_REDIS_PASSWORD_FILE": "/etc/exmail-bridge/redis-password-worker",
        "BRIDGE_NAMESPACE": "second",
        "BRIDGE_LOG_LEVEL": "debug",
    }
    edge = unit_environ("edge", [tmp_path]) or {}
    assert edge["BRIDGE_EDGE_JWT_SECRET_FILE"] == "/etc/exmail-bridge/jwt-secret"
    assert unit_environ("worker", [tmp_path / "nothing"]) is None


def test_what_systemd_writes_with_a_percent_sign_is_read_so(tmp_path: Path) -> None:
    """systemd.unit(5), Specifiers: a sign of its own is doubled, as in a password within a URL; a file has none."""
    more = tmp_path / "more"
    more.write_text("BRIDGE_EDGE_PUBLIC_URL=https://oa.corp.com/%E9%82%AE/\n")
    (tmp_path / "exmail-bridge-edge.service").write_text(
        "[Service]\nEnvironment=BRIDGE_REDIS_URL=redis://edge:p%%40ss%%25i@redis:6379/0\n"
        f"Environment=BRIDGE_EDGE_JWT_SECRET_FILE=%E/oa/secret\nEnvironmentFile={more}\n"
    )
    assert unit_environ("edge", [tmp_path]) == {
        "BRIDGE_REDIS_URL": "redis://edge:p%40ss%25i@redis:6379/0",
        "BRIDGE_EDGE_JWT_SECRET_FILE": "/etc/oa/secret",
        "BRIDGE_EDGE_PUBLIC_URL": "https://oa.corp.com/%E9%82%AE/",
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("https://a.corp.com, https://b.corp.com", "https://a.corp.com, https://b.corp.com"),
        ("the boss's", "the boss's"),
        ('5" high', '5" high'),
        ("  a b \t", "a b"),
        ("'a b ' ", "a b "),
        ("'it''s'", "its"),
        ('"a\nb \\"c\\" \\d"', 'a\nb "c" \\d'),
        ("a\\\nb\\\\c\\ d", "ab\\c d"),
        ("a#b ;c", "a#b ;c"),
        ("", ""),
        ("'open", "open\nBRIDGE_LOG_LEVEL=debug\n"),
    ],
)
def test_a_file_of_variables_is_read_as_systemd_reads_it(tmp_path: Path, written: str, value: str) -> None:
    """systemd.exec(5), EnvironmentFile: a value goes on to the end of its line, unless it begins with a quote."""
    path = tmp_path / "more"
    path.write_text(f"; it's a comment\n# it's another\nno variable\nBRIDGE_X={written}\nBRIDGE_LOG_LEVEL=debug\n")
    found = variables_in(str(path))
    assert found.pop("BRIDGE_LOG_LEVEL", None) == (None if written == "'open" else "debug")
    assert found == {"BRIDGE_X": value}


def test_a_comment_in_another_encoding_loses_nothing(tmp_path: Path) -> None:
    """Editors in Chinese offices write GBK."""
    path = tmp_path / "exmail-bridge-edge.service"
    lines = f"[Service]\n# \u90ae\u4ef6\nEnvironment=BRIDGE_NAMESPACE=corp\nEnvironmentFile={tmp_path}/more\n"
    path.write_bytes(lines.encode("gbk"))
    (tmp_path / "more").write_bytes("# \u90ae\u4ef6\nBRIDGE_LOG_LEVEL=debug\n".encode("gbk"))
    assert unit_environ("edge", [tmp_path]) == {"BRIDGE_NAMESPACE": "corp", "BRIDGE_LOG_LEVEL": "debug"}


def doctor(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bridge", "doctor", "--within", "60", *words],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_command_judges_the_units_with_their_own_secrets(tmp_path: Path, redis_url: str) -> None:
    """Found through ``--units``; a unit's wrong setting is its finding; nothing secret is printed."""
    secret = tmp_path / "jwt-secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    (tmp_path / "exmail-bridge-edge.service").write_text(
        f"[Service]\nLoadCredential=jwt-secret:{secret}\nEnvironment=BRIDGE_EDGE_JWT_SECRET_FILE=%d/jwt-secret\n"
        f"Environment=BRIDGE_REDIS_URL={redis_url} BRIDGE_NAMESPACE=Wrong\n"
    )
    wrong = doctor("--units", str(tmp_path), "--for", "edge", "--json", "--lang", "zh")
    assert wrong.returncode == 1, wrong.stderr
    said = orjson.loads(wrong.stdout)
    assert said["exit"] == 1
    [finding] = said["checks"][0]["findings"]
    assert finding["code"] == "settings-wrong"
    assert "BRIDGE_NAMESPACE" in finding["seen"]
    assert finding["fix"] == TEXTS["settings-wrong"].zh.fix
    unit = tmp_path / "exmail-bridge-edge.service"
    unit.write_text(unit.read_text().replace(" BRIDGE_NAMESPACE=Wrong", ""))
    right = doctor("--units", str(tmp_path), "--for", "edge", LANG="C")
    assert "[ok] settings" in right.stdout, right.stdout + right.stderr
    assert "(no-leader)" in right.stdout
    assert SECRET not in right.stdout + right.stderr
    assert {code for code in NOT_JUDGED if f"({code})" in right.stdout} >= {"program-left-out"}
