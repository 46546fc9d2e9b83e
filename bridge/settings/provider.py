"""The settings of the provider: where it is, who we are to it, and the way out of the company's network."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.settings.secret import Secret
from bridge.settings.setting import secret, setting
from bridge.settings.values import ca_file, hosts, http_url, number, proxy_url, secret_text, text, without_user


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
    proxy: Secret[str] = secret(  # noqa: RUF009 - a dataclasses.field() with metadata
        "BRIDGE_PROVIDER_PROXY",
        proxy_url,
        "Proxy of every call to the provider, listen too, by CONNECT: `http://user:password@proxy.corp.com:3128`, or "
        "`https://`. Not set: `HTTPS_PROXY` of the environment, if any. Of it only user and password are hidden.",
        shown=without_user,
    )
    no_proxy: tuple[str, ...] = setting(
        "BRIDGE_PROVIDER_NO_PROXY",
        hosts,
        "localhost,127.0.0.0/8,::1",
        "Hosts that are reached without it, commas: names with all below them, addresses, networks, `*`. Not set: "
        "this and `NO_PROXY` of the environment.",
    )
    ca_file: str = setting(
        "BRIDGE_PROVIDER_CA_FILE",
        ca_file,
        "",
        "PEM file of certificates to trust for TLS with provider and proxy, beside the system's; its whole path.",
    )
