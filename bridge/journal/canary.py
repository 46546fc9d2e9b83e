"""An event that tries the way from a worker to a browser: on a reserved stream, and told to nobody.

The worker that leads publishes it as it publishes a mail: by the script, under its lease. It is in no history and not
in the stream of all events, and services that follow all mailboxes are not sent it. Only whoever an operator announced
to the edges (:meth:`bridge.journal.inquiry.Inquiries.announce`) can open the stream.
"""

from __future__ import annotations

from typing import Final

from bridge.events import CANARY, build_event
from bridge.journal.epochs import new_epoch
from bridge.journal.keys import Keys
from bridge.journal.writer import Writer

TYPE: Final = "exmail.canary"
_PUBLISHED: Final = 1


class NotPublished(Exception):
    """Our user of Redis may not publish there; the access list is an older release's."""


class Canary:
    """Sings for a leader; ``writer`` holds the lease."""

    def __init__(self, writer: Writer, keys: Keys) -> None:
        self._writer = writer
        self._keys = keys

    async def sing(self, mark: str, *, at_s: float) -> int:
        """Publish an event with ``mark`` in it, by which whoever waits for it knows it; return how many heard it.

        ``at_s``: the time by Redis's clock, epoch seconds.

        Raises:
            NotPublished, LeaseLost, JournalAway, JournalRefused
        """
        keys, channels = self._keys, self._keys.published_on(CANARY)
        event = build_event(namespace=keys.namespace, stream=CANARY, type=TYPE, time_s=at_s, data={"mark": mark[:64]})
        more_keys = (keys.commits, keys.generation, keys.state(CANARY))
        [answer] = await self._writer.ask("canary", [more_keys], (new_epoch(), event.body, *channels))
        if answer[0] != _PUBLISHED:
            where = " and ".join(channel for channel in channels if channel)
            raise NotPublished(f"this user may not publish on {where}; deploy/redis/users.acl has the line")
        return int(answer[3])
