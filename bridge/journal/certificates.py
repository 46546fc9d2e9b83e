"""The certificates of the way to Redis: what an operator can do about a refused one, and files that are replaced."""

from __future__ import annotations

import logging
import os
import ssl
from typing import Any, Final

from bridge.journal.causes import causes

log = logging.getLogger(__name__)

# X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH of OpenSSL.
_OTHER_NAME: Final = (62, 64)

STRICTER: Final = {
    "Authority Key Identifier": (
        "Python 3.13 and later demand that a certificate names the key of its authority, which many authorities of "
        "companies leave out: have the certificate issued anew with that extension, or use Python 3.12"
    ),
    "CA cert does not include key usage": (
        "Python 3.13 and later demand that an authority's certificate says that it may sign others: have it issued "
        "anew with the extension Key Usage, or use Python 3.12"
    ),
}
"""What Python refuses since 3.13, by OpenSSL's message. The provider's room, which may not import this one, has the
same table; a test compares them."""


def hint(error: BaseException) -> str:
    """What an operator can do; empty if the error is not about a certificate."""
    cause = next((each for each in causes(error) if isinstance(each, ssl.SSLCertVerificationError)), None)
    if cause is None:
        return ""
    if cause.verify_code in _OTHER_NAME:
        return "its certificate is for other names: BRIDGE_REDIS_URL, or what sentinels announce, must name one of them"
    for said, what in STRICTER.items():
        if said in cause.verify_message:
            return what
    return (
        "its certificate is not trusted: name the file of its authority in BRIDGE_REDIS_URL, "
        "as in rediss://…?ssl_ca_certs=/etc/ssl/corp.pem"
    )


class Certificates:
    """A TLS context that is made anew when one of its files has changed: our certificate, its key, whom we trust.

    ``made`` is redis-py's description of it, which keeps the first context for ever. It takes that one's place in a
    connection. Files that cannot be used leave the context as it was, once there has been one.
    """

    def __init__(self, made: Any) -> None:
        self._made = made
        self._files = [file for file in (made.certfile, made.keyfile, made.ca_certs) if file]
        self._context: ssl.SSLContext | None = None
        self._seen: list[object] = []

    def get(self) -> ssl.SSLContext:
        """The context for a new connection.

        Raises:
            OSError, ssl.SSLError: its files cannot be used, and never could.
        """
        seen = [_look_of(file) for file in self._files]
        if self._context is not None and seen == self._seen:
            return self._context
        self._made.context = None
        try:
            context: ssl.SSLContext = self._made.get()
        except (OSError, ssl.SSLError) as error:
            if self._context is None:
                raise
            self._seen = seen
            log.warning(
                "files of certificates cannot be used, those before stay in use",
                extra={"files": self._files, "error": str(error)},
            )
            return self._context
        if self._context is not None:
            log.info("certificates read again", extra={"files": self._files})
        self._seen, self._context = seen, context
        return context


def _look_of(file: str) -> object:
    """What changes with a file's content, however it is replaced; ``None``: it is not there."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
