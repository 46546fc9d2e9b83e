"""A request of the API as an endpoint sees it: its parameters, what must be there, and how to say no.

A refusal is an errcode with HTTP status 200, and both its values are strings.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from bridge.simulator.dialect import Dialect, Rules
from bridge.simulator.faults.faults import Faults
from bridge.simulator.wire.request import Request
from bridge.simulator.world.account import Account, Action
from bridge.simulator.world.world import World

INVALID_REQUEST = 1001
INVALID_TOKEN = 1200
USER_NOT_FOUND = 1301
BAD_PASSWORD = 1303
ADDRESS_EXISTS = 1304
PARTY_NOT_FOUND = 1310
NO_SUCH_MAILBOX = 1400
TOO_OFTEN = 45009


class Refusal(Exception):
    """The provider says no. ``text`` None: the text that belongs to the code."""

    def __init__(self, code: int, text: str | None = None) -> None:
        super().__init__(f"{code} {text or ''}".strip())
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and what is needed to answer it."""

    world: World
    request: Request
    dialect: Dialect
    rules: Rules
    faults: Faults

    def require(self, name: str) -> str:
        """The value of a parameter that must be there (name in lower case).

        Raises:
            Refusal: 1001, it is missing or empty.
        """
        value = self.request.param(name)
        if not value:
            raise Refusal(INVALID_REQUEST)
        return value

    def values(self, name: str) -> list[str]:
        """Every value of a repeated parameter in order, without blanks around it; empty ones do not count."""
        return [text for value in self.request.params.get(name, ()) if (text := value.strip())]

    def require_values(self, name: str) -> list[str]:
        """The values of a repeated parameter of which there must be one.

        Raises:
            Refusal: 1001, there is none.
        """
        if not (values := self.values(name)):
            raise Refusal(INVALID_REQUEST)
        return values

    def choose(self, name: str, choices: Container[str]) -> str | None:
        """A parameter that may be missing, but not be anything else.

        Raises:
            Refusal: 1001, it is something else.
        """
        value = self.request.param(name)
        if value is not None and value not in choices:
            raise Refusal(INVALID_REQUEST)
        return value

    def require_action(self) -> Action:
        """The parameter Action: 1, 2 or 3.

        Raises:
            Refusal: 1001, it is missing or no action.
        """
        self.choose("action", ("1", "2", "3"))
        return Action(int(self.require("action")))

    def require_account(self) -> Account:
        """The account that the parameter Alias names by its main address.

        Raises:
            Refusal: 1001, there is no parameter; 1301, there is no account.
        """
        account = self.world.account(self.require("alias"))
        if account is None:
            raise Refusal(USER_NOT_FOUND)
        return account

    def require_ver(self) -> int:
        """The parameter Ver as a number.

        Raises:
            Refusal: 1001, it is missing or no number, or one that no 64 bits hold.
        """
        text = self.require("ver")
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise Refusal(INVALID_REQUEST)
        return int(text)

    def require_token(self) -> None:
        """Check the access token, wherever it was put.

        Raises:
            Refusal: 1200, it is missing, unknown or expired; the provider does not say which.
        """
        if not self.world.tokens.accepts(self.request.token or ""):
            raise Refusal(INVALID_TOKEN)


@dataclass(frozen=True, slots=True)
class Page:
    """An answer for people: HTML, and the outcome for the log of calls."""

    html: bytes
    outcome: str


def listing(lines: Iterable[Mapping[str, object]]) -> dict[str, object]:
    """A list as the provider writes it (protocol 3.3.3, 3.3.6–3.3.8)."""
    lines = list(lines)
    return {"Count": len(lines), "List": lines}
