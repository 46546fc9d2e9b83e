"""``token``: make a signed token for trying out, or explain why one is refused."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from bridge.commands.command import FAILED, OK, Command, add_settings_options, settings_of
from bridge.events import normalise_address
from bridge.settings import Settings, SettingsError
from bridge.supervision import StartRefused

if TYPE_CHECKING:
    from bridge.access.claims import Check
    from bridge.access.secret import SecretVerifier

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_S: Final = 366 * 86_400


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("mailbox", nargs="?", type=_mailbox, metavar="MAILBOX", help="address that the token opens")
    what.add_argument("--check", metavar="TOKEN", help="say what an edge makes of this token; - reads it from stdin")
    parser.add_argument(
        "--for", dest="lifetime_s", type=_duration, default=8 * 3600, metavar="TIME", help="30s, 15m, 8h, 7d (8h)"
    )
    parser.add_argument(
        "--mailboxes", type=_mailboxes, default=[], metavar="A,B", help="further addresses, chosen with ?mailbox="
    )
    parser.add_argument("--sid", metavar="ID", help="the OA's session")
    parser.add_argument("--scope", metavar="WORDS", help="what the token allows beside reading, as in: open")
    add_settings_options(parser, dev=True)


def _mailbox(text: str) -> str:
    address = normalise_address(text)
    if address is None:
        raise argparse.ArgumentTypeError(f"{text!a} is no mail address")
    return address


def _mailboxes(text: str) -> list[str]:
    addresses = [_mailbox(part) for part in text.split(",") if part.strip()]
    if len(addresses) > 20:
        raise argparse.ArgumentTypeError("at most 20 further addresses")
    return addresses


def _duration(text: str) -> int:
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd]?)", text)
    seconds = int(match[1]) * _SECONDS[match[2] or "s"] if match else 0
    if not 0 < seconds <= _LONGEST_S:
        raise argparse.ArgumentTypeError("a time such as 30s, 15m, 8h or 7d, at most 366d")
    return seconds


def _run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    if arguments.check is not None:
        token = sys.stdin.read() if arguments.check == "-" else arguments.check
        return _tell(asyncio.run(_check(settings, token.strip().removeprefix("Bearer ").strip())))
    _verifier(settings)
    from bridge.access.secret import sign

    token = sign(
        settings.edge.jwt_secrets()[0],
        arguments.mailbox,
        lifetime_s=arguments.lifetime_s,
        claim=settings.edge.jwt_claim,
        mailboxes=arguments.mailboxes,
        sid=arguments.sid,
        scope=arguments.scope,
        audience=settings.edge.jwt_audience or None,
        issuer=settings.edge.jwt_issuer or None,
    )
    sys.stdout.write(f"{token}\n")
    return OK


async def _check(settings: Settings, token: str) -> list[Check]:
    from bridge.access import issuer, jwk_set, secret
    from bridge.access.claims import Rules
    from bridge.access.explain import explain
    from bridge.access.jws import Sealed
    from bridge.app.egress import open_session
    from bridge.provider.egress import reason

    edge = settings.edge
    rules = Rules(audience=edge.jwt_audience or None, issuer=edge.jwt_issuer or None, now=time.time)
    algorithms: Sequence[str] = jwk_set.ALGORITHMS if edge.jwks_url else secret.ALGORITHMS
    verifier = None if edge.jwks_url else _verifier(settings)

    async def prove(sealed: Sealed) -> Check:
        if verifier is not None:
            return verifier.check_signature(sealed)
        async with open_session(settings, edge.jwks_url) as session:
            return await issuer.check_published(session, edge.jwks_url, sealed, reason=reason)

    try:
        return await explain(token, algorithms=algorithms, prove=prove, rules=rules, claim=edge.jwt_claim)
    except issuer.KeysAway as error:
        raise StartRefused(error.detail) from None


def _verifier(settings: Settings) -> SecretVerifier:
    """Build the verifier that the edge would use.

    Raises:
        SettingsError: there is no secret, or it cannot be used.
    """
    if settings.edge.jwks_url:
        raise SettingsError(["tokens are signed by the issuer behind BRIDGE_EDGE_JWKS_URL; there is no secret here"])
    if not settings.edge.jwt_secrets:
        raise SettingsError(["BRIDGE_EDGE_JWT_SECRET is not set; token needs it (--dev: the secret of `dev`)"])
    from bridge.access.secret import SecretVerifier

    try:
        return SecretVerifier(settings.edge.jwt_secrets)
    except ValueError as error:
        raise SettingsError([f"BRIDGE_EDGE_JWT_SECRET: {error}"]) from None


def _tell(checks: list[Check]) -> int:
    for check in checks:
        sys.stdout.write(f"{'ok  ' if check.passed else 'FAIL'}  {check.finding}\n")
    accepted = all(check.passed for check in checks)
    sys.stdout.write(f"the edge {'accepts' if accepted else 'refuses'} this token\n")
    return OK if accepted else FAILED


COMMAND = Command(
    name="token",
    summary="a signed token for trying out; --check says why one is refused",
    examples=("token bob@gzdev.com --for 1h", "token bob@gzdev.com --scope open --dev", "token --check eyJhbGciOi…"),
    add_arguments=_add_arguments,
    run=_run,
)
