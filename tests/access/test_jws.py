"""Taking a token apart: as PyJWT does it, and cheaper."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import jwt
import pytest
from jwt.utils import base64url_encode

from bridge.access.jws import Sealed, take_apart
from bridge.access.refused import Refused
from tests.fuzz.mutate import Mutator

SECRET = b"a-secret-for-tests-of-64-bytes-or-more, as HS512 wants it to be...."
TOKENS = [
    jwt.encode({"sub": "bob@gzdev.com", "exp": 2_000_000_000, "n": "x" * size}, SECRET, alg, headers=headers)
    for size in range(4)
    for alg, headers in (("HS256", {}), ("HS384", {"kid": "a"}), ("HS512", {"typ": "at+jwt", "kid": ""}))
]
HEADERS: list[Any] = [
    {},
    [],
    {"alg": "HS256", "kid": 5},
    {"alg": None},
    {"alg": "HS256", "crit": ["x"], "x": 1},
    {"alg": "HS256", "crit": ["b64"], "b64": False},
    {"alg": "HS256", "b64": False},
    {"alg": "HS256", "b64": True},
]


def by_the_library(token: str) -> Sealed | None:
    """What PyJWT reads in a token, the whole of it; ``None``: it does not take it."""
    try:
        parts = jwt.PyJWS().decode_complete(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return None
    header = parts["header"]
    if not isinstance(header.get("alg"), str):
        return None
    signed = token.rpartition(".")[0].encode()
    return Sealed(header["alg"], header.get("kid"), parts["payload"], signed, parts["signature"])


def by_us(token: str) -> Sealed | None:
    try:
        return take_apart(token)
    except Refused:
        return None


def test_good_tokens_are_read_alike() -> None:
    """Also with the padding that some issuers write."""
    for token in TOKENS:
        assert by_us(token) == by_the_library(token) is not None
        padded = ".".join(part + "=" * (-len(part) % 4) for part in token.split("."))
        assert by_us(padded) == by_the_library(padded) is not None


@pytest.mark.parametrize("header", HEADERS, ids=str)
def test_odd_headers_are_read_alike(header: Any) -> None:
    """What the library knows of a header holds, whether it was seen before or not."""
    first = base64url_encode(json.dumps(header).encode()).decode()
    for rest in (TOKENS[0].partition(".")[2], ".", "..", ""):
        for _ in range(2):
            assert by_us(f"{first}.{rest}") == by_the_library(f"{first}.{rest}")


def test_any_bytes_are_read_alike() -> None:
    """Mutated tokens: taken by both with the same meaning, or by neither. Of one signature there is one way to write
    it."""
    words = [b".", b"=", b"==", b"-", b"_", b"+", b"/", b"\n", b" ", b"A"]
    mutator = Mutator([token.encode() for token in TOKENS], words, longest=2000, seed=3)
    random, taken = Random(4), 0
    for _ in range(5000):
        text = mutator.next().decode("ascii", "replace")
        if random.random() < 0.5:
            # Most changes break a token at once; a single letter may not.
            at = random.randrange(len(TOKENS[0]))
            text = TOKENS[0][:at] + random.choice("AQgw-_+/=.") + TOKENS[0][at + 1 :]
        if text and text.isascii():
            assert by_us(text) == by_the_library(text), text
            taken += by_us(text) is not None
    assert taken > 100
