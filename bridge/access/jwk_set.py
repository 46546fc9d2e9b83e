"""The keys of a JWK Set (RFC 7517) that may verify tokens. No I/O here.

A key is bound to the algorithms of its type, so no token can make a public key be used as an HMAC secret. Secrets
(``oct``), keys for encryption, weak keys and unreadable ones are left out; one bad key does not lock out the users of
the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import jwt

from bridge.access.claims import Check
from bridge.access.jws import Sealed
from bridge.access.refused import quoted
from bridge.events import from_json

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384")

_PUBLIC: Final = {"RSA": ("kty", "kid", "n", "e"), "EC": ("kty", "kid", "crv", "x", "y")}
"""The members to use, by key type; a private part that was published by mistake is not even read."""


class PublishedKeys:
    """The usable keys of one JWK Set, parsed once. An empty set is valid: the issuer has withdrawn all keys.

    Raises:
        ValueError: this is not a JWK Set, or none of its keys can be used.
    """

    def __init__(self, document: bytes) -> None:
        listed = _keys_in(document)
        self._keys: Final = tuple(key for one in listed for key in _usable(one))
        if listed and not self._keys:
            raise ValueError(f"none of its {len(listed)} keys can verify {', '.join(ALGORITHMS)}")

    def knows(self, sealed: Sealed) -> bool:
        """Whether the set has the key that the token names."""
        return sealed.kid is not None and any(key.key_id == sealed.kid for key in self._fitting(sealed))

    def check_signature(self, sealed: Sealed) -> Check:
        """Try the keys that may have signed the token."""
        fitting = list(self._fitting(sealed))
        for key in fitting:
            if sealed.is_signed_by(key.Algorithm, key.key):
                return Check("signature", True, f"signed with key {quoted(key.key_id)}, {sealed.alg}")
        if fitting:
            tried = ", ".join(quoted(key.key_id) for key in fitting)
            return Check("signature", False, f"signature does not match; tried {sealed.alg} with key {tried}")
        kids = ", ".join(dict.fromkeys(quoted(key.key_id) for key in self._keys))
        there_are = f"there are {kids}" if kids else "there is none at all"
        return Check("signature", False, f"no key {quoted(sealed.kid)} for {sealed.alg} is published; {there_are}")

    def _fitting(self, sealed: Sealed) -> Iterator[jwt.PyJWK]:
        """Keys with the token's algorithm and name; a missing name, in key or token, matches any."""
        for key in self._keys:
            if key.algorithm_name == sealed.alg and (None in (key.key_id, sealed.kid) or key.key_id == sealed.kid):
                yield key


def _keys_in(document: bytes) -> list[Any]:
    try:
        parsed = from_json(document)
    except ValueError as error:
        raise ValueError(f"not JSON, {error}") from None
    keys = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(keys, list):
        raise ValueError("not a JWK Set: an object with a list of keys")
    return keys


def _usable(key: object) -> Iterator[jwt.PyJWK]:
    """Parse one key, once for each algorithm that it may verify; yield nothing if it is not usable."""
    if not isinstance(key, Mapping) or key.get("use", "sig") != "sig":
        return
    operations = key.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return
    fitting: tuple[str, ...]
    match key.get("kty"), key.get("crv"):
        case "RSA", _:
            fitting = ("RS256", "RS384", "RS512")
        case "EC", "P-256":
            fitting = ("ES256",)
        case "EC", "P-384":
            fitting = ("ES384",)
        case _:
            return
    public = {name: key[name] for name in _PUBLIC[key["kty"]] if name in key}
    for algorithm in fitting:
        if key.get("alg", algorithm) != algorithm:
            continue
        try:
            parsed = jwt.PyJWK(public, algorithm)
        except jwt.PyJWTError:
            continue
        if parsed.Algorithm.check_key_length(parsed.key) is None:
            yield parsed
