"""The address of the provider's one-click login (protocol 3.1.2).

It carries an auth key, never the access token: who has the token has every mailbox, who has the key has one, once.
"""

from __future__ import annotations

from urllib.parse import urlencode

from .endpoints import LOGIN
from .form import fill
from .models import AuthKey


def login_url(auth_url: str, *, agent: str, user: str, ticket: str | AuthKey, mail_id: str | None = None) -> str:
    """The address that opens a mailbox once, at a mail if ``mail_id`` names one.

    ``auth_url`` is the login host, ``agent`` the corporation's client id, ``ticket`` an auth key that was asked for
    this click, or its value. Whoever sees the address can use it: never log, store or publish it.

    Raises:
        BadParameter: something is no text, or empty.
    """
    key = ticket.value if isinstance(ticket, AuthKey) else ticket
    form = fill(LOGIN, {"user": user, "ticket": key, "mail_id": mail_id or None})
    query = [("fun", "bizopenssologin"), ("method", "bizauth"), ("agent", agent), *form]
    return f"{auth_url.rstrip('/')}{LOGIN.path}?{urlencode(query)}"
