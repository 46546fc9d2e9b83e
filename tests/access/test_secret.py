"""Tokens signed with a shared secret: what is accepted, and what a refusal says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bridge.access import codes
from bridge.access.access import Refused
from bridge.access.jws import Remembered
from bridge.access.secret import SecretVerifier, sign

SECRET = b"first secret of the test, as long as HS512 wants it to be: 64 bytes."
OTHER = b"second secret of the test, as long as HS512 wants it to be: 64 bytes"
CLAIMS = {"sub": "bob@gzdev.com", "exp": 4_000_000_000}


def verifier(*secrets: bytes, **options: Any) -> SecretVerifier:
    return SecretVerifier(lambda: secrets or (SECRET,), **options)


async def refusal(token: str, *secrets: bytes, **options: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        await verifier(*secrets, **options).verify(token)
    assert refused.value.status == 401
    return refused.value


def by_hand(header: Any, claims: Any = CLAIMS, secret: bytes = SECRET) -> str:
    """A token written apart from any library, which would refuse to write some of these."""

    def part(value: Any) -> bytes:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    signed = part(header) + b"." + part(claims)
    return (signed + b"." + part(hmac.digest(secret, signed, "sha256"))).decode()


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
async def test_every_hmac_algorithm(alg: str) -> None:
    """Java libraries pick by key length; all three are accepted."""
    assert await verifier().verify(jwt.encode(CLAIMS, SECRET, alg)) == CLAIMS


async def test_several_secrets_all_verify() -> None:
    """One can be replaced by the other without a gap."""
    both = verifier(OTHER, SECRET)
    for secret in (SECRET, OTHER):
        assert await both.verify(jwt.encode(CLAIMS, secret, "HS256")) == CLAIMS


async def test_a_secret_that_is_gone_verifies_no_more() -> None:
    """After a reload, not even a token that was seen before."""
    secrets = [SECRET, OTHER]
    both = SecretVerifier(lambda: secrets)
    token = jwt.encode(CLAIMS, SECRET)
    await both.verify(token)
    secrets.remove(SECRET)
    both.reload()
    with pytest.raises(Refused, match="signature"):
        await both.verify(token)
    assert await both.verify(jwt.encode(CLAIMS, OTHER)) == CLAIMS


async def test_a_wrong_signature_says_what_was_tried() -> None:
    """Algorithm, which secrets, how long they are; never the secrets."""
    refused = await refusal(jwt.encode(CLAIMS, b"x" * 40), SECRET, OTHER)
    assert (refused.code, refused.label) == (codes.INVALID_TOKEN, "signature")
    assert "tried HS256 with secret 1 (68 bytes), secret 2 (68 bytes)" in refused.message
    assert "test" not in refused.message


BYTES = bytes(range(200, 240))
TEXT = base64.b64encode(BYTES)
URLSAFE = base64.urlsafe_b64encode(BYTES)


@pytest.mark.parametrize(
    ("configured", "signer", "says"),
    [
        (TEXT, BYTES, "decoded from base64: write base64: before it"),
        (URLSAFE.rstrip(b"="), BYTES, "decoded from base64: write base64: before it"),
        (BYTES, TEXT, "as the base64 text: remove base64: before it"),
        (BYTES, URLSAFE, "as the base64 text: remove base64: before it"),
        (BYTES, URLSAFE.rstrip(b"="), "as the base64 text without ="),
        (BYTES.hex().encode(), BYTES, "decoded from hex"),
        (SECRET, SECRET + b"\n", "with a line end behind it"),
    ],
)
async def test_another_reading_of_a_secret_is_named(configured: bytes, signer: bytes, says: str) -> None:
    """Text or base64 is a standing confusion: such a token is refused, and told what would mend it."""
    refused = await refusal(jwt.encode(CLAIMS, signer), OTHER, configured)
    assert f"it matches secret 2 {says}" in refused.message


@pytest.mark.parametrize("alg", ["none", "None", "RS256", "ES256", "PS256", "HS1", "", "x" * 500, "HS256\n", "\ud800"])
async def test_other_algorithms_are_refused(alg: str) -> None:
    """Before any key is touched, and even if an HMAC of the secret stands behind them."""
    refused = await refusal(by_hand({"alg": alg}))
    assert (refused.code, refused.label) == (codes.INVALID_TOKEN, "algorithm")
    assert "only HS256, HS384, HS512" in refused.message
    assert len(refused.message) < 200
    refused.message.encode()


async def test_the_refused_algorithm_is_named() -> None:
    """As a person would write it."""
    assert (await refusal(by_hand({"alg": "RS256"}))).message.startswith("alg RS256 not allowed")


@pytest.mark.parametrize("alg", [None, 5, ["HS256"], {"HS256": 1}, True])
async def test_an_algorithm_that_is_no_text(alg: Any) -> None:
    """Refused as unreadable."""
    assert (await refusal(by_hand({"alg": alg}))).label == "token"


def _unsigned() -> str:
    return by_hand({"alg": "HS256"}).rpartition(".")[0] + "."


@pytest.mark.parametrize(
    ("token", "label"),
    [
        ("", "token"),
        ("abc", "token"),
        ("a.b.c", "token"),
        ("....", "token"),
        ("é.é.é", "token"),
        ("\udcff.a.b", "token"),
        (by_hand([1]), "token"),
        (by_hand(b"\xff"), "token"),
        (by_hand({"typ": "JWT"}), "token"),
        (by_hand({"alg": "HS256", "kid": 5}), "token"),
        (by_hand({"alg": "HS256", "crit": ["x"], "x": 1}), "token"),
        (by_hand({"alg": "HS256", "crit": ["b64"], "b64": False}), "token"),
        (by_hand({"alg": "HS256"}, [1]), "token"),
        (by_hand({"alg": "HS256"}, b"{"), "token"),
        (by_hand({"alg": "HS256"}, b'{"exp":NaN}'), "token"),
        (by_hand({"alg": "HS256"}, b"[" * 3000), "token"),
        (_unsigned(), "signature"),
        (by_hand({"alg": "HS256"}) + "A", "signature"),
        (by_hand({"alg": "HS256"}) + "!", "token"),
        (by_hand({"alg": "HS256"}) + ".A", "token"),
        ("eyJhbGciOiJIUzI1NiJ9" + "." + "A" * 6000 + "." + "A" * 43, "signature"),
    ],
)
async def test_what_is_no_good_token(token: str, label: str) -> None:
    """Refused with what is wrong, whatever is sent; never an error of another kind."""
    refused = await refusal(token)
    assert (refused.code, refused.label) == (codes.INVALID_TOKEN, label)
    refused.message.encode()


def _replace(token: str, place: int, change: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
    parts = token.split(".")
    raw = json.loads(base64.urlsafe_b64decode(parts[place] + "=="))
    parts[place] = base64.urlsafe_b64encode(json.dumps(change(raw)).encode()).rstrip(b"=").decode()
    return ".".join(parts)


async def test_a_changed_token_is_refused() -> None:
    """Claims and header are both under the signature, also when the honest token was seen a moment ago."""
    proving = verifier()
    token = jwt.encode(CLAIMS, SECRET)
    await proving.verify(token)
    for changed in (
        _replace(token, 1, lambda claims: claims | {"sub": "eve@gzdev.com"}),
        _replace(token, 0, lambda header: header | {"kid": "x"}),
    ):
        with pytest.raises(Refused, match="signature does not match"):
            await proving.verify(changed)


@pytest.mark.parametrize("size", [0, 1, 31])
def test_a_short_secret_is_not_taken(size: int) -> None:
    """32 bytes or more; the message names which one."""
    with pytest.raises(ValueError, match=f"secret 2 has {size} bytes"):
        verifier(SECRET, b"x" * size)


def test_no_secret_is_not_taken() -> None:
    """A verifier without keys would refuse everybody in silence."""
    with pytest.raises(ValueError, match="no secret"):
        SecretVerifier(list)


def test_a_public_key_is_no_secret() -> None:
    """Anybody could sign with it; the message does not quote it."""
    key = rsa.generate_private_key(65537, 2048).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(ValueError, match=r"secret 1 will not do: .*asymmetric") as refused:
        verifier(pem)
    assert "BEGIN" not in str(refused.value)


async def test_a_remembered_token_still_expires() -> None:
    """The signature is remembered, the clock is not."""
    time_s = [1000.0]
    proving = verifier(now=lambda: time_s[0])
    token = jwt.encode({"sub": "bob@gzdev.com", "exp": 2000}, SECRET)
    await proving.verify(token)
    await proving.verify(token)
    time_s[0] = 2312
    with pytest.raises(Refused, match="expired 312 s ago"):
        await proving.verify(token)


def test_memory_of_tokens_is_bounded() -> None:
    """The token not seen for longest is forgotten first; each one remembers its own claims."""
    remembered = Remembered()
    for number in range(4096):
        remembered.keep(f"t{number}", {"n": number})
    assert remembered.get("t0") == {"n": 0}
    remembered.keep("t4096", {"n": 4096})
    assert remembered.get("t1") is None
    assert [remembered.get(f"t{number}") for number in (0, 2, 4096)] == [{"n": 0}, {"n": 2}, {"n": 4096}]


async def test_what_we_sign_we_believe() -> None:
    """``sign`` makes what a verifier with the same settings accepts, with all that was asked for."""
    proving = verifier(audience="oa", issuer="us", now=lambda: 1000.0)
    token = sign(
        SECRET,
        "bob@gzdev.com",
        lifetime_s=60,
        now=lambda: 1000.0,
        claim="email",
        mailboxes=["ann@gzdev.com"],
        sid="s-1",
        scope="open",
        audience="oa",
        issuer="us",
    )
    assert await proving.verify(token) == {
        "email": "bob@gzdev.com",
        "iat": 1000,
        "exp": 1060,
        "mailboxes": ["ann@gzdev.com"],
        "sid": "s-1",
        "scope": "open",
        "aud": "oa",
        "iss": "us",
    }


def test_what_was_not_asked_for_is_not_claimed() -> None:
    """The smallest token holds mailbox and times only."""
    claims = jwt.decode(sign(SECRET, "bob@gzdev.com", lifetime_s=60), SECRET, ["HS256"])
    assert claims.keys() == {"sub", "iat", "exp"}
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 3600


async def test_a_token_of_another_hand() -> None:
    """A token written byte by byte from the RFC's rules is accepted."""
    head, body = b'{"typ":"JWT",\r\n "alg":"HS256"}', b'{"sub":"bob@gzdev.com",\r\n "exp":4000000000}'
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (head, body))
    seal = base64.urlsafe_b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).rstrip(b"=")
    assert (await verifier().verify((signed + b"." + seal).decode()))["sub"] == "bob@gzdev.com"
