"""The channels that this process listens to: those of its mailboxes, and its own.

What concerns a mailbox comes by plain channels, or in a cluster by sharded ones, as the leader has noted. A leader that
publishes in another way than the one before is noticed within some seconds, by its announcement at once; the connection
is then made anew, and what was missed in between is read from the journal as after any other cut. The rest comes by
plain channels always: it is little, and edges of an earlier release know no others.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from itertools import count
from typing import Final

from bridge.events import CANARY
from bridge.journal.connect import RedisAddress
from bridge.journal.errors import JournalError, JournalRefused
from bridge.journal.keys import Keys
from bridge.journal.reader import Reader
from bridge.journal.sharded import PLAIN, Published
from bridge.journal.subscription import try_sharded

log = logging.getLogger(__name__)

_LOOKS: Final = 10
"""Sharded channels that were refused are tried at every tenth look: each time over a new connection."""


class Channels:
    """Names of channels, and whether those that concern mailboxes are ``sharded`` at present.

    ``look_s``: the interval at which the leader's note is read.
    """

    def __init__(self, keys: Keys, reader: Reader, *, look_s: float) -> None:
        self._keys = keys
        self._reader = reader
        self._look_s = look_s
        self._id = secrets.token_hex(6)
        self._wake = asyncio.Event()
        self._denied: Published | None = None
        self._heard_by = PLAIN
        self.system = keys.kind_channel("system").encode()
        self.directory = keys.kind_channel("directory").encode()
        self.inquiry = keys.inquiry_channel.encode()
        self.control = keys.control_channel.encode()
        self._take(PLAIN)

    @property
    def sharded(self) -> bool:
        """Whether what concerns a mailbox is heard by sharded channels."""
        return self._heard_by.sharded != "off"

    @property
    def plain(self) -> list[str]:
        """What does not concern a single mailbox."""
        return [channel.decode() for channel in (self.system, self.directory, self.inquiry, self.control)]

    @property
    def own(self) -> list[str]:
        """What tries the way of a mail."""
        return [self.canary.decode(), self.probe.decode()]

    def of(self, mailbox: str) -> str:
        """The channel of a mailbox."""
        return self._keys.mailbox_channel(mailbox, sharded=self.sharded)

    def _take(self, published: Published) -> None:
        self._heard_by = published
        self.canary = self.of(CANARY).encode()
        self.probe = self._keys.probe_channel(self._id, sharded=self.sharded).encode()

    async def _asked(self) -> Published:
        try:
            published = await self._reader.published()
        except JournalRefused:
            # A key of another type, for instance: nobody goes without mails for what is only additional information.
            return PLAIN
        if published == self._denied:
            return PLAIN
        self._denied = None
        return published

    async def choose(self) -> None:
        """Ask how the leader publishes: a connection that was just dialled listens there.

        Raises:
            JournalAway
        """
        self._take(await self._asked())

    def deny(self, why: JournalRefused) -> None:
        """Redis refused sharded channels, to our user or to everybody: plain ones must do, until another leads or the
        right is there."""
        log.error(
            "sharded channels are refused, so mails may be late; deploy/redis/users.acl has the line for them",
            extra={"error": str(why)},
        )
        self._denied = self._heard_by

    def look(self) -> None:
        """Read the note now: an event says that another may lead."""
        self._wake.set()

    async def follow(self, leave: Callable[[str], None], address: RedisAddress) -> None:
        """Call ``leave`` whenever mails come by other channels than those listened to. Runs until cancelled."""
        refused = [self._keys.mailbox_channel(CANARY, sharded=True), self._keys.probe_channel(self._id, sharded=True)]
        for look in count(1):
            try:
                async with asyncio.timeout(self._look_s):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                if self._denied is not None and look % _LOOKS == 0:
                    await try_sharded(address, refused)
                    self._denied = None
                published = await self._asked()
            except JournalError:
                continue
            if (published.sharded != "off") != self.sharded:
                leave("mails come by other channels now")
