"""A signed token (RFC 7515, compact form) taken apart, before anything in it is proved.

Every verifier goes the same way: take apart, compare the algorithm with what is allowed before any key is touched
(the header is the attacker's word), then look at the signature, and only then at the claims.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt.algorithms import Algorithm

from bridge.access import codes
from bridge.access.refused import Refused, quoted
from bridge.events import from_json

_JWS: Final = jwt.PyJWS()
_MOST_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Sealed:
    """Header and parts of a token; ``signed`` is what the signature covers.

    Nothing in it is proved until :meth:`is_signed_by` says so.
    """

    alg: str
    kid: str | None
    payload: bytes
    signed: bytes
    signature: bytes

    def is_signed_by(self, algorithm: Algorithm, key: Any) -> bool:
        """Say whether the signature was made with this key, which is prepared for this algorithm."""
        return algorithm.verify(self.signed, key, self.signature)

    def claims(self) -> dict[str, Any]:
        """Read the claims.

        Raises:
            Refused: the payload is not a JSON object.
        """
        try:
            claims = from_json(self.payload)
        except ValueError as error:
            raise _unreadable(f"its claims are not JSON, {error}") from error
        if not isinstance(claims, dict):
            raise _unreadable("its claims are not a JSON object")
        return claims


def take_apart(token: str) -> Sealed:
    """Read header and parts of a token, whatever its algorithm.

    Raises:
        Refused: it has not the form of a signed token.
    """
    if not token:
        raise _unreadable("it is empty")
    if not token.isascii():
        raise _unreadable("it holds characters that no token has")
    try:
        parts = _JWS.decode_complete(token, options={"verify_signature": False})
    except jwt.PyJWTError as error:
        raise _unreadable(str(error)) from error
    header = parts["header"]
    alg = header.get("alg")
    if not isinstance(alg, str):
        raise _unreadable(f"its alg is {quoted(alg)}")
    return Sealed(
        alg=alg,
        kid=header.get("kid"),
        payload=parts["payload"],
        signed=token.rpartition(".")[0].encode(),
        signature=parts["signature"],
    )


def require_algorithm(sealed: Sealed, allowed: Sequence[str]) -> None:
    """Return if the token's algorithm is one of those ``allowed``.

    Raises:
        Refused: it is not.
    """
    if sealed.alg not in allowed:
        shown = sealed.alg if sealed.alg.isalnum() and len(sealed.alg) < 20 else quoted(sealed.alg)
        raise Refused(401, codes.INVALID_TOKEN, "algorithm", f"alg {shown} not allowed, only {', '.join(allowed)}")


class Remembered:
    """Claims of tokens whose signature was found good: after a restart of a proxy all pages come back at once.

    Only what keys say is remembered, never what the clock says. Keyed by digest, so that no token stays in memory;
    the one not seen for longest goes first. Whoever changes keys must :meth:`forget`.
    """

    def __init__(self) -> None:
        self._claims: OrderedDict[bytes, Mapping[str, Any]] = OrderedDict()

    def get(self, token: str) -> Mapping[str, Any] | None:
        """Return the proved claims of this very token, if it is remembered."""
        digest = _digest(token)
        claims = self._claims.get(digest)
        if claims is not None:
            self._claims.move_to_end(digest)
        return claims

    def keep(self, token: str, claims: Mapping[str, Any]) -> None:
        """Remember a token whose signature was just verified."""
        self._claims[_digest(token)] = claims
        if len(self._claims) > _MOST_REMEMBERED:
            self._claims.popitem(last=False)

    def forget(self) -> None:
        """Forget all of them."""
        self._claims.clear()


def _digest(token: str) -> bytes:
    # A header's bytes that are not UTF-8 arrive as lone surrogates.
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _unreadable(why: str) -> Refused:
    return Refused(401, codes.INVALID_TOKEN, "token", f"this is no signed token: {why}")
