"""The provider's endpoints, as data: one line an endpoint, so that a new one is one line and one thin method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the protocol.

    ``name`` is what metrics, logs and errors say; ``path`` follows the base URL; ``section`` is the place in the
    protocol document; ``repeatable`` says that sending it twice does no harm, so that a busy provider is asked
    again; ``patience`` multiplies the client's timeout, for answers that are large.
    """

    name: str
    path: str
    section: str
    repeatable: bool = False
    patience: int = 1


TOKEN: Final = Endpoint("token", "/cgi-bin/token", "2.3", repeatable=True)
LISTEN: Final = Endpoint("listen", "/openapi/listen", "3.2.1", repeatable=True)
USER_GET: Final = Endpoint("user/get", "/openapi/user/get", "3.3.1", repeatable=True)
# No paging in any version: the first listing is one body, however large the corporation.
USER_LIST: Final = Endpoint("user/list", "/openapi/user/list", "3.3.3", repeatable=True, patience=6)
NEWCOUNT: Final = Endpoint("mail/newcount", "/openapi/mail/newcount", "3.3.4", repeatable=True)
