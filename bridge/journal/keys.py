"""Every name that the bridge uses in Redis; no other file has one.

All keys of one corporation share the hash tag ``{<namespace>}``, so that one script may use any of them and one node of
a cluster holds them all. Channels are not keys and have no tag, but for sharded ones: those of a namespace are served
by the node that holds its keys.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.events import CANARY
from bridge.journal.sharded import Sharded


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys and channels of one namespace. ``stream`` is an address, ``directory`` or ``system``.

    ``sharded``: how whoever leads with these keys publishes what concerns a mailbox.
    """

    namespace: str
    sharded: Sharded = "off"
    format: str = field(init=False)
    ver: str = field(init=False)
    events: str = field(init=False)
    audit: str = field(init=False)
    dead: str = field(init=False)
    directory: str = field(init=False)
    directory_next: str = field(init=False)
    slaves: str = field(init=False)
    slaves_next: str = field(init=False)
    ver_next: str = field(init=False)
    barred: str = field(init=False)
    barred_next: str = field(init=False)
    kicked: str = field(init=False)
    held: str = field(init=False)
    owed: str = field(init=False)
    moved: str = field(init=False)
    doubted: str = field(init=False)
    upstream: str = field(init=False)
    online: str = field(init=False)
    wanted: str = field(init=False)
    lease: str = field(init=False)
    fence: str = field(init=False)
    commits: str = field(init=False)
    generation: str = field(init=False)
    server: str = field(init=False)
    orders: str = field(init=False)
    orders_taken: str = field(init=False)
    reports: str = field(init=False)
    corporation: str = field(init=False)
    made: str = field(init=False)
    token: str = field(init=False)
    token_lock: str = field(init=False)
    probe: str = field(init=False)

    def __post_init__(self) -> None:
        for name, suffix in _SUFFIXES.items():
            object.__setattr__(self, name, f"{{{self.namespace}}}:{suffix}")

    def state(self, stream: str) -> str:
        """Hash: generation, epoch, seq, unread, as_of."""
        return f"{{{self.namespace}}}:mailbox:{stream}"

    def log(self, stream: str) -> str:
        """Stream: the history, entry id ``<seq>-0``, field ``event``."""
        return f"{{{self.namespace}}}:log:{stream}"

    def seen(self, mailbox: str) -> str:
        """Sorted set: MailId → when the mail was published, in ms."""
        return f"{{{self.namespace}}}:seen:{mailbox}"

    def ticket(self, digest: str) -> str:
        """String: the claims of a one-time ticket, under the ticket's hash."""
        return f"{{{self.namespace}}}:private:ticket:{digest}"

    def clicks(self, mailbox: str) -> str:
        """String: the number of clicks on a mailbox in the current minute."""
        return f"{{{self.namespace}}}:private:signon:{mailbox}"

    def answer(self, order: str) -> str:
        """String: the leader's answer to a command's order."""
        return f"{{{self.namespace}}}:private:answer:{order}"

    def testimony(self, inquiry: str) -> str:
        """List: the edges' answers to an inquiry."""
        return f"{{{self.namespace}}}:private:testimony:{inquiry}"

    @property
    def forgotten(self) -> str:
        """Sorted set: epochs that were deleted on purpose and edges may remember, ``<stream> <epoch>`` → when, in ms.

        It is named like a testimony, because an access list of an earlier release lets the worker write those.
        """
        return self.testimony("forgotten")

    @property
    def standbys(self) -> str:
        """Sorted set: workers that stand by → until when that is known, in seconds. Named like an answer to an order
        for the same reason: the worker may write those, and an operator read them."""
        return self.answer("standbys")

    @property
    def inquiry_channel(self) -> str:
        """The channel on which edges are asked what they know."""
        return f"{self.namespace}:private:inquiry"

    @property
    def control_channel(self) -> str:
        """The channel that wakes edges after a kick."""
        return f"{self.namespace}:control"

    def mailbox_channel(self, mailbox: str, *, sharded: bool = False) -> str:
        if mailbox == CANARY:
            # Not beside the mailboxes: services follow all of those by a pattern.
            return self.probe_channel(CANARY, sharded=sharded)
        return f"{self._place(sharded)}:mailbox:{mailbox}"

    def published_on(self, mailbox: str) -> tuple[str, str]:
        """The plain and the sharded channel that a leader publishes the events of a mailbox on; empty: it does not."""
        plain = "" if self.sharded == "instead" else self.mailbox_channel(mailbox)
        return plain, "" if self.sharded == "off" else self.mailbox_channel(mailbox, sharded=True)

    def kind_channel(self, kind: str) -> str:
        """``mail.new``, ``mail.unread``, ``mail.missed``, ``directory`` or ``system``."""
        return f"{self.namespace}:{kind}"

    def probe_channel(self, edge: str, *, sharded: bool = False) -> str:
        """The channel of one edge process's own probe."""
        return f"{self._place(sharded)}:private:probe:{edge}"

    def _place(self, sharded: bool) -> str:
        return f"{{{self.namespace}}}" if sharded else self.namespace


_SUFFIXES = {
    "format": "format",
    "ver": "ver",
    "events": "events",
    "audit": "audit",
    "dead": "dead",
    "directory": "directory",
    "directory_next": "directory.next",
    "slaves": "slaves",
    "slaves_next": "slaves.next",
    "ver_next": "ver.next",
    "barred": "barred",
    "barred_next": "barred.next",
    "kicked": "kicked",
    "held": "held",
    "owed": "owed",
    "moved": "moved",
    "doubted": "doubted",
    "orders": "private:orders",
    "orders_taken": "private:orders.taken",
    "reports": "private:reports",
    "upstream": "upstream",
    "online": "online",
    "wanted": "wanted",
    "lease": "lease",
    "fence": "fence",
    "commits": "commits",
    "generation": "generation",
    "server": "server",
    "corporation": "corporation",
    "made": "made",
    "token": "private:token",
    "token_lock": "private:token.lock",
    "probe": "private:probe",
}
