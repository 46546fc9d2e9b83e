"""The settings of the way out: every call that leaves the machine takes it, whoever is called."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.settings.secret import Secret
from bridge.settings.setting import secret, setting
from bridge.settings.values import ca_file, hosts, proxy_url, without_user


@dataclass(frozen=True, slots=True)
class Egress:
    """How the provider and the issuer's published keys are reached."""

    proxy: Secret[str] = secret(  # noqa: RUF009 - a dataclasses.field() with metadata
        "BRIDGE_EGRESS_PROXY",
        proxy_url,
        "Proxy of every call that leaves the machine, to the provider (listen too) and to `BRIDGE_EDGE_JWKS_URL`, by "
        "CONNECT: `http://user:password@proxy.corp.com:3128`, or `https://`. Not set: `HTTPS_PROXY` of the "
        "environment, if any. Of it only user and password are hidden.",
        shown=without_user,
        former="BRIDGE_PROVIDER_PROXY",
    )
    no_proxy: tuple[str, ...] = setting(
        "BRIDGE_EGRESS_NO_PROXY",
        hosts,
        "localhost,127.0.0.0/8,::1",
        "Hosts that are reached without it, commas: names with all below them, addresses, networks, `*`. Not set: "
        "this and `NO_PROXY` of the environment.",
        former="BRIDGE_PROVIDER_NO_PROXY",
    )
    ca_file: str = setting(
        "BRIDGE_EGRESS_CA_FILE",
        ca_file,
        "",
        "PEM file of certificates to trust for TLS with all of them and with the proxy, beside the system's; its whole "
        "path.",
        former="BRIDGE_PROVIDER_CA_FILE",
    )
