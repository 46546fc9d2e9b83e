"""Who somebody is, as far as the bridge is concerned: what a credential proves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that the OA has answered, and until when the answer holds.

    ``cookies`` are the browser's, as the OA gets them; ``key`` is their hash. ``holds_until``: epoch seconds.
    ``again_at``: when an open connection asks again, monotonic seconds.
    """

    key: bytes
    cookies: str = field(repr=False)
    holds_until: float
    again_at: float


@dataclass(frozen=True, slots=True)
class Identity:
    """What a credential proves: which mailboxes it opens, and until when.

    ``mailboxes`` are normalised addresses; the first is the default. ``sid`` is the OA's session. ``session``
    identifies the session in kicks: the ``sid``, or otherwise a hash of what was signed. ``expires``: epoch seconds,
    with the leeway for clocks; admission, connection and ticket end then. ``issued``: when the token was made, if it
    says so. ``asked``: what to ask the OA again while a connection is open, where the OA said it. ``signer``: the name
    of the secret that the token is signed with; nothing lasts longer than that secret. ``""``: there is none.
    """

    mailboxes: tuple[str, ...]
    sid: str | None
    scope: frozenset[str]
    expires: float
    session: str = field(default="", compare=False)
    issued: float | None = field(default=None, compare=False)
    asked: Asked | None = field(default=None, compare=False, repr=False)
    signer: str = field(default="", compare=False)

    @property
    def ticket_ends(self) -> float:
        """Until when a ticket may open a connection, and that connection may last: nothing can be asked again for it.

        Epoch seconds.
        """
        return self.expires if self.asked is None else min(self.expires, self.asked.holds_until)

    @property
    def session_name(self) -> str | None:
        """Lets a browser's tabs recognise that they belong to one session and see the same; it is no credential.

        A credential that names other mailboxes has another name, though its ``sid`` is the same: what tabs share, and
        what they keep, must be nothing that the newer one does not open. ``None``: the session is unknown, because an
        edge of an older release made the ticket.
        """
        if not self.session:
            return None
        first, *further = self.mailboxes
        named = "\0".join(("exmail-bridge session", self.session, first, *sorted(further)))
        return hashlib.sha256(named.encode()).hexdigest()[:32]
