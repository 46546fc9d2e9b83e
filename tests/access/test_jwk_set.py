"""Reading a JWK Set: which keys are taken for which algorithms, and what is left out."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from bridge.access.jwk_set import PublishedKeys
from bridge.access.jws import take_apart

RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
CLAIMS = {"sub": "bob@gzdev.com", "exp": 4_000_000_000}


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    public = algorithm.to_jwk(key.public_key(), as_dict=True)
    public.pop("key_ops", None)
    return {**public, **members}


def published(*keys: Any) -> PublishedKeys:
    return PublishedKeys(json.dumps({"keys": keys}).encode())


def accepts(keys: PublishedKeys, key: Any, alg: str, kid: str | None = None) -> bool:
    headers = {"kid": kid} if kid else None
    return keys.check_signature(take_apart(jwt.encode(CLAIMS, key, alg, headers=headers))).passed


@pytest.mark.parametrize(
    ("key", "alg"), [(RSA, "RS256"), (RSA, "RS384"), (RSA, "RS512"), (P256, "ES256"), (P384, "ES384")]
)
def test_a_key_verifies_what_fits_it(key: Any, alg: str) -> None:
    """RSA any of the RS, a curve its own ES; named or not."""
    assert accepts(published(jwk(key)), key, alg)
    assert accepts(published(jwk(key, kid="a", use="sig", key_ops=["verify"], alg=alg)), key, alg, "a")
    assert not accepts(published(jwk(rsa.generate_private_key(65537, 2048)), jwk(P256), jwk(P384)), RSA, "RS256")


def test_a_key_bound_to_an_algorithm_verifies_no_other() -> None:
    """``alg`` in the set is obeyed."""
    keys = published(jwk(RSA, alg="RS512"))
    assert accepts(keys, RSA, "RS512")
    assert not accepts(keys, RSA, "RS256")


def test_the_name_picks_the_key() -> None:
    """A token that names a key is tried with that one only; a key without a name fits any."""
    other = rsa.generate_private_key(65537, 2048)
    keys = published(jwk(RSA, kid="a"), jwk(other, kid="b"))
    assert accepts(keys, RSA, "RS256", "a")
    assert not accepts(keys, RSA, "RS256", "b")
    assert accepts(keys, other, "RS256")
    assert accepts(published(jwk(RSA)), RSA, "RS256", "a")


def test_a_failing_check_names_what_was_tried() -> None:
    """The keys that were tried, or those there are when none is meant."""
    keys = published(jwk(RSA, kid="a"), jwk(P256, kid="e"))
    wrong = take_apart(jwt.encode(CLAIMS, rsa.generate_private_key(65537, 2048), "RS256", headers={"kid": "a"}))
    assert keys.check_signature(wrong).finding == "signature does not match; tried RS256 with key 'a'"
    assert keys.knows(wrong)
    unknown = take_apart(jwt.encode(CLAIMS, RSA, "RS256", headers={"kid": "z"}))
    assert keys.check_signature(unknown).finding == "no key 'z' for RS256 is published; there are 'a', 'e'"
    assert not keys.knows(unknown)
    assert not keys.knows(take_apart(jwt.encode(CLAIMS, RSA, "RS256")))


UNUSABLE: dict[str, Any] = {
    "a secret": {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
    "for encryption": jwk(RSA, use="enc"),
    "for other operations": jwk(RSA, key_ops=["encrypt"]),
    "operations that are no list": jwk(RSA, key_ops=5),
    "for an HMAC": jwk(RSA, alg="HS256"),
    "for none": jwk(RSA, alg="none"),
    "too weak": jwk(rsa.generate_private_key(65537, 1024)),
    "another curve": jwk(ec.generate_private_key(ec.SECP521R1())),
    "another type": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    "a damaged number": jwk(RSA, n="!"),
    "no number": {"kty": "RSA"},
    "a point off its curve": jwk(P256, x=jwk(P256)["y"]),
    "a curve that is no text": jwk(P256, crv=[]),
    "no object": 5,
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_keys_are_left_out(name: str) -> None:
    """One bad key does not lock out the users of a good one; alone it is an error that says so."""
    assert accepts(published(UNUSABLE[name], jwk(RSA)), RSA, "RS256")
    with pytest.raises(ValueError, match="none of its 1 keys"):
        published(UNUSABLE[name])


def test_a_private_key_is_used_as_a_public_one() -> None:
    """An issuer that publishes too much is still served by the public part."""
    whole = RSAAlgorithm.to_jwk(RSA, as_dict=True)
    whole.pop("key_ops")
    assert accepts(published(whole), RSA, "RS256")


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"{}", b'{"keys":{}}', b"\xff", b"<html>"])
def test_what_is_no_set(document: bytes) -> None:
    """An error, so that the old keys stay."""
    with pytest.raises(ValueError):
        PublishedKeys(document)
