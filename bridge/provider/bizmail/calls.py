"""What all calls share: the token and its one renewal, patience with a busy provider, the report of each request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from ..faults import Busy, CredentialsRefused, InvalidToken, ProviderAway, ProviderError, ProviderRefused
from ..pace import Pace
from . import answers, endpoints
from .endpoints import Endpoint
from .form import fill
from .token import Token, TokenSource, TokenStore
from .transport import Form, TokenStyle, Transport

Outcome = Literal["ok", "refused", "busy", "away", "token"]
"""How a request went; ``token``: the provider took it for a bad one."""

BUSY_TRIES: Final = 4
BUSY_WAIT_MOST_S: Final = 8.0
AWAY_TRIES: Final = 3
PASSING: Final = (None, 408, 429, 500, 502, 503, 504)
"""HTTP statuses that say nothing of the call itself; none, where there was no answer."""


class Calls:
    """Makes calls on behalf of one client id. ``tokens`` is the source of its token, for listen too."""

    def __init__(
        self,
        transport: Transport,
        *,
        client_id: str,
        client_secret: Callable[[], str],
        store: TokenStore,
        on_call: Callable[[str, Outcome, float, str], None] | None,
        pace: Pace,
        busy_wait_s: float,
        now: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._client_id = client_id
        self._client_secret = client_secret
        self._on_call = on_call
        self._pace = pace
        self._busy_wait_s = busy_wait_s
        self._now = now
        self._credentials_in: TokenStyle = "form"
        self.tokens = TokenSource(store, self._fetch_token, now=now)

    async def __call__(self, endpoint: Endpoint, **values: object) -> dict[str, Any]:
        """Make one call; ``values`` by the client's names, ``None`` for what is not sent. Returns the folded answer.

        Raises:
            BadParameter: a value breaks a rule; nothing was sent.
            ProviderError: what came of it.
        """
        form = fill(endpoint, values)
        return await self._patiently(endpoint, lambda: self._with_token(endpoint, form))

    async def _patiently(self, endpoint: Endpoint, ask: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Ask again, a bounded number of times: a busy provider where asking twice does no harm, and one that broke
        off where nothing is written. What was not answered in time is not asked again: that took its time already.
        """
        try:
            return await ask()
        except (Busy, ProviderAway) as error:
            failed = [error]

        # tenacity's objects refer to each other in circles, which Python's collector has to find. A hundred thousand
        # calls that need no patience would make it stop the worker for 40 ms at a time, so only a fault makes them.
        async def ask_again() -> dict[str, Any]:
            if failed:
                raise failed.pop()
            return await ask()

        answer: dict[str, Any] = await self._patience(endpoint)(ask_again)
        return answer

    def _patience(self, endpoint: Endpoint) -> AsyncRetrying:
        """The pauses and their bounds; the first try is counted too."""

        def is_worth_it(error: BaseException) -> bool:
            if isinstance(error, Busy):
                return endpoint.repeatable
            if not isinstance(error, ProviderAway) or endpoint.writes:
                return False
            return error.sent and not error.timed_out and error.status in PASSING

        def is_enough(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome is not None else None
            return state.attempt_number >= (BUSY_TRIES if isinstance(error, Busy) else AWAY_TRIES)

        return AsyncRetrying(
            retry=retry_if_exception(is_worth_it),
            stop=is_enough,
            wait=wait_random_exponential(multiplier=self._busy_wait_s, max=BUSY_WAIT_MOST_S),
            reraise=True,
        )

    async def _with_token(self, endpoint: Endpoint, form: Form) -> dict[str, Any]:
        token = await self.tokens.token()
        try:
            return await self._sent(endpoint, form, token)
        except InvalidToken:
            # Refused, so nothing was done: repeating is harmless for writes too.
            token = await self.tokens.renew(token)
        try:
            return await self._sent(endpoint, form, token)
        except InvalidToken as error:
            self.tokens.distrust(token, error)
            raise

    async def _sent(self, endpoint: Endpoint, form: Form, token: str) -> dict[str, Any]:
        await self._pace.turn()
        return await self._reported(endpoint, self._transport.call(endpoint, form, token=token))

    async def _fetch_token(self) -> Token:
        """Ask for a token, in the form that worked last; the other one if it is refused (protocol 2.3 allows both)."""
        styles: tuple[TokenStyle, TokenStyle] = (
            ("form", "basic") if self._credentials_in == "form" else ("basic", "form")
        )
        try:
            try:
                return await self._fetch_token_as(styles[0])
            except CredentialsRefused:
                token = await self._fetch_token_as(styles[1])
                self._credentials_in = styles[1]
                return token
        except ProviderAway as error:
            # The error is given to the call that needs the token, and that call was not sent.
            error.sent = False
            raise

    async def _fetch_token_as(self, style: TokenStyle) -> Token:
        answer = await self._patiently(endpoints.TOKEN, lambda: self._ask_token(style))
        return answers.read_token(answer, fetched_at=self._now())

    async def _ask_token(self, style: TokenStyle) -> dict[str, Any]:
        call = self._transport.ask_token(self._client_id, self._client_secret(), style=style)
        return await self._reported(endpoints.TOKEN, call)

    async def _reported(self, endpoint: Endpoint, call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """Report to ``on_call`` how a request went."""
        began = time.monotonic()
        outcome: Outcome | None = "ok"
        errcode = ""
        try:
            return await call
        except ProviderError as error:
            outcome = _outcome(error)
            errcode = error.errcode if isinstance(error, ProviderRefused) else ""
            raise
        except asyncio.CancelledError:
            outcome = None
            raise
        finally:
            if self._on_call is not None and outcome is not None:
                self._on_call(endpoint.name, outcome, time.monotonic() - began, errcode)


def _outcome(error: ProviderError) -> Outcome:
    if isinstance(error, InvalidToken):
        return "token"
    if isinstance(error, Busy):
        return "busy"
    return "refused" if isinstance(error, ProviderRefused) else "away"
