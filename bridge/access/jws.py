"""A signed token (RFC 7515, compact form) taken apart, before anything in it is proved.

Every verifier works in this order: take the token apart; compare the algorithm with those allowed before using any key,
because an attacker may have written the header; check the signature; and only then read the claims.
"""

from __future__ import annotations

import binascii
import hashlib
from binascii import a2b_base64, b2a_base64
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Generic, NamedTuple, TypeVar

import jwt
from jwt.algorithms import Algorithm

from bridge.access import codes
from bridge.access.refused import Refused, quoted
from bridge.events import from_json

T = TypeVar("T")

_JWS: Final = jwt.PyJWS()
_STANDARD: Final = bytes.maketrans(b"-_+/", b"+/!!")
_URLSAFE: Final = bytes.maketrans(b"+/", b"-_")
_MOST_HEADERS: Final = 64
_LONGEST_KEPT: Final = 512
_MOST_REMEMBERED: Final = 4096


class Sealed(NamedTuple):
    """Header and parts of a token; ``signed`` is what the signature covers.

    Nothing is proved before :meth:`is_signed_by` returns true.
    """

    alg: str
    kid: str | None
    payload: bytes
    signed: bytes
    signature: bytes

    def is_signed_by(self, algorithm: Algorithm, key: Any) -> bool:
        """Whether the signature was made with this key, which must be prepared for the algorithm."""
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
        Refused: it does not have the form of a signed token.
    """
    if not token:
        raise _unreadable("it is empty")
    if not token.isascii():
        raise _unreadable("it holds characters that no token has")
    signed, dot, signature = token.encode().rpartition(b".")
    header, second_dot, payload = signed.partition(b".")
    if not dot or not second_dot:
        raise _unreadable("Not enough segments")
    alg, kid = (_read_header if len(header) <= _LONGEST_KEPT else _read_header.__wrapped__)(header)
    return Sealed(alg, kid, _decoded(payload, "payload"), signed, _decoded(signature, "crypto"))


@lru_cache(maxsize=_MOST_HEADERS)
def _read_header(header: bytes) -> tuple[str, str | None]:
    """Algorithm and key id in the first part of a token. A signer writes the same into all of its tokens.

    Raises:
        Refused: PyJWT does not take it.
    """
    try:
        read = _JWS.decode_complete(header + b"..", options={"verify_signature": False})["header"]
    except jwt.PyJWTError as error:
        raise _unreadable(str(error)) from error
    alg = read.get("alg")
    if not isinstance(alg, str):
        raise _unreadable(f"its alg is {quoted(alg)}")
    return alg, read.get("kid")


def _decoded(part: bytes, name: str) -> bytes:
    """Decode base64url as PyJWT does, whose own way costs more than the signature: with or without the padding, and
    nothing that the same bytes would not be encoded to.

    Raises:
        Refused
    """
    bare = part.rstrip(b"=")
    padding = len(part) - len(bare)
    if padding <= 2 and not (padding and len(part) % 4) and len(bare) % 4 != 1:
        try:
            decoded = a2b_base64(bare.translate(_STANDARD) + b"=" * (-len(bare) % 4), strict_mode=True)
        except binascii.Error:
            pass
        else:
            if b2a_base64(decoded, newline=False).rstrip(b"=").translate(_URLSAFE) == bare:
                return decoded
    raise _unreadable(f"Invalid {name} padding")


def require_algorithm(sealed: Sealed, allowed: Sequence[str]) -> None:
    """Return if the token's algorithm is one of those ``allowed``.

    Raises:
        Refused: it is not.
    """
    if sealed.alg not in allowed:
        shown = sealed.alg if sealed.alg.isalnum() and len(sealed.alg) < 20 else quoted(sealed.alg)
        raise Refused(401, codes.INVALID_TOKEN, "algorithm", f"alg {shown} not allowed, only {', '.join(allowed)}")


class Remembered(Generic[T]):
    """Caches what was read from tokens with a valid signature: after a restart of a proxy all pages come back at once.

    Only signatures are cached, not whether a token has expired. The key is a :func:`digest_of` the token, so that no
    token stays in memory; the least recently used entry is dropped first. Whoever changes the keys must call
    :meth:`forget`.
    """

    def __init__(self) -> None:
        self._read: OrderedDict[bytes, T] = OrderedDict()

    def get(self, digest: bytes) -> T | None:
        """Return what was read from this token, if that is cached."""
        read = self._read.get(digest)
        if read is not None:
            self._read.move_to_end(digest)
        return read

    def keep(self, digest: bytes, read: T) -> None:
        """Cache what was read from a token whose signature was just verified."""
        self._read[digest] = read
        if len(self._read) > _MOST_REMEMBERED:
            self._read.popitem(last=False)

    def forget(self) -> None:
        """Empty the cache."""
        self._read.clear()


def digest_of(token: str) -> bytes:
    """What a token is remembered by."""
    # Bytes of a header that are not UTF-8 arrive as lone surrogates.
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _unreadable(why: str) -> Refused:
    return Refused(401, codes.INVALID_TOKEN, "token", f"this is no signed token: {why}")
