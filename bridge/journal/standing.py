"""Who may read now: which account an address means, who is barred, and whose connections were ended.

A credential says who somebody was when it was signed. What the directory and the OA have said since then is stored in
Redis, and every request is checked against it. Times are epoch ms of Redis's clock, because processes whose own clocks
differ compare them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

from bridge.journal.errors import JournalRefused, JournalSpoilt, NotLetIn
from bridge.journal.keys import Keys
from bridge.journal.script import Script

_BATCH: Final = 256
_WIDTH: Final = 5
_NOTHING: Final = (False, None, None, None)


class Asker(NamedTuple):
    """Somebody whose standing is asked for: the address in the credential, and its session ("" = none)."""

    address: str
    session: str


class Standing(NamedTuple):
    """Somebody's standing at the time ``at``.

    ``account``: the account that the address means. ``moved``: when the address came to mean another person, because it
    went to another account or the account to somebody else. ``out_until``: until when the session is kept out.
    ``ended``: when the mailbox's connections were last ended; connections opened later may stay.
    """

    at: int
    account: str
    barred: bool
    moved: int | None
    out_until: int | None
    ended: int | None

    @property
    def says_nothing(self) -> bool:
        """Whether there is nothing but the account, as of almost everybody."""
        return self[2:] == _NOTHING

    @property
    def is_out(self) -> bool:
        """Whether the session is kept out now."""
        return self.out_until is not None and self.out_until > self.at

    def leads_elsewhere(self, issued: float | None, *, window_s: int) -> bool:
        """Whether a credential issued then (``iat``, epoch seconds) may mean the address's former holder.

        It means the present one only if it was issued after the change, and not in the future.
        """
        if self.moved is None or self.moved <= self.at - window_s * 1000:
            return False
        return issued is None or not self.moved < issued * 1000 <= self.at + 60_000


class Standings:
    """Reads standings, and ends connections and sessions. ``kept_s``: for how long a session is kept out."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._script = Script(redis)
        self._keys = keys

    async def look(self, askers: Sequence[Asker]) -> list[Standing]:
        """The standing of each asker, in this order.

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
        """End the connections of a mailbox, of a session, or of a session to a mailbox; keep the session out.

        Raises:
            JournalAway, JournalRefused
        """
        assert mailbox or session
        keys = self._keys
        arguments = ("kick", mailbox, session, kept_s * 1000, keys.control_channel)
        await self._script.run([((keys.slaves, keys.kicked), arguments)])

    async def check(self) -> None:
        """Find out by trying whether our user may read standings; an ACL file of an earlier release has fewer keys.

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
    """Read ``(account, session)`` from a message on the control channel; ``""`` for the one that it does not name."""
    text = payload.decode(errors="replace")
    if text.startswith("sid:"):
        return "", text.removeprefix("sid:")
    # An address contains no blank; a session's name may contain anything.
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
