"""Who may look now: what an address means, who is barred, and whose connections were ended.

A credential says who somebody was when it was signed. What the directory and the OA said since stands here, and every
door looks at it. Times are Redis's clock, in epoch ms: they are compared by processes whose own clocks differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from bridge.journal.errors import JournalRefused, JournalSpoilt, NotLetIn
from bridge.journal.keys import Keys
from bridge.journal.script import Script

_BATCH: Final = 256
_WIDTH: Final = 5


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose standing is asked for: the address that the credential names, and its session ("" = none)."""

    address: str
    session: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands at ``at``.

    ``account`` is what the address means. ``moved``: when it came to mean another person, because it came to another
    account or because somebody else came to have the account. ``out_until``: the session is kept out so long.
    ``ended``: when the mailbox's connections were last ended; who came later may stay.
    """

    at: int
    account: str
    barred: bool
    moved: int | None
    out_until: int | None
    ended: int | None

    @property
    def is_out(self) -> bool:
        """Whether the session is kept out now."""
        return self.out_until is not None and self.out_until > self.at

    def leads_elsewhere(self, issued: float | None, *, window_s: int) -> bool:
        """Whether a credential of this age (``iat``, epoch seconds) may still mean the address's former holder.

        Newer is only what was signed after the change and not in a future.
        """
        if self.moved is None or self.moved <= self.at - window_s * 1000:
            return False
        return issued is None or not self.moved < issued * 1000 <= self.at + 60_000


class Standings:
    """Looks, and has people put out. ``kept_s``: how long a session stays out."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._script = Script(redis)
        self._keys = keys

    async def look(self, askers: Sequence[Asker]) -> list[Standing]:
        """How each of them stands, in their order.

        Raises:
            JournalAway, JournalRefused, JournalSpoilt
        """
        keys = self._keys
        names = (keys.slaves, keys.barred, keys.moved, keys.kicked)
        calls = []
        for start in range(0, len(askers), _BATCH):
            pairs = [word for asker in askers[start : start + _BATCH] for word in (asker.address, asker.session)]
            calls.append((names, ("look", *pairs)))
        found: list[Standing] = []
        for answer in await self._script.run_each(calls):
            if not isinstance(answer, list):
                raise answer
            found += _standings(answer)
        return found

    async def kick(self, *, mailbox: str = "", session: str = "", kept_s: int) -> None:
        """End the connections of a mailbox, of a session, or of a session to a mailbox; a session is kept out.

        Raises:
            JournalAway, JournalRefused
        """
        assert mailbox or session
        keys = self._keys
        arguments = ("kick", mailbox, session, kept_s * 1000, keys.control_channel)
        await self._script.run([((keys.slaves, keys.kicked), arguments)])

    async def check(self) -> None:
        """Find out by trying whether this user may look: an ACL file of an earlier release names fewer keys.

        Raises:
            JournalAway, JournalRefused
        """
        try:
            await self.look([Asker("nobody@nowhere", "")])
        except NotLetIn as error:
            keys = self._keys
            lack = f"~{keys.kicked} and ~{keys.moved} to EVALSHA and %R to read; deploy/redis/users.acl has the lines"
            raise JournalRefused(f"this user lacks a right, of {lack}: {error}") from error


def named(payload: bytes) -> tuple[str, str]:
    """``(account, session)`` that a message on the control channel tells of; ``""`` for what it leaves open."""
    text = payload.decode(errors="replace")
    if text.startswith("sid:"):
        return "", text.removeprefix("sid:")
    # An address has no blanks; what an OA calls its sessions may have anything.
    mailbox, _, session = text.partition(" sid:")
    return mailbox.removeprefix("mailbox:"), session


def _standings(answer: list[Any]) -> list[Standing]:
    try:
        at, fields = int(answer[1]), answer[2:]
        return [
            Standing(at, account.decode(), bool(barred), _ms(moved), _ms(out), _ms(ended))
            for account, barred, moved, out, ended in (
                fields[start : start + _WIDTH] for start in range(0, len(fields), _WIDTH)
            )
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise JournalSpoilt(f"an answer of the journal cannot be read: {error}") from None


def _ms(score: bytes | None) -> int | None:
    return None if score is None else int(float(score))
