"""Tokens signed with a shared secret (HS256, HS384, HS512): proving them, and making one.

It is often confused whether a setting is the key or the base64 of the key. So a wrong signature is also tried with the
other readings of the secret. None of them is accepted, but the refusal says which one the signer uses.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import jwt

from bridge.access.claims import Check, Rules
from bridge.access.jws import Remembered, Sealed, digest_of, require_algorithm, take_apart
from bridge.access.keyring import Keyring

ALGORITHMS: Final = ("HS256", "HS384", "HS512")


class SecretVerifier:
    """Proves tokens by shared secrets; any of them is accepted, so that a secret can be replaced without a gap.

    A signature that matches none has them read again, because one may just have been replaced. Without ``audience`` or
    ``issuer`` these are not checked. ``now``: epoch seconds.

    Raises:
        ValueError: the secrets cannot be used; as :class:`Keyring`.
    """

    def __init__(
        self,
        secrets: Callable[[], Sequence[bytes]] | Keyring,
        *,
        audience: str | None = None,
        issuer: str | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.rules = Rules(audience=audience, issuer=issuer, now=now)
        self.keyring = secrets if isinstance(secrets, Keyring) else Keyring(secrets)
        self._remembered: Remembered[tuple[Mapping[str, Any], str]] = Remembered()
        self._number = self.keyring.number

    def reload(self) -> None:
        """Read the secrets again; tokens signed with one that is gone are refused from now on."""
        self.keyring.reload()

    def believes(self, signer: str) -> bool:
        """Whether the secret of this name is still there."""
        return self.keyring.believes(signer) or (self.keyring.reread() and self.keyring.believes(signer))

    async def verify(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token that is signed with one of the secrets and valid now.

        Raises:
            Refused: it is not; the message says which check failed.
        """
        return (await self.vouch(token))[0]

    async def vouch(self, token: str) -> tuple[Mapping[str, Any], str]:
        """As :meth:`verify`, with the name of the secret that the token is signed with."""
        proved = self._proved(token)
        self.rules.enforce(proved[0])
        return proved

    async def prove(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token that is signed with one of the secrets, without checking them.

        Raises:
            Refused: it is not.
        """
        return self._proved(token)[0]

    def _proved(self, token: str) -> tuple[Mapping[str, Any], str]:
        if self._number != self.keyring.number:
            self._remembered.forget()
            self._number = self.keyring.number
        digest = digest_of(token)
        known = self._remembered.get(digest)
        if known is None:
            sealed = take_apart(token)
            require_algorithm(sealed, ALGORITHMS)
            signer = self._signer_of(sealed)
            if signer is None and self.keyring.reread():
                signer = self._signer_of(sealed)
            if signer is None:
                self.check_signature(sealed).enforce()
            known = sealed.claims(), signer or ""
            self._remembered.keep(digest, known)
        return known

    def _signer_of(self, sealed: Sealed) -> str | None:
        algorithm = jwt.get_algorithm_by_name(sealed.alg)
        return next((name for name, key in self.keyring.keys.items() if sealed.is_signed_by(algorithm, key)), None)

    def check_signature(self, sealed: Sealed) -> Check:
        """Try each secret; if none fits, find out whether another reading of one would."""
        algorithm = jwt.get_algorithm_by_name(sealed.alg)
        keys = tuple(self.keyring.keys.values())
        for place, key in enumerate(keys, start=1):
            if sealed.is_signed_by(algorithm, key):
                return Check("signature", True, f"signed with secret {place} of {len(keys)}, {sealed.alg}")
        tried = ", ".join(f"secret {place} ({len(key)} bytes)" for place, key in enumerate(keys, start=1))
        finding = f"signature does not match; tried {sealed.alg} with {tried}"
        for place, key in enumerate(keys, start=1):
            for reading, advice in _other_readings(key):
                if sealed.is_signed_by(algorithm, reading):
                    return Check("signature", False, f"{finding}; it matches secret {place} {advice}")
        return Check("signature", False, f"{finding}, as set and in their text, base64 and hex readings")


def sign(
    secret: bytes,
    mailbox: str,
    *,
    lifetime_s: float,
    now: Callable[[], float] = time.time,
    claim: str = "sub",
    mailboxes: Sequence[str] = (),
    sid: str | None = None,
    scope: str | None = None,
    audience: str | None = None,
    issuer: str | None = None,
) -> str:
    """Make a token (HS256) for ``mailbox`` and ``mailboxes``, valid from now for ``lifetime_s`` seconds."""
    issued = now()
    claims: dict[str, Any] = {claim: mailbox, "iat": int(issued), "exp": int(issued + lifetime_s)}
    more = {"mailboxes": list(mailboxes), "sid": sid, "scope": scope, "aud": audience, "iss": issuer}
    return jwt.encode(claims | {name: value for name, value in more.items() if value}, secret, algorithm="HS256")


def _other_readings(secret: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield other keys that a signer may have made of the same setting, with the advice for each."""
    padded = secret + b"=" * (-len(secret) % 4)
    for altchars in (b"+/", b"-_"):
        try:
            decoded = base64.b64decode(padded, altchars=altchars, validate=True)
        except binascii.Error:
            continue
        yield decoded, "decoded from base64: write base64: before it, or have the signer use the text"
    try:
        yield bytes.fromhex(secret.decode("ascii")), "decoded from hex: set it as base64: and those bytes in base64"
    except ValueError:
        pass
    for altchars in (b"+/", b"-_"):
        text = base64.b64encode(secret, altchars)
        yield text, "as the base64 text: remove base64: before it, or have the signer decode the text"
        yield text.rstrip(b"="), "as the base64 text without =: set that text, or have the signer decode it"
    yield secret + b"\n", "with a line end behind it: have the signer trim what it reads"
