"""The calls that are answered at once: token, ``user/list``, ``user/get``, ``mail/newcount`` (protocol 2.3 and 3.3).

Each is a function of the world and the request to the JSON of the answer; a further endpoint is one more of them.
A refusal is an errcode with HTTP status 200, and both its values are strings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .account import Account, Action
from .dialect import Dialect
from .documents import count
from .faults import Faults, Kind
from .request import Request
from .world import World

INVALID_REQUEST = 1001
INVALID_TOKEN = 1200
USER_NOT_FOUND = 1301
NO_SUCH_MAILBOX = 1400


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

    def require_ver(self) -> int:
        """The parameter Ver as a number.

        Raises:
            Refusal: 1001, it is missing or no number.
        """
        text = self.require("ver")
        if not (text.isascii() and text.isdigit()):
            raise Refusal(INVALID_REQUEST)
        return int(text)

    def require_token(self) -> None:
        """Check the access token, wherever it was put.

        Raises:
            Refusal: 1200, it is missing, unknown or expired; the provider does not say which.
        """
        if not self.world.tokens.accepts(self.request.token or ""):
            raise Refusal(INVALID_TOKEN)


def token(question: Question) -> dict[str, object]:
    """``cgi-bin/token`` (protocol 2.3). Which errcode wrong credentials get is not documented."""
    credentials = question.request.credentials
    grant = question.request.param("grant_type")
    if credentials is None or grant not in (None, "client_credentials"):
        raise Refusal(INVALID_REQUEST)
    desk = question.world.tokens
    if not desk.knows(*credentials):
        raise Refusal(INVALID_REQUEST, "invalid_client")
    return {
        "access_token": desk.issue(),
        "token_type": "Bearer",
        "expires_in": desk.expires_in_s,
        "refresh_token": "",
    }


def user_list(question: Question) -> dict[str, object]:
    """``openapi/user/list`` (protocol 3.3.3): accounts for Ver=0, else what changed after it."""
    ver, world = question.require_ver(), question.world
    newest = world.ver
    if ver == 0:
        lines = [{"Action": int(Action.ADD), "Alias": alias} for alias in world.accounts]
    else:
        lines = [{"Action": int(entry.action), "Alias": entry.alias} for entry in world.directory_since(ver)]
    if question.faults.strike(Kind.LIST_EMPTY, "user/list"):
        newest, lines = ver, []
    answer: dict[str, object] = {"Ver": count(newest, as_text=question.dialect.answer_ver_as_text)}
    if fault := question.faults.strike(Kind.LIST_VER, "user/list"):
        answer = {} if fault.value is None else {"Ver": fault.value}
    return {**answer, "Count": len(lines), "List": lines}


def user_get(question: Question) -> dict[str, object]:
    """``openapi/user/get`` (protocol 3.3.1), with the Status that the document does not know."""
    account = question.world.account(question.require("alias"))
    if account is None:
        raise Refusal(USER_NOT_FOUND)
    return {
        "Alias": account.alias,
        "Name": account.name,
        "Gender": account.gender,
        "SlaveList": ",".join(account.slaves),
        "Position": account.position,
        "Tel": account.tel,
        "Mobile": account.mobile,
        "ExtId": account.ext_id,
        "PartyList": _party_list(account, question.dialect),
        "OpenType": account.open_type,
        "Status": account.status,
    }


def newcount(question: Question) -> dict[str, object]:
    """``openapi/mail/newcount`` (protocol 3.3.4); an unknown account is 1400 here, not 1301."""
    account = question.world.account(question.require("alias"))
    if account is None:
        raise Refusal(NO_SUCH_MAILBOX)
    unread = count(question.world.unread[account.alias], as_text=question.dialect.answer_count_as_text)
    return {"Alias": account.alias, "NewCount": unread}


def _party_list(account: Account, dialect: Dialect) -> object:
    if dialect.party_list_as_text:
        return ",".join(account.parties)
    return {"Count": len(account.parties), "List": [{"Value": party} for party in account.parties]}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path of the provider. ``answer`` None: `Listeners` answers it."""

    name: str
    answer: Callable[[Question], dict[str, object]] | None
    needs_token: bool = True


ENDPOINTS: Mapping[str, Endpoint] = {
    "/cgi-bin/token": Endpoint("token", token, needs_token=False),
    "/openapi/listen": Endpoint("listen", None),
    "/openapi/user/list": Endpoint("user/list", user_list),
    "/openapi/user/get": Endpoint("user/get", user_get),
    "/openapi/mail/newcount": Endpoint("mail/newcount", newcount),
}
