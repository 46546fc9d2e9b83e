"""The paths of the provider, and who answers each (protocol 2.3, 3.1 and 3.3).

An answer is a function of the world and the request: the JSON of a reading call, None for a write that succeeded
(an empty body), a page for people, or a refusal. A further endpoint is one more of them and one line in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bridge.simulator.api import group_calls, login, party_calls, user_calls, user_sync
from bridge.simulator.api.question import INVALID_REQUEST, Page, Question, Refusal

Answer = Mapping[str, object] | Page | None


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


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path of the provider. ``answer`` None: `Listeners` answers it. ``is_page``: people see it, refusals too."""

    name: str
    answer: Callable[[Question], Answer] | None
    needs_token: bool = True
    is_page: bool = False


_LOGIN = Endpoint("login", login.login, needs_token=False, is_page=True)

ENDPOINTS: Mapping[str, Endpoint] = {
    "/cgi-bin/token": Endpoint("token", token, needs_token=False),
    "/cgi-bin/login": _LOGIN,
    # As the document prints it (3.1.2).
    "/cgibin/login": _LOGIN,
    "/openapi/listen": Endpoint("listen", None),
    "/openapi/mail/authkey": Endpoint("mail/authkey", login.auth_key),
    "/openapi/mail/newcount": Endpoint("mail/newcount", user_calls.newcount),
    "/openapi/user/get": Endpoint("user/get", user_calls.user_get),
    "/openapi/user/list": Endpoint("user/list", user_calls.user_list),
    "/openapi/user/check": Endpoint("user/check", user_calls.user_check),
    "/openapi/user/sync": Endpoint("user/sync", user_sync.user_sync),
    "/openapi/user/swapalias": Endpoint("user/swapalias", user_sync.swap_alias),
    "/openapi/user/openwxtoken": Endpoint("user/openwxtoken", user_sync.open_wxtoken),
    "/openapi/user/closewxtoken": Endpoint("user/closewxtoken", user_sync.close_wxtoken),
    "/openapi/party/sync": Endpoint("party/sync", party_calls.party_sync),
    "/openapi/party/list": Endpoint("party/list", party_calls.party_list),
    "/openapi/partyuser/list": Endpoint("partyuser/list", party_calls.party_users),
    "/openapi/group/add": Endpoint("group/add", group_calls.add),
    "/openapi/group/delete": Endpoint("group/delete", group_calls.delete),
    "/openapi/group/addmember": Endpoint("group/addmember", group_calls.add_member),
    "/openapi/group/deletemember": Endpoint("group/deletemember", group_calls.delete_member),
    "/openapi/group/addallowlist": Endpoint("group/addallowlist", group_calls.add_allow_list),
    "/openapi/group/delallowlist": Endpoint("group/delallowlist", group_calls.delete_allow_list),
}
