"""The address of the provider's one-click login (protocol 3.1.2).

It carries an auth key, never the access token: who has the token has every mailbox, who has the key has one, once.
"""

from __future__ import annotations

from urllib.parse import urlencode

from .endpoints import LOGIN


def login_url(auth_url: str, *, agent: str, user: str, ticket: str, mail_id: str | None = None) -> str:
    """The address that opens a mailbox once, at a mail if ``mail_id`` names one.

    ``auth_url`` is the login host, ``agent`` the corporation's client id, ``ticket`` the value of an auth key that was
    asked for this click. Whoever sees the address can use it: never log, store or publish it.
    """
    query = {"fun": "bizopenssologin", "method": "bizauth", "agent": agent, "user": user, "ticket": ticket}
    if mail_id:
        query["mailid"] = mail_id
    return f"{auth_url.rstrip('/')}{LOGIN.path}?{urlencode(query)}"
