"""``token``: what it prints is what an edge accepts, and ``--check`` tells every reason why one would not be."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import jwt
import pytest

from bridge.cli import run_command_line

SECRET = "the secret of a test, in forty-eight characters."


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_EDGE_JWT_SECRET", SECRET)


def printed(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert run_command_line(["token", *words]) == code
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    return str(out if code == 0 or out else err)


def signed(**claims: Any) -> str:
    return jwt.encode({"sub": "bob@gzdev.com", "exp": 4_000_000_000, **claims}, SECRET)


def test_a_token_that_the_edge_accepts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line on standard output, by the settings' secret, claim, audience and issuer; ``--check`` agrees."""
    monkeypatch.setenv("BRIDGE_EDGE_JWT_CLAIM", "email")
    monkeypatch.setenv("BRIDGE_EDGE_JWT_AUDIENCE", "oa")
    monkeypatch.setenv("BRIDGE_EDGE_JWT_ISSUER", "us")
    token = printed(
        capsys,
        *("Bob@GZdev.com", "--for", "15m", "--sid", "s-1", "--scope", "open", "--mailboxes", "ann@gzdev.com, x@y.z"),
    )
    claims = jwt.decode(token.strip(), SECRET, ["HS256"], audience="oa", issuer="us")
    assert claims.pop("exp") - claims.pop("iat") == 900
    assert claims == {
        "email": "bob@gzdev.com",
        "mailboxes": ["ann@gzdev.com", "x@y.z"],
        "sid": "s-1",
        "scope": "open",
        "aud": "oa",
        "iss": "us",
    }
    told = printed(capsys, "--check", token.strip())
    assert "FAIL" not in told
    assert "opens bob@gzdev.com, ann@gzdev.com, x@y.z; sid 's-1', scope 'open'" in told
    assert told.endswith("the edge accepts this token\n")


def test_the_first_of_several_secrets_signs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All verify, the first line signs; ``base64:`` is obeyed."""
    raw = bytes(range(40))
    monkeypatch.setenv("BRIDGE_EDGE_JWT_SECRET", f"base64:{base64.b64encode(raw).decode()}\n{SECRET}")
    token = printed(capsys, "bob@gzdev.com").strip()
    assert jwt.decode(token, raw, ["HS256"])["sub"] == "bob@gzdev.com"
    assert "signed with secret 2 of 2" in printed(capsys, "--check", signed())


def test_check_tells_every_reason(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the first; exit code 1."""
    monkeypatch.setenv("BRIDGE_EDGE_JWT_AUDIENCE", "oa")
    token = jwt.encode({"sub": "bob", "exp": 1000, "nbf": 4e9, "aud": "crm"}, "x" * 64, "HS512")
    told = printed(capsys, "--check", token, code=1).splitlines()
    assert told[0] == "ok    alg is HS512"
    assert [line[:4] for line in told[1:6]] == ["FAIL"] * 5
    for line, says in zip(told[1:6], ("signature does not", "expired", "nbf", "aud is 'crm'", "no mail"), strict=True):
        assert says in line
    assert told[6:] == ["the edge refuses this token"]


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("nonsense", "this is no signed token"),
        (jwt.encode({}, None, "none"), "alg none not allowed"),
        (jwt.encode({"sub": "bob@gzdev.com"}, SECRET), "claim 'exp' is missing"),
        (jwt.encode({"exp": 4e9}, SECRET), "claim 'sub' is missing"),
    ],
)
def test_check_of_other_tokens(capsys: pytest.CaptureFixture[str], token: str, says: str) -> None:
    """What cannot be read any further ends there, and is refused."""
    told = printed(capsys, "--check", token, code=1)
    assert f"FAIL  {says}" in told
    assert told.endswith("the edge refuses this token\n")


def test_check_names_the_other_reading(capsys: pytest.CaptureFixture[str]) -> None:
    """A signer that takes the text's base64 for the key is found out."""
    token = jwt.encode({"sub": "bob@gzdev.com", "exp": 4e9}, base64.b64encode(SECRET.encode()))
    assert "it matches secret 1 as the base64 text" in printed(capsys, "--check", token, code=1)


def test_check_reads_what_was_copied(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole header value will do, and ``-`` keeps the token out of the list of processes."""
    printed(capsys, "--check", f"Bearer {signed()}")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f" {signed()}\n"))
    printed(capsys, "--check", "-")


@pytest.mark.parametrize("words", [["bob@gzdev.com"], ["--check", "x"]])
def test_without_a_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """One line that says what is missing; exit code 2."""
    monkeypatch.delenv("BRIDGE_EDGE_JWT_SECRET")
    told = printed(capsys, *words, code=2)
    assert told == ("exmail-bridge: BRIDGE_EDGE_JWT_SECRET is not set; token needs it (--dev: the secret of `dev`)\n")


def test_with_published_keys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here can sign for an issuer; its tokens are checked with its keys, if they can be had."""
    monkeypatch.delenv("BRIDGE_EDGE_JWT_SECRET")
    monkeypatch.setenv("BRIDGE_EDGE_JWKS_URL", "http://127.0.0.1:1/keys")
    assert "no secret here" in printed(capsys, "bob@gzdev.com", code=2)
    assert "alg HS256 not allowed, only RS256" in printed(capsys, "--check", signed(), code=1)
    header = base64.urlsafe_b64encode(b'{"alg":"RS256"}').rstrip(b"=").decode()
    told = printed(capsys, "--check", f"{header}.{signed().partition('.')[2]}", code=1)
    assert told.startswith("exmail-bridge: the JWKS URL cannot be reached: ClientConnectorError: Cannot connect to")
    assert told.count("\n") == 1


def test_a_secret_that_is_a_public_key(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, without quoting it."""
    monkeypatch.setenv("BRIDGE_EDGE_JWT_SECRET", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ==")
    told = printed(capsys, "bob@gzdev.com", code=2)
    assert told.startswith("exmail-bridge: BRIDGE_EDGE_JWT_SECRET: secret 1 will not do")
    assert "AAAA" not in told


def test_dev_uses_the_secret_of_dev(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """``--dev`` reads what ``dev`` in this folder wrote down."""
    monkeypatch.delenv("BRIDGE_EDGE_JWT_SECRET")
    Path(".dev").mkdir()
    Path(".dev/bridge.toml").write_text(f'[edge]\njwt_secret = "{SECRET}"\n')
    token = printed(capsys, "bob@gzdev.com", "--dev").strip()
    assert jwt.decode(token, SECRET, ["HS256"])["sub"] == "bob@gzdev.com"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["bob"],
        ["bob@gzdev.com", "--check", "x"],
        ["bob@gzdev.com", "--for", "0s"],
        ["bob@gzdev.com", "--for", "1w"],
        ["bob@gzdev.com", "--for", "367d"],
        ["bob@gzdev.com", "--mailboxes", "ann"],
        ["bob@gzdev.com", "--mailboxes", ",".join(f"u{n}@y.z" for n in range(21))],
    ],
)
def test_a_wrong_call(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """The usage, and exit code 2."""
    with pytest.raises(SystemExit) as done:
        run_command_line(["token", *words])
    assert done.value.code == 2
    assert "usage: exmail-bridge token" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "seconds"), [("30", 30), ("45s", 45), ("15m", 900), ("8h", 28800), ("7d", 604800)])
def test_times(capsys: pytest.CaptureFixture[str], words: str, seconds: int) -> None:
    """Seconds without a unit, or one of s, m, h, d."""
    claims = jwt.decode(printed(capsys, "bob@gzdev.com", "--for", words).strip(), SECRET, ["HS256"])
    assert claims["exp"] - claims["iat"] == seconds
