"""The checks of origin and credential, built in the same way for the edge and for sign-on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bridge.access.access import Access, Tickets, Verifier
from bridge.access.issuer import JwksVerifier
from bridge.access.keyring import Keyring
from bridge.access.no_tokens import NoTokens
from bridge.access.office import AskedOffice
from bridge.access.origins import Origins, origins_of
from bridge.access.proxied import ProxyHeader
from bridge.access.secret import SecretVerifier
from bridge.access.whence import Trusted
from bridge.app.egress import open_session
from bridge.edge.places import Limits
from bridge.obs.acceptor import affordable_connections
from bridge.obs.metrics import Metrics
from bridge.provider.egress import reason
from bridge.settings import Present, Settings, SettingsError
from bridge.supervision import StartRefused


def build_origins(settings: Settings | Present) -> Origins:
    """Build the check of origins.

    Raises:
        SettingsError: a setting is not an origin.
    """
    present = Present.of(settings)
    try:
        return Origins(
            public_url=present.settings.edge.public_url,
            allowed=present.following(lambda now: origins_of(now.edge.allowed_origins)),
            trusted_proxies=trusted_by(present),
        )
    except ValueError as error:
        raise SettingsError([f"BRIDGE_EDGE_PUBLIC_URL, BRIDGE_EDGE_ALLOWED_ORIGINS: {error}"]) from None


def trusted_by(present: Present) -> Trusted:
    """The proxies whose word counts."""
    return lambda: present.settings.edge.trusted_proxies


def build_access(
    settings: Settings | Present, verifier: Verifier, tickets: Tickets, office: AskedOffice | None = None
) -> Access:
    """Build the chain of credentials."""
    present = Present.of(settings)
    edge = present.settings.edge
    herald = None
    if edge.auth_header:
        # A connection ends by its age before it could end by this.
        life_s = present.following(lambda now: 1.5 * now.edge.max_life_s)
        herald = ProxyHeader(edge.auth_header, trusted=trusted_by(present), life_s=life_s)
    return Access(
        verifier=verifier,
        tickets=tickets,
        cookie_name=edge.cookie,
        claim=edge.jwt_claim,
        herald=herald,
        office=office,
    )


def limits_of(settings: Settings) -> Limits:
    """How many connections one process of the edge takes on."""
    edge = settings.edge
    return Limits(
        connections=edge.max_connections or affordable_connections(),
        per_address=edge.per_address,
        per_mailbox=edge.per_mailbox,
        handshakes=edge.handshake_rate,
    )


@asynccontextmanager
async def running_office(settings: Settings, metrics: Metrics) -> AsyncIterator[AskedOffice | None]:
    """The OA that is asked about its sessions until the end of the block; ``None`` where none is named.

    Raises:
        SettingsError: the OA is behind a proxy that cannot be used.
    """
    edge = settings.edge
    if not edge.auth_url:
        yield None
        return
    async with (
        open_session(settings, edge.auth_url) as session,
        AskedOffice(
            edge.auth_url,
            edge.auth_cookies,
            session=session,
            metrics=metrics,
            keep_s=edge.auth_keep_s,
            reason=reason,
        ) as office,
    ):
        yield office


def build_keyring(settings: Settings) -> Keyring | None:
    """The secrets that tokens are signed with; ``None``: no secret is set.

    Raises:
        StartRefused: a secret cannot be used.
    """
    if not settings.edge.jwt_secrets:
        return None
    try:
        return Keyring(settings.edge.jwt_secrets)
    except ValueError as error:
        raise StartRefused(f"BRIDGE_EDGE_JWT_SECRET: {error}") from None


async def follow(keyring: Keyring, present: Present) -> None:
    """Read the secrets of tokens again after each reload, until cancelled."""
    async for _ in present.reloads():
        keyring.reload()


@asynccontextmanager
async def running_verifier(settings: Settings, keyring: Keyring | None = None) -> AsyncIterator[Verifier]:
    """A verifier by secret, or by published keys that are kept fresh until the end of the block.

    ``keyring``: the secrets, where others look at them too.

    Raises:
        StartRefused: a secret cannot be used.
        SettingsError: the keys are behind a proxy that cannot be used.
    """
    edge = settings.edge
    if edge.jwks_url:
        async with open_session(settings, edge.jwks_url) as session:
            verifier = JwksVerifier(
                edge.jwks_url,
                session=session,
                audience=edge.jwt_audience or None,
                issuer=edge.jwt_issuer or None,
                kept_s=edge.jwks_keep_s,
                reason=reason,
            )
            async with verifier:
                yield verifier
    elif (keys := keyring or build_keyring(settings)) is not None:
        yield SecretVerifier(keys, audience=edge.jwt_audience or None, issuer=edge.jwt_issuer or None)
    else:
        yield NoTokens()
