"""The way out that the settings describe. Every client of an outside service gets its session here."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import aiohttp

from bridge.provider.egress import Egress
from bridge.settings import Settings, SettingsError, SettingsFileError


def build_egress(settings: Settings, *urls: str) -> Egress:
    """The way out, for calls of ``urls``.

    Raises:
        SettingsError: one of them is behind the machine's own proxy, and we cannot use that proxy. Programs that call
            nothing behind it are not affected.
        SettingsFileError: the file of certificates has become unusable since the settings were read.
    """
    egress = settings.egress
    try:
        way = Egress(proxy=egress.proxy if egress.proxy else "", no_proxy=egress.no_proxy, ca_file=egress.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsFileError([f"BRIDGE_EGRESS_CA_FILE: {error}"]) from error
    if settings.unusable_proxy and not all(way.is_direct(urlsplit(url).hostname or "") for url in urls):
        raise SettingsError([settings.unusable_proxy])
    return way


def open_session(settings: Settings, *urls: str) -> aiohttp.ClientSession:
    """A session that goes this way; the caller closes it.

    Raises:
        SettingsError: as :func:`build_egress`.
    """
    return build_egress(settings, *urls).session()
