"""What an operator can do about a refused certificate of the Redis server."""

from __future__ import annotations

import ssl
from typing import Final

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
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
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
