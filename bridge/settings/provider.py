"""The settings of the provider: where it is, and who we are to it."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.settings.secret import Secret
from bridge.settings.setting import secret, setting
from bridge.settings.values import http_url, number, secret_text, text


@dataclass(frozen=True, slots=True)
class Provider:
    """How to reach the provider, and as whom."""

    api_url: str = setting(
        "BRIDGE_PROVIDER_API_URL",
        http_url,
        "http://openapi.exmail.qq.com:12211",
        "Host of the API calls and of listen.",
    )
    auth_url: str = setting(
        "BRIDGE_PROVIDER_AUTH_URL", http_url, "https://exmail.qq.com", "Host of the token call and of one-click login."
    )
    client_id: str = setting(
        "BRIDGE_PROVIDER_CLIENT_ID", text, "", "The corporation's client id. Needed by `worker`, and for `/mail/open`."
    )
    client_secret: Secret[str] = secret(  # noqa: RUF009 - a dataclasses.field() with metadata
        "BRIDGE_PROVIDER_CLIENT_SECRET",
        secret_text,
        "The corporation's interface key. Needed by `worker`, and for `/mail/open`.",
    )
    listen_silence_s: float = setting(
        "BRIDGE_PROVIDER_LISTEN_SILENCE",
        number(1, 3600),
        "45",
        "Without a byte for this long listen is asked again; for three times as long, connected again.",
        unit="seconds",
    )
    conflict_pause_s: float = setting(
        "BRIDGE_PROVIDER_CONFLICT_PAUSE",
        number(1, 3600),
        "180",
        "Another listener has taken the connection three times in ten minutes: leave it alone for about this long.",
        unit="seconds",
    )
