"""The provider's endpoints, as data: a new one is one entry here and one thin method of the client.

Whatever goes over all of them reads this table: the checks of what is sent, patience with a busy provider, the
``api`` command and its completion, ``docs/protocol.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..faults import PERHAPS_DONE
from ..members import Action
from . import parameters as p
from .parameters import Parameter

UNDOCUMENTED: Final = "undocumented"
ANSWER_MOST: Final = 4 * 1024 * 1024
"""Bytes of the largest answer that is read; what JSON becomes in memory may be twenty times as large."""
LISTING_MOST: Final = 64 * 1024 * 1024
"""The same for ``user/list`` of a very large corporation."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the protocol, or one action of it.

    ``name`` is what metrics, logs and errors say; ``path`` follows the base URL; ``section`` is the heading in the
    protocol document; ``method`` is the client's; ``what`` says what it does. ``writes``: it changes something there.
    ``repeatable`` says that sending it twice does no harm, so that a busy provider is asked again; ``patience``
    multiplies the client's timeout, for answers that are large, and ``answer_most`` is the most bytes of one.
    ``warning`` is what somebody should know before he does what cannot be undone.
    """

    name: str
    path: str
    section: str
    method: str
    what: str
    parameters: tuple[Parameter, ...] = ()
    action: Action | None = None
    repeatable: bool = False
    patience: int = 1
    warning: str = ""
    writes: bool = False
    answer_most: int = ANSWER_MOST

    def without_answer(self, why: str) -> str:
        """``why`` there is no answer to a request that was sent, in words that fit: a write may have been done."""
        return f"{why}; {PERHAPS_DONE}" if self.writes else why


def _read(
    name: str,
    section: str,
    method: str,
    what: str,
    *parameters: Parameter,
    patience: int = 1,
    warning: str = "",
    answer_most: int = ANSWER_MOST,
) -> Endpoint:
    """A call that changes nothing."""
    path = f"/openapi/{name}"
    return Endpoint(
        *(name, path, section, method, what, parameters),
        repeatable=True,
        patience=patience,
        warning=warning,
        answer_most=answer_most,
    )


def _write(
    name: str,
    section: str,
    method: str,
    what: str,
    *parameters: Parameter,
    action: Action | None = None,
    repeatable: bool = False,
    warning: str = "",
) -> Endpoint:
    """A call that changes something; it succeeds with an empty body."""
    path = f"/openapi/{name}"
    return Endpoint(name, path, section, method, what, parameters, action, repeatable, warning=warning, writes=True)


TOKEN: Final = Endpoint("token", "/cgi-bin/token", "2.3", "token", "the access token, had or fetched", repeatable=True)
AUTHKEY: Final = _read("mail/authkey", "3.1.1", "authkey", "a key that opens a mailbox once", p.ASKED)
LOGIN: Final = Endpoint("login", "/cgi-bin/login", "3.1.2", "login_url", "the address that opens a mailbox", p.LOGIN)
LISTEN: Final = _read(
    "listen",
    "3.2.1",
    "listen",
    "pushes, as they come",
    p.VER,
    warning="the provider may serve one listener only: while this runs, production may get no mail alerts",
)
USER_GET: Final = _read("user/get", "3.3.1", "user_get", "one account", p.ASKED)
USER_ADD: Final = _write(
    "user/sync",
    "3.3.2",
    "user_add",
    "add an account",
    p.ALIAS,
    p.required(p.NAME),
    p.required(p.PASSWORD),
    *p.PROFILE,
    action=Action.ADD,
)
USER_MODIFY: Final = _write(
    "user/sync",
    "3.3.2",
    "user_modify",
    "change what is given of an account",
    p.ALIAS,
    p.NAME,
    p.PASSWORD,
    *p.PROFILE,
    action=Action.MOD,
    repeatable=True,
)
USER_DELETE: Final = _write(
    "user/sync",
    "3.3.2",
    "user_delete",
    "delete an account with its mails",
    p.ALIAS,
    action=Action.DEL,
    warning="the account and its mails cannot be had back; to disable it is the safe way: "
    "user/sync --action MOD --open-type 2",
)
# No paging in any version: the first listing is one body, however large the corporation.
USER_LIST: Final = _read(
    "user/list",
    "3.3.3",
    "user_list",
    "accounts changed after a version",
    p.VER,
    patience=6,
    answer_most=LISTING_MOST,
)
NEWCOUNT: Final = _read("mail/newcount", "3.3.4", "newcount", "the number of unread mails", p.ASKED)
PARTY_ADD: Final = _write(
    "party/sync", "3.3.5", "party_add", "add a department, and those above it", p.DST_PATH, action=Action.ADD
)
PARTY_MOVE: Final = _write(
    "party/sync", "3.3.5", "party_move", "move or rename a department with its members", *p.MOVED, action=Action.MOD
)
PARTY_DELETE: Final = _write(
    "party/sync",
    "3.3.5",
    "party_delete",
    "delete a department that has no members",
    p.DST_PATH,
    action=Action.DEL,
    warning="the departments below it go too, and cannot be had back",
)
PARTY_LIST: Final = _read("party/list", "3.3.6", "party_list", "the departments one level below", p.PARTY)
PARTYUSER_LIST: Final = _read("partyuser/list", "3.3.7", "partyuser_list", "the accounts in a department", p.PARTY)
USER_CHECK: Final = _read("user/check", "3.3.8", "user_check", "what an address is, or that it is free", p.EMAILS)
GROUP_ADD: Final = _write(
    "group/add", "3.3.9", "group_add", "add a mail group", p.GROUP_NAME, p.GROUP_ADMIN, p.STATUS, p.MEMBERS
)
GROUP_DELETE: Final = _write(
    "group/delete",
    "3.3.10",
    "group_delete",
    "delete a mail group",
    p.GROUP,
    warning="its members and allow list can be read nowhere, and not be had back",
)
# The heading as it is printed: a number that was corrected without removing the old one.
GROUP_ADDMEMBER: Final = _write(
    "group/addmember", "3.3.121", "group_addmember", "add members to a group", p.GROUP, p.MEMBERS
)
GROUP_DELETEMEMBER: Final = _write(
    "group/deletemember", "3.3.11", "group_deletemember", "take members out of a group", p.GROUP, p.MEMBERS
)
GROUP_ADDALLOWLIST: Final = _write(
    "group/addallowlist", "3.3.12", "group_addallowlist", "let senders write to a group", p.GROUP, p.ALLOW_LIST
)
GROUP_DELALLOWLIST: Final = _write(
    "group/delallowlist", "3.3.13", "group_delallowlist", "no longer let senders write", p.GROUP, p.ALLOW_LIST
)
USER_OPENWXTOKEN: Final = _write(
    "user/openwxtoken", "3.3.14", "user_openwxtoken", "require WeChat's dynamic password", p.ALIAS, repeatable=True
)
USER_CLOSEWXTOKEN: Final = _write(
    "user/closewxtoken", "3.3.15", "user_closewxtoken", "no longer require it", p.ALIAS, repeatable=True
)
USER_SWAPALIAS: Final = _write(
    "user/swapalias", UNDOCUMENTED, "user_swapalias", "make a further address the main one", p.ALIAS, p.SLAVE_ALIAS
)

ENDPOINTS: Final = (
    *(TOKEN, AUTHKEY, LOGIN, LISTEN, USER_GET, USER_ADD, USER_MODIFY, USER_DELETE, USER_LIST, NEWCOUNT),
    *(PARTY_ADD, PARTY_MOVE, PARTY_DELETE, PARTY_LIST, PARTYUSER_LIST, USER_CHECK, GROUP_ADD, GROUP_DELETE),
    *(GROUP_ADDMEMBER, GROUP_DELETEMEMBER, GROUP_ADDALLOWLIST, GROUP_DELALLOWLIST),
    *(USER_OPENWXTOKEN, USER_CLOSEWXTOKEN, USER_SWAPALIAS),
)
"""All of them, in the order of the document."""
