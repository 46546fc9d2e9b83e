"""The parameters of the protocol document, as data: name, rule, how often, and what it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from . import rules
from .rules import Rule

MOST_SLAVES: Final = 5
MOST_CHECKED: Final = 20
STATUSES: Final = ("all", "inner", "group", "list")
"""Who may write to a group: everybody, the corporation, its members, those on its allow list."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an endpoint.

    ``name`` is the document's, ``key`` the client's. At most ``most`` values (``None``: any number) are sent, each
    under the name again, or ``joined`` by commas. ``hashed`` takes the place of ``rule`` where ``Md5`` is sent as 1.
    A ``secret`` is never quoted. ``choices`` are what an operator may be offered. Values of ``unsaid`` say that
    nothing is to be said, and are not sent.
    """

    name: str
    key: str
    rule: Rule
    what: str
    required: bool = False
    most: int | None = 1
    joined: bool = False
    hashed: Rule | None = None
    secret: bool = False
    choices: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()


def choice(name: str, key: str, what: str, *choices: str, unsaid: tuple[str, ...] = ()) -> Parameter:
    """A parameter with a closed set of values."""
    return Parameter(name, key, rules.one_of(*unsaid, *choices), what, choices=choices, unsaid=unsaid)


def required(parameter: Parameter) -> Parameter:
    """The same, where a call cannot do without it."""
    return replace(parameter, required=True)


ASKED: Final = Parameter("Alias", "alias", rules.anything, "main address of the account", required=True)
"""In reading calls: the provider is asked for whatever it calls an account itself."""
ALIAS: Final = Parameter("Alias", "alias", rules.address, "main address of the account", required=True)
VER: Final = Parameter("Ver", "ver", rules.ver, "changes after this version, 0 for all accounts", required=True)
EMAILS: Final = Parameter("email", "emails", rules.anything, "address to look at", required=True, most=MOST_CHECKED)

NAME: Final = Parameter("Name", "name", rules.name, "name of the person")
PASSWORD: Final = Parameter(
    "Password", "password", rules.password, "6 to 32 characters, or its MD5", hashed=rules.digest, secret=True
)
_PARTIES: Final = "department that exists, in place of all those before; empty for the root"
_SLAVES: Final = "further address, in place of all those before; empty for none"
PROFILE: Final = (
    # 0 is what user/get says where nobody said anything; it can be read only.
    choice("Gender", "gender", "1 male, 2 female", "1", "2", unsaid=("0",)),
    Parameter("Position", "position", rules.line, "position"),
    Parameter("Tel", "tel", rules.line, "telephone"),
    Parameter("Mobile", "mobile", rules.line, "mobile telephone"),
    Parameter("ExtId", "ext_id", rules.line, "number of the person in your own books"),
    choice("Md5", "md5", "1: Password is an MD5", "0", "1"),
    Parameter("PartyPath", "parties", rules.party_or_root, _PARTIES, most=None),
    Parameter("Slave", "slaves", rules.address_or_none, _SLAVES, most=MOST_SLAVES),
    choice("OpenType", "open_type", "1 enabled, 2 disabled, 0 as it is", "0", "1", "2"),
)
"""What may be said of an account beside its addresses, name and password."""

PARTY: Final = Parameter("PartyPath", "party", rules.party_or_root, "path of the department, empty for the root")
DST_PATH: Final = Parameter("DstPath", "party", rules.party, "path of the department", required=True)
MOVED: Final = (
    Parameter("SrcPath", "source", rules.party, "path of the department", required=True),
    Parameter("DstPath", "target", rules.party, "its path afterwards", required=True),
)

GROUP: Final = Parameter("group_alias", "group", rules.address, "address of the group", required=True)
GROUP_NAME: Final = Parameter("group_name", "name", rules.name, "name of the group", required=True)
GROUP_ADMIN: Final = Parameter(
    "group_admin", "group", rules.address, "address of the group itself, a new one", required=True
)
STATUS: Final = required(choice("status", "status", "who may write to it", *STATUSES))
MEMBERS: Final = Parameter("members", "members", rules.address, "address of a member", required=True, most=None)
ALLOW_LIST: Final = Parameter(
    "allow_list", "senders", rules.address, "address that may write to it", required=True, most=None, joined=True
)
SLAVE_ALIAS: Final = Parameter("SlaveAlias", "slave", rules.address, "its further address", required=True)

LOGIN: Final = (
    Parameter("user", "user", rules.anything, "main address of the account", required=True),
    Parameter("ticket", "ticket", rules.anything, "value of an auth key", required=True, secret=True),
    Parameter("mailid", "mail_id", rules.line, "MailId of the mail to open; without it the inbox"),
)
