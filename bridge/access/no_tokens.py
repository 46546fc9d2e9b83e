"""Where nobody signs tokens: a proxy says who asks, and a token proves nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NoReturn

from bridge.access import codes
from bridge.access.claims import Rules
from bridge.access.refused import Refused


class NoTokens:
    """Proves none."""

    rules = Rules(audience=None, issuer=None, now=time.time)

    async def prove(self, token: str) -> Mapping[str, Any]:
        """Refuse it."""
        self._refuse()

    async def verify(self, token: str) -> Mapping[str, Any]:
        """Refuse it."""
        self._refuse()

    async def vouch(self, token: str) -> tuple[Mapping[str, Any], str]:
        """Refuse it."""
        self._refuse()

    def believes(self, signer: str) -> bool:
        return True

    def _refuse(self) -> NoReturn:
        message = "no tokens are taken here: neither BRIDGE_EDGE_JWT_SECRET nor BRIDGE_EDGE_JWKS_URL is set"
        raise Refused(401, codes.INVALID_TOKEN, "keys", message)
