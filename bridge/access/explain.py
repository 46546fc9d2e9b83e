"""Explain one token: every check that an edge would make, not only the first that fails."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bridge.access.access import read_identity
from bridge.access.claims import Check, Rules
from bridge.access.jws import Sealed, require_algorithm, take_apart
from bridge.access.refused import Refused


async def explain(
    token: str,
    *,
    algorithms: Sequence[str],
    prove: Callable[[Sealed], Awaitable[Check]],
    rules: Rules,
    claim: str,
) -> list[Check]:
    """Make every check that is possible; the token is accepted if all pass.

    ``prove`` checks the signature; it is not called if the algorithm is not one of ``algorithms``. Its exceptions pass
    through.
    """
    try:
        sealed = take_apart(token)
        claims = sealed.claims()
    except Refused as refused:
        return [_failed(refused)]
    checks = []
    try:
        require_algorithm(sealed, algorithms)
    except Refused as refused:
        checks.append(_failed(refused))
    else:
        checks.append(Check("algorithm", True, f"alg is {sealed.alg}"))
        checks.append(await prove(sealed))
    checks.extend(rules.checks(claims))
    if all(check.passed or check.label != "claim" for check in checks):
        try:
            identity = read_identity(claims, claim=claim)
        except Refused as refused:
            checks.append(_failed(refused))
        else:
            sid = "no sid" if identity.sid is None else f"sid {identity.sid!a}"
            scope = f"scope {' '.join(sorted(identity.scope))!a}" if identity.scope else "no scope"
            iat = "iat" if identity.issued is not None else "no iat (refused for an address that changed person)"
            checks.append(Check("claim", True, f"opens {', '.join(identity.mailboxes)}; {sid}, {scope}, {iat}"))
    return checks


def _failed(refused: Refused) -> Check:
    return Check(refused.label, False, refused.message)
