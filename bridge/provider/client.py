"""The provider as an object: one thin method an endpoint.

What all calls share is here, once: the token and its one renewal, patience with a busy provider, and the report of
each call. What an answer means is in ``answers``, how bytes travel in ``transport``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from . import answers, endpoints
from .asking import SETTLE_S
from .endpoints import Endpoint
from .errors import Busy, CredentialsRefused, InvalidToken, ProviderError, ProviderRefused
from .listen import ListenSession
from .models import Delta, Profile
from .token import MemoryTokenStore, Token, TokenSource, TokenStore
from .transport import TokenStyle, Transport

BUSY_TRIES: Final = 4
BUSY_WAIT_S: Final = 0.5
BUSY_WAIT_MOST_S: Final = 8.0


class ProviderClient:
    """Calls the provider on behalf of one client id (protocol 2.3 and 3).

    ``session`` is the caller's to close. ``client_secret`` is asked each time it is needed, so that it can be
    changed while we run. ``on_call(endpoint, outcome, seconds)`` hears of every request that went out, with outcome
    ``ok``, ``refused``, ``busy``, ``away`` or ``token``. ``timeout_s`` bounds one request; ``busy_wait_s`` bounds
    the first pause when the provider says 1002, doubled for each further one up to eight seconds; four tries.

    Every method raises :class:`ProviderAway`, :class:`UnreadableAnswer`, or the :class:`ProviderRefused` that
    stands for the provider's errcode.
    """

    def __init__(
        self,
        *,
        api_url: str,
        auth_url: str,
        client_id: str,
        client_secret: Callable[[], str],
        session: aiohttp.ClientSession,
        tokens: TokenStore | None = None,
        on_call: Callable[[str, str, float], None] | None = None,
        timeout_s: float = 20,
        busy_wait_s: float = BUSY_WAIT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._transport = Transport(api_url=api_url, auth_url=auth_url, session=session, timeout_s=timeout_s)
        self._client_id = client_id
        self._client_secret = client_secret
        self._on_call = on_call
        self._busy_wait_s = busy_wait_s
        self._now = now
        self._credentials_in: TokenStyle = "form"
        self._tokens = TokenSource(MemoryTokenStore() if tokens is None else tokens, self._fetch_token, now=now)
        self._highest_ver = 0

    async def user_list(self, ver: int) -> Delta:
        """Accounts changed after ``ver``, all accounts for 0 (protocol 3.3.3)."""
        return answers.read_delta(await self._call(endpoints.USER_LIST, {"Ver": str(ver)}))

    async def user_get(self, alias: str) -> Profile:
        """One account (protocol 3.3.1).

        Raises:
            NotFound: no such account; deleted in the meantime, perhaps.
        """
        return answers.read_profile(await self._call(endpoints.USER_GET, {"Alias": alias}), asked=alias)

    async def newcount(self, alias: str) -> int:
        """The number of unread mails of an account (protocol 3.3.4).

        Raises:
            NotFound: no such account.
        """
        return answers.read_newcount(await self._call(endpoints.NEWCOUNT, {"Alias": alias}))

    def listen(
        self,
        *,
        ver: Callable[[], int],
        silence_s: float,
        on_online: Callable[[], None] | None = None,
        on_bytes: Callable[[], None] | None = None,
        before_connect: Callable[[], Awaitable[None]] | None = None,
        settle_s: float = SETTLE_S,
    ) -> ListenSession:
        """One listen session (protocol 3.2.1), to be entered with ``async with`` and read with ``async for``.

        ``ver`` gives the cursor each time the provider is asked. Silence of ``silence_s`` seconds brings a probe,
        of three times that the end. ``on_online`` is called once, when counts may be reconciled; ``on_bytes`` each
        time anything at all came. ``before_connect`` is awaited before each connection: what it raises ends the
        session before another listener is displaced. ``settle_s`` is the second of the asking rule.
        """
        return ListenSession(
            transport=self._transport,
            tokens=self._tokens,
            # A delta that is slow or held must not make the provider push the same Ver over and over.
            ver=lambda: max(ver(), self._highest_ver),
            on_ver=self._ver_pushed,
            silence_s=silence_s,
            settle_s=settle_s,
            on_online=on_online,
            on_bytes=on_bytes,
            before_connect=before_connect,
        )

    def _ver_pushed(self, ver: int) -> None:
        self._highest_ver = max(self._highest_ver, ver)

    async def _call(self, endpoint: Endpoint, params: Mapping[str, str]) -> dict[str, Any]:
        """One call, with everything that calls have in common."""
        return await self._patience(endpoint)(self._with_token, endpoint, params)

    def _patience(self, endpoint: Endpoint) -> AsyncRetrying:
        """Ask a busy provider again, a bounded number of times, where asking twice does no harm."""
        return AsyncRetrying(
            retry=retry_if_exception_type(Busy),
            stop=stop_after_attempt(BUSY_TRIES if endpoint.repeatable else 1),
            wait=wait_random_exponential(multiplier=self._busy_wait_s, max=BUSY_WAIT_MOST_S),
            reraise=True,
        )

    async def _with_token(self, endpoint: Endpoint, params: Mapping[str, str]) -> dict[str, Any]:
        token = await self._tokens.token()
        try:
            return await self._reported(endpoint, self._transport.call(endpoint, params, token=token))
        except InvalidToken:
            # Refused, so nothing was done: repeating is harmless for writes too.
            token = await self._tokens.renew(token)
            return await self._reported(endpoint, self._transport.call(endpoint, params, token=token))

    async def _fetch_token(self) -> Token:
        """Ask for a token, in the form that worked last; the other one if it is refused (protocol 2.3 allows both)."""
        styles: tuple[TokenStyle, TokenStyle] = (
            ("form", "basic") if self._credentials_in == "form" else ("basic", "form")
        )
        try:
            return await self._fetch_token_as(styles[0])
        except CredentialsRefused:
            token = await self._fetch_token_as(styles[1])
            self._credentials_in = styles[1]
            return token

    async def _fetch_token_as(self, style: TokenStyle) -> Token:
        answer: dict[str, Any] = await self._patience(endpoints.TOKEN)(self._ask_token, style)
        return answers.read_token(answer, fetched_at=self._now())

    async def _ask_token(self, style: TokenStyle) -> dict[str, Any]:
        call = self._transport.ask_token(self._client_id, self._client_secret(), style=style)
        return await self._reported(endpoints.TOKEN, call)

    async def _reported(self, endpoint: Endpoint, call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """Tell ``on_call`` how a request went."""
        began = time.monotonic()
        outcome = "ok"
        try:
            return await call
        except ProviderError as error:
            outcome = _outcome(error)
            raise
        except asyncio.CancelledError:
            outcome = ""
            raise
        finally:
            if self._on_call is not None and outcome:
                self._on_call(endpoint.name, outcome, time.monotonic() - began)


def _outcome(error: ProviderError) -> str:
    if isinstance(error, InvalidToken):
        return "token"
    if isinstance(error, Busy):
        return "busy"
    return "refused" if isinstance(error, ProviderRefused) else "away"
