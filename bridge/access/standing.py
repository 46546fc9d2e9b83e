"""Whether somebody may read now: from an identity and its standing in the journal to yes or no.

Pure functions, the same for openings, open connections, plain requests and clicks.
"""

from __future__ import annotations

from bridge.access import codes
from bridge.access.access import Identity
from bridge.access.refused import Refused
from bridge.journal.standing import Standing


def require_standing(identity: Identity, standing: Standing, *, window_s: int) -> None:
    """Return if ``identity`` may read now.

    ``window_s``: for how long after an address changed person older tokens are refused.

    Raises:
        Refused: the session was ended, the address came to mean another person after the token was signed, or the
            account is barred.
    """
    if standing.is_out:
        raise Refused(401, codes.KICKED, "kicked", "this session was ended; sign in anew")
    if standing.leads_elsewhere(identity.issued, window_s=window_s):
        signed = "does not say when it was signed (iat)" if identity.issued is None else "was signed before that"
        message = f"the address means another person since a while, and the token {signed}"
        raise Refused(401, codes.NO_CREDENTIAL, "moved", message)
    if standing.barred:
        raise barred()


def ending(identity: Identity, standing: Standing, *, account: str, since: int, window_s: int) -> int | None:
    """The code with which a connection to ``account`` must end; ``None``: it may stay.

    ``since``: when it was opened, epoch ms of Redis's clock.
    """
    if standing.is_out or (standing.ended is not None and since <= standing.ended):
        return codes.KICKED
    if standing.account != account or standing.leads_elsewhere(identity.issued, window_s=window_s):
        return codes.NO_CREDENTIAL
    return codes.NOT_ALLOWED if standing.barred else None


def barred() -> Refused:
    """The refusal for an account that is disabled or deleted."""
    return Refused(403, codes.NOT_ALLOWED, "barred", "the account of this mailbox is disabled or deleted")
