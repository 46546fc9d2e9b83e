"""Whom the machines are for: how many people, how many mails, and what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.sizing.measured import MEASURED

DAY_S: Final = 86_400
_BUSIEST_HOUR: Final = 0.2
_BUSIEST_SECOND: Final = 3
"""A fifth of a day's mail comes in its busiest hour, and in that hour's busiest seconds three times its average."""


@dataclass(frozen=True, slots=True)
class Corporation:
    """``aliases``: further addresses of each account · ``mails``: that come to each account in a day; each is read, so
    that its count changes once more · ``online``: connections that are open at a time, of all browsers together.

    ``history_events``, ``history_s``, ``events_max``, ``audit_max``, ``dead_max``, ``backlog``, ``handshake_rate`` (a
    second, of each edge process; 0: any number) and ``newcount_rate`` (calls a second) are the settings of these names.

    ``mail_bytes``, ``count_bytes``: the JSON of an event about a mail, and about a count · ``mailbox_bytes``: what a
    mailbox was seen to take in Redis, its history included; 0: not looked · ``call_s``: how long the provider takes for
    an answer, which nobody knows beforehand.
    """

    accounts: int
    online: int
    aliases: float = 1.0
    mails: float = 50.0
    history_events: int = 200
    history_s: int = DAY_S
    events_max: int = 200_000
    audit_max: int = 100_000
    dead_max: int = 1000
    backlog: int = 10_000
    handshake_rate: int = 2500
    newcount_rate: float = 20.0
    mail_bytes: float = MEASURED.mail_event
    count_bytes: float = MEASURED.count_event
    mailbox_bytes: float = 0.0
    call_s: float = 0.1

    @property
    def mails_a_day(self) -> float:
        return self.accounts * self.mails

    @property
    def events_a_day(self) -> float:
        """A mail is two events: it comes, and it is read."""
        return 2 * self.mails_a_day

    @property
    def busy_mails(self) -> float:
        """Mails a second, when most come."""
        return self.mails_a_day * _BUSIEST_HOUR / 3600 * _BUSIEST_SECOND

    @property
    def reach(self) -> float:
        """To how many connections an event is handed, on average."""
        return self.online / max(1, self.accounts)
