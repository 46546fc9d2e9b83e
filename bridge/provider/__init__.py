"""The upstream: what it pushes and what can go wrong (the vocabulary), the way out to it, and a room for each dialect.

:mod:`.pushes`, :mod:`.faults` and :mod:`.members` are what the worker and the sign-on know; :mod:`.source`,
:mod:`.members`, :mod:`.counts` and :mod:`.login` hold the ports by which they ask. :mod:`.egress`, :mod:`.proxy` and
:mod:`.pace` are how anything gets out to a provider. :mod:`.bizmail` is BizMail OpenApi v1.4, the only dialect so far.
This package imports nothing else of the bridge and could be published on its own (``docs/provider.md``). Its front door
is here:

    async with ProviderClient(client_id=…, client_secret=…) as client:
        print(await client.newcount("bob@gzdev.com"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .bizmail.models import AddressCheck, AddressKind, AuthKey, Delta
from .bizmail.token import MemoryTokenStore, Token, TokenStore
from .faults import (
    AddressNotAllowed,
    BadParameter,
    Busy,
    CallerFault,
    CredentialsRefused,
    InvalidToken,
    ListenEnded,
    ListenRefused,
    ListenSilent,
    NotFound,
    NotUsable,
    OutcomeUnknown,
    ProviderAway,
    ProviderError,
    ProviderRefused,
    UnreadableAnswer,
)
from .members import Action, Profile, ProfileFields, UserChange
from .pushes import MailArrived, Online, Push, RefusalPushed, Unreadable, UnreadChanged, VersionChanged
from .source import Acknowledged, Alive, Batch, Connecting, Skipped

if TYPE_CHECKING:
    from .bizmail.client import ProviderClient
    from .egress import Egress, ProxyRefused

_WITH_AIOHTTP: Final = {"ProviderClient": ".bizmail.client", "Egress": ".egress", "ProxyRefused": ".egress"}

__all__ = [
    "Acknowledged",
    "Action",
    "AddressCheck",
    "AddressKind",
    "AddressNotAllowed",
    "Alive",
    "AuthKey",
    "BadParameter",
    "Batch",
    "Busy",
    "CallerFault",
    "Connecting",
    "CredentialsRefused",
    "Delta",
    "Egress",
    "InvalidToken",
    "ListenEnded",
    "ListenRefused",
    "ListenSilent",
    "MailArrived",
    "MemoryTokenStore",
    "NotFound",
    "NotUsable",
    "Online",
    "OutcomeUnknown",
    "Profile",
    "ProfileFields",
    "ProviderAway",
    "ProviderClient",
    "ProviderError",
    "ProviderRefused",
    "ProxyRefused",
    "Push",
    "RefusalPushed",
    "Skipped",
    "Token",
    "TokenStore",
    "UnreadChanged",
    "Unreadable",
    "UnreadableAnswer",
    "UserChange",
    "VersionChanged",
]


def __getattr__(name: str) -> Any:
    # A command that only reads the tables of the API need not wait for an HTTP client to be imported.
    if name in _WITH_AIOHTTP:
        return getattr(import_module(_WITH_AIOHTTP[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
