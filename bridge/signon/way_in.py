"""The provider's one-click login: a key asked for one click, and the address that it opens (protocol 3.1.1, 3.1.2)."""

from __future__ import annotations

from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.login import login_url


class ProviderLogin:
    """Makes ways in. ``agent`` is the corporation's client id, ``auth_url`` the host of the login."""

    def __init__(self, client: ProviderClient, agent: str, auth_url: str) -> None:
        self._client = client
        self._agent = agent
        self._auth_url = auth_url

    async def __call__(self, account: str, mail_id: str) -> str:
        """The address that opens ``account``, once, at a mail or (``""``) at the inbox.

        Raises:
            ProviderError: the provider gave no key.
        """
        key = await self._client.authkey(account)
        return login_url(self._auth_url, agent=self._agent, user=account, ticket=key.value, mail_id=mail_id or None)
