"""TLS of every https address that the programs call, and of the public one: whom it convinces, and until when."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from typing import Final
from urllib.parse import urlsplit

from bridge.app.egress import build_egress
from bridge.doctor.check import Check, Said
from bridge.doctor.finding import found
from bridge.doctor.means import Means
from bridge.provider.egress import Egress
from bridge.settings import calling

_SOON_S: Final = 14 * 86_400
_EXPIRED: Final = 10
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED."""


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    asked: set[str] = set()
    for program, settings in means.units.items():
        out = build_egress(settings)
        # The public address is asked as a browser in the company asks it: straight.
        ways = [(variable, url, out) for variable, url in calling(settings, program)]
        if program == "edge" and settings.edge.public_url:
            straight = Egress(ca_file=settings.egress.ca_file)
            ways.append(("BRIDGE_EDGE_PUBLIC_URL", settings.edge.public_url, straight))
        for variable, url, egress in ways:
            parts = urlsplit(url)
            if parts.scheme != "https" or parts.netloc in asked:
                continue
            asked.add(parts.netloc)
            async for each in _of_host(means, variable, parts.hostname or "", parts.port or 443, egress):
                yield each


async def _of_host(means: Means, variable: str, host: str, port: int, egress: Egress) -> AsyncGenerator[Said, None]:
    where = {"setting": variable, "host": f"{host}:{port}"}
    try:
        async with asyncio.timeout(5.0):
            transport, _ = await egress.connect(asyncio.Protocol, host, port, secure=True)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            yield found("certificate-expired", **where)
        else:
            yield found("certificate-refused", **where, error=error.verify_message)
        return
    except ssl.SSLError as error:
        yield found("tls-fails", **where, error=error.reason or type(error).__name__)
        return
    except (OSError, TimeoutError) as error:
        yield found("host-unreachable", **where, error=str(error) or "no answer in time")
        return
    try:
        shown = transport.get_extra_info("peercert") or {}
    finally:
        transport.close()
    if ends := shown.get("notAfter"):
        left_s = ssl.cert_time_to_seconds(ends) - means.wall()
        if left_s < _SOON_S:
            yield found("certificate-ends", **where, days=max(0, int(left_s // 86_400)))


CHECK: Final = Check("certificates", _ask)
