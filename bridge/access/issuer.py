"""Tokens signed by an issuer that publishes its keys (RS256 … ES384): fetching the keys, and proving tokens by them.

Keys are fetched at the start, again before they are old, and when a token names an unknown key, so that keys can be
rotated without an operator. While the issuer is away the known keys stay in use, up to a greatest age. An empty set is
an answer and withdraws all keys. If it cannot be known whether a token is valid, the client is told to come later; it
is refused for good only by fresh keys.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from bridge.access import codes
from bridge.access.claims import Check, Rules
from bridge.access.jwk_set import ALGORITHMS, PublishedKeys
from bridge.access.jws import Remembered, Sealed, digest_of, require_algorithm, take_apart
from bridge.access.refused import Refused

log = logging.getLogger(__name__)

_MOST_BYTES: Final = 1_048_576
_FETCH_S: Final = 5.0
_NO_KEYS: Final = Check("keys", False, "no keys yet")


class KeysAway(Exception):
    """The keys cannot be fetched now. The message is for everybody; ``detail``, which names hosts, is for operators."""

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(why)
        self.detail = detail or why


class JwksVerifier:
    """Proves tokens by published keys, which it fetches inside ``async with``.

    Without ``audience`` or ``issuer`` these are not checked. Keys are fetched every ``max_age_s``; unknown tokens,
    which anybody can send, make it fetch at most every ``pause_s``. Keys that were last seen ``kept_s`` ago are not
    used any more. ``now``: epoch seconds; ``clock``: monotonic seconds; ``reason`` describes a network error.
    """

    def __init__(
        self,
        url: str,
        *,
        session: aiohttp.ClientSession,
        audience: str | None = None,
        issuer: str | None = None,
        now: Callable[[], float] = time.time,
        max_age_s: float = 300.0,
        pause_s: float = 10.0,
        kept_s: float = 86_400.0,
        clock: Callable[[], float] = time.monotonic,
        reason: Callable[[BaseException], str] = repr,
    ) -> None:
        self._kept_s = kept_s
        self._clock = clock
        self._seen_at = -math.inf
        self.rules = Rules(audience=audience, issuer=issuer, now=now)
        self._reason = reason
        self._url = url
        self._session = session
        self._max_age_s = max_age_s
        self._pause_s = pause_s
        self._keys: PublishedKeys | None = None
        self._document = b""
        self._why_away: str | None = "not fetched yet"
        self._logged: str | None = None
        self._asked_at = -math.inf
        self._asking = asyncio.Lock()
        self._remembered: Remembered[Mapping[str, Any]] = Remembered()
        self._tasks = asyncio.TaskGroup()
        self._refreshing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._refreshing = self._tasks.create_task(self._keep_fresh(), name="jwks")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
        # The group is not given the body's error, so that this leaves as itself and not inside a group. A defect of the
        # refreshing has cancelled the body, and is raised here.
        await self._tasks.__aexit__(None, None, None)

    async def verify(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token that is signed with a published key and valid now.

        Raises:
            Refused: it is not, or (503) that cannot be known now; the message says which.
        """
        claims = await self.prove(token)
        self.rules.enforce(claims)
        return claims

    async def prove(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token that is signed with a published key, without checking them.

        Raises:
            Refused: it is not, or (503) that cannot be known now.
        """
        if self._keys is not None and self._clock() - self._seen_at > self._kept_s:
            log.error("published keys are too old", extra={"why": self._why_away or "", "kept_s": self._kept_s})
            self._keys, self._document = None, b""
            self._remembered.forget()
        digest = digest_of(token)
        claims = self._remembered.get(digest)
        if claims is None:
            sealed = take_apart(token)
            require_algorithm(sealed, ALGORITHMS)
            await self._prove(sealed)
            claims = sealed.claims()
            self._remembered.keep(digest, claims)
        return claims

    async def vouch(self, token: str) -> tuple[Mapping[str, Any], str]:
        """As :meth:`verify`. There is no signer that could be asked again: a connection that a published key let in
        lasts as long as its token."""
        return await self.verify(token), ""

    def believes(self, signer: str) -> bool:
        return True

    async def _prove(self, sealed: Sealed) -> None:
        keys = self._keys
        check = keys.check_signature(sealed) if keys is not None else _NO_KEYS
        if keys is None or not (check.passed or keys.knows(sealed)):
            # The key is unknown, or another one has its name: the issuer may have new keys.
            away = await self._look_again()
            check = self._keys.check_signature(sealed) if self._keys is not None else _NO_KEYS
            if away is not None and not check.passed:
                message = f"whether the signature is good cannot be known now: {away}"
                raise Refused(503, codes.BUSY, "keys", message, retry_after_s=math.ceil(self._pause_s))
        check.enforce()

    async def _look_again(self) -> str | None:
        """Fetch the keys again because of a token; return ``None``, or why they could not be fetched."""
        clock = asyncio.get_running_loop().time
        came_at = clock()
        async with self._asking:
            # Those who waited here meanwhile use the answer to the first question.
            if self._asked_at < came_at:
                age_s = came_at - self._asked_at
                if age_s < self._pause_s:
                    return self._why_away or f"keys were fetched {age_s:.0f} s ago"
                await self._fetch()
            return self._why_away

    async def _keep_fresh(self) -> None:
        while True:
            async with self._asking:
                await self._fetch()
            await asyncio.sleep(self._pause_s if self._why_away else self._max_age_s)

    async def _fetch(self) -> None:
        """Fetch the published keys; keep the present ones if that fails."""
        try:
            document = await fetch_document(self._session, self._url, reason=self._reason)
            if document != self._document:
                self._keys = PublishedKeys(document)
                self._document = document
                # A key may have been withdrawn.
                self._remembered.forget()
                log.info("published keys taken")
            self._why_away = self._logged = None
            self._seen_at = self._clock()
        except (KeysAway, ValueError) as error:
            why = error.detail if isinstance(error, KeysAway) else str(error)
            if self._logged != why:
                self._logged = why
                log.warning("published keys cannot be had", extra={"why": why, "kept": self._keys is not None})
            self._why_away = str(error)
        self._asked_at = asyncio.get_running_loop().time()


async def fetch_document(
    session: aiohttp.ClientSession, url: str, *, reason: Callable[[BaseException], str] = repr
) -> bytes:
    """Fetch the JWK Set; ``reason`` describes a network error.

    Raises:
        KeysAway: the issuer does not answer, or not with a JWK Set.
    """
    try:
        # A redirect could lead from https to http, or to another host; the operator must configure the final URL.
        async with asyncio.timeout(_FETCH_S), session.get(url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise KeysAway(f"the JWKS URL answers with status {answer.status}")
            document = bytearray()
            async for piece in answer.content.iter_any():
                document += piece
                if len(document) > _MOST_BYTES:
                    raise KeysAway(f"the JWKS URL answers with more than {_MOST_BYTES} bytes")
            return bytes(document)
    except TimeoutError:
        raise KeysAway(f"the JWKS URL does not answer within {_FETCH_S:.0f} s") from None
    except (aiohttp.ClientError, OSError) as error:
        why = f"the JWKS URL cannot be reached: {type(error).__name__}"
        raise KeysAway(why, f"{why.rpartition(':')[0]}: {reason(error)}") from error


async def check_published(
    session: aiohttp.ClientSession, url: str, sealed: Sealed, *, reason: Callable[[BaseException], str] = repr
) -> Check:
    """Fetch the keys for one token and try them (``token --check``).

    Raises:
        KeysAway: they cannot be fetched.
    """
    document = await fetch_document(session, url, reason=reason)
    try:
        keys = PublishedKeys(document)
    except ValueError as error:
        raise KeysAway(f"the JWKS URL answers with {error}") from None
    return keys.check_signature(sealed)
