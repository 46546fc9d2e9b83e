"""The worker's reads: cursor, directory mirror, who is online, which counts are wanted.

What grows with the corporation is read in pieces of some hundred entries: whoever asks Redis for all of it at once
blocks everybody there, and then the own event loop with reading the answer.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from bridge.events import DIRECTORY, normalise_address, to_json
from bridge.journal.calls import Stream
from bridge.journal.client import typed
from bridge.journal.clock import redis_now_us
from bridge.journal.counted import COUNTED_FIELDS, Counted, read_counted
from bridge.journal.dead import names_any
from bridge.journal.errors import JournalRefused, JournalSpoilt, NotLetIn, OtherType, translated
from bridge.journal.held import Held, read_held
from bridge.journal.keys import Keys
from bridge.journal.layout import refuse_other_types
from bridge.journal.made import Made, read_made
from bridge.journal.owed import Owed, read_owed
from bridge.journal.profile import named, read_profile

log = logging.getLogger(__name__)

_SCAN: Final = 500
"""Entries of a piece."""
_LOOKED_AT: Final = 2000
_LOOKS: Final = 16
"""Places of a set that are looked at in one call, and calls: enough for all who are on line."""


class Mirror:
    """Reads what the leader needs to decide; changes nothing but the set of wanted counts."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = typed(redis)
        self._keys = keys
        self._wanted_at = 0

    async def check(self) -> None:
        """Find out by trying whether this user has a leader's rights, and whether keys have their types.

        An ACL file of an earlier release grants fewer rights.

        Raises:
            JournalAway, JournalRefused, JournalSpoilt
        """
        keys = self._keys
        needed = (keys.owed, keys.moved, keys.doubted, keys.ver_next, keys.orders_taken, keys.corporation, keys.made)
        pipeline = self._redis.pipeline(transaction=False)
        for key in needed:
            pipeline.exists(key)
        try:
            with translated():
                await pipeline.execute()
                if keys.sharded != "off":
                    # Nobody hears it: no mailbox is without a name.
                    await self._redis.spublish(keys.mailbox_channel("", sharded=True), "")
        except NotLetIn as error:
            lack = " ".join(f"~{key}" for key in needed)
            if keys.sharded != "off":
                lack += f" +spublish &{keys.mailbox_channel('*', sharded=True)}"
            raise JournalRefused(
                f"this user lacks a right, of {lack}; deploy/redis/users.acl has the lines: {error}"
            ) from error
        await refuse_other_types(self._redis, keys)
        await self.held()

    async def ver(self) -> int | None:
        """The cursor: the Ver whose member changes are applied (protocol 3.3.3); ``None`` before the first."""
        stored = await self.stored_ver()
        return int(stored) if stored and stored.lstrip("-").isdecimal() else None

    async def stored_ver(self) -> str | None:
        """The cursor exactly as it is stored, for compare-and-set."""
        with translated():
            value = await self._redis.get(self._keys.ver)
        return None if value is None else value.decode(errors="replace")

    async def size(self) -> int:
        """The number of accounts in the mirror."""
        with translated():
            return await self._redis.hlen(self._keys.directory)

    async def aliases(self) -> set[str]:
        """The main addresses of all accounts."""
        return {alias async for alias, _ in self._fields(self._keys.directory)}

    async def profiles(self, aliases: Sequence[str]) -> list[Mapping[str, Any] | None]:
        """The stored profiles of these accounts, in this order; ``None``: there is no such account.

        Of an account whose profile is none the name is known: the next comparison puts it right.
        """
        texts: list[bytes | None] = []
        for start in range(0, len(aliases), _SCAN):
            with translated():
                texts += await self._redis.hmget(self._keys.directory, list(aliases[start : start + _SCAN]))
        found = [None if text is None else read_profile(text) for text in texts]
        self._tell_spoilt(found.count(None) - texts.count(None))
        return [
            named(alias) if profile is None and text is not None else profile
            for alias, text, profile in zip(aliases, texts, found, strict=True)
        ]

    async def everybody(self) -> dict[str, Mapping[str, Any]]:
        """All profiles by alias."""
        return {alias: profile async for alias, profile in self.each_profile()}

    async def each_profile(self) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
        """Every account and its profile, one after the other; one that is stored meanwhile may be missing.

        A profile that is none counts as in :meth:`profiles`.
        """
        spoilt = 0
        async for alias, text in self._fields(self._keys.directory):
            profile = read_profile(text)
            spoilt += profile is None
            yield alias, named(alias) if profile is None else profile
        self._tell_spoilt(spoilt)

    def _tell_spoilt(self, accounts: int) -> None:
        if accounts:
            log.warning(
                "stored profiles cannot be read, their accounts are known by name alone",
                extra={"key": self._keys.directory, "accounts": accounts},
            )

    async def made(self) -> Made:
        """The settings and the revision that the stored data were made with."""
        with translated():
            return read_made(*await self._redis.hmget(self._keys.made, "privacy", "fields", "revision"))

    async def is_used(self) -> bool:
        """Whether anything is stored here that depends on a setting."""
        keys = self._keys
        with translated():
            return bool(await self._redis.exists(keys.made, keys.events, keys.directory, keys.dead))

    async def addresses_of_events(self) -> set[str]:
        """The mailboxes with events in the stream of all events, and the directory; read in pieces."""
        found: set[bytes] = set()
        at = "-"
        while True:
            with translated():
                entries = await self._redis.xrange(self._keys.events, at, "+", count=_SCAN)
            found.update(fields.get(b"mailbox", b"") for _, fields in entries)
            if len(entries) < _SCAN:
                return {mailbox.decode(errors="replace") for mailbox in found if mailbox} | {DIRECTORY}
            at = f"({entries[-1][0].decode()}"

    async def slaves(self) -> Mapping[str, str]:
        """All slaves (别名): slave → account."""
        return await self._pairs(self._keys.slaves)

    async def barred(self) -> set[str]:
        """Addresses that may not be opened: accounts that are disabled or deleted."""
        with translated():
            return {address.decode() async for address in self._redis.sscan_iter(self._keys.barred, count=_SCAN)}

    async def held(self) -> Held | None:
        """The deletions that wait for an operator's decision.

        Raises:
            JournalAway, JournalRefused
            JournalSpoilt: what is stored there is something else.
        """
        key = self._keys.held
        with translated():
            text = await self._redis.get(key)
        try:
            return None if text is None else read_held(text)
        except ValueError as error:
            raise JournalSpoilt(
                f"{key} does not hold the deletions that wait for a decision: find out who writes into this namespace, "
                f"then delete the key (DEL {key}) and compare all accounts (exmail-bridge directory resync)"
            ) from error

    async def owed(self) -> dict[str, Owed]:
        """The accounts for which an answer of the provider is still owed."""
        return {alias: read_owed(text) async for alias, text in self._fields(self._keys.owed)}

    async def doubted(self) -> dict[str, int]:
        """Accounts that were admitted again and may belong to another person → when (epoch ms of Redis's clock).

        Entries older than a day may still be there.
        """
        with translated():
            each = self._redis.zscan_iter(self._keys.doubted, count=_SCAN)
            return {alias.decode(errors="replace"): int(when) async for alias, when in each}

    async def staged(self) -> tuple[str, set[str]]:
        """What the stage of a first fill records about its beginning (empty = no stage), and the accounts in it."""
        with translated():
            beginning = await self._redis.get(self._keys.ver_next)
        aliases = {alias async for alias, _ in self._fields(self._keys.directory_next)}
        return (beginning or b"").decode(errors="replace"), aliases

    async def staged_slaves(self) -> Mapping[str, str]:
        """The slaves (别名) in the stage of a first fill: slave → account."""
        return await self._pairs(self._keys.slaves_next)

    async def _pairs(self, key: str) -> dict[str, str]:
        return {name: value.decode(errors="replace") async for name, value in self._fields(key)}

    async def _fields(self, key: str) -> AsyncIterator[tuple[str, bytes]]:
        """The fields of a hash and their values; a name that is no UTF-8 is nobody's, and passed over."""
        with translated():
            async for name, value in self._redis.hscan_iter(key, count=_SCAN):
                # Not by suppress(), which is three calls for each of hundreds of thousands.
                try:
                    text = name.decode()
                except UnicodeDecodeError:
                    continue
                yield text, value

    async def now_us(self) -> int:
        """Redis's clock, which all processes share; epoch µs."""
        return await redis_now_us(self._redis)

    async def now_ms(self) -> int:
        """The same; epoch ms."""
        return await self.now_us() // 1000

    async def entries_of(self, stream: Stream, addresses: Collection[str]) -> list[bytes]:
        """The ids of a stream's entries about these addresses, as mailboxes or as accounts.

        Reads the whole stream. A mail to somebody else that one of them sent does not count. In a dead document it is
        unknown whose it is, so an address counts anywhere.
        """
        keys = self._keys
        key = {"events": keys.events, "audit": keys.audit, "log": keys.log(DIRECTORY), "dead": keys.dead}[stream]
        mailboxes = {address.encode() for address in addresses}
        subjects = [b'"subject":' + to_json(address) for address in addresses]
        found: list[bytes] = []
        at = "-"
        while True:
            try:
                with translated():
                    entries = await self._redis.xrange(key, at, "+", count=_SCAN)
            except OtherType:
                if stream != "log":
                    raise
                # Whoever publishes there next begins it anew.
                return found
            for id, fields in entries:
                # Quotes inside strings are escaped, so this finds the member and no text that looks like it.
                event = fields.get(b"event", b"")
                about = fields.get(b"mailbox") in mailboxes or any(subject in event for subject in subjects)
                if about or names_any(fields.get(b"document", b""), mailboxes):
                    found.append(id)
            if len(entries) < _SCAN:
                return found
            at = f"({entries[-1][0].decode()}"

    async def counted(self, mailboxes: Sequence[str]) -> tuple[list[Counted], int]:
        """What is stored of each mailbox (seq 0 if nothing is), and the time by Redis's clock, in epoch ms.

        Read it before asking the provider for a count.
        """
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.get(self._keys.generation)
        pipeline.hget(self._keys.upstream, "gap")
        for mailbox in mailboxes:
            pipeline.hmget(self._keys.state(mailbox), *COUNTED_FIELDS)
        with translated():
            found = await pipeline.execute(raise_on_error=False)
            for number, answer in enumerate(found):
                if isinstance(answer, ResponseError):
                    if number < len(found) - len(mailboxes) or not str(answer).startswith("WRONGTYPE"):
                        raise answer
                    # The mailbox's alone; whoever records its count begins it anew.
                    found[number] = [None] * len(COUNTED_FIELDS)
        (seconds, micros), generation, gap, *states = found
        counted = [read_counted(fields, generation=generation, gap=gap) for fields in states]
        return counted, int(seconds) * 1000 + int(micros) // 1000

    async def online(self) -> list[str]:
        """Mailboxes with an open browser connection; entries expire by Redis's clock."""
        with translated():
            now_s = await self._time_s()
            each = self._redis.zscan_iter(self._keys.online, count=_SCAN)
            return _addresses([mailbox async for mailbox, until_s in each if until_s >= now_s])

    async def online_count(self) -> int:
        """How many mailboxes have an open browser connection at any edge."""
        with translated():
            now_s = await self._time_s()
            return await self._redis.zcount(self._keys.online, now_s, "+inf")

    async def forget_offline(self) -> None:
        """Drop the expired entries of ``online``."""
        with translated():
            now_s = await self._time_s()
            await self._redis.zremrangebyscore(self._keys.online, "-inf", f"({now_s:.3f}")

    async def _time_s(self) -> float:
        seconds, micros = await self._redis.time()
        return int(seconds) + int(micros) / 1e6

    async def active(self, *, entries: int = 2000) -> list[str]:
        """The mailboxes of the newest events, latest first."""
        with translated():
            newest = await self._redis.xrevrange(self._keys.events, count=entries)
        return _addresses(dict.fromkeys(fields.get(b"mailbox", b"") for _, fields in newest))

    async def take_wanted(self, most: int) -> list[str]:
        """Take up to ``most`` mailboxes whose count a browser is waiting for.

        Not by SPOP, which looks for random entries: in a set that was large and is nearly empty that took Redis 5 to 9
        ms, and once 267. Each call here looks at a bounded part of the set, in a third of a millisecond.
        """
        key, found = self._keys.wanted, dict[bytes, None]()
        try:
            with translated():
                for _ in range(_LOOKS):
                    self._wanted_at, names = await self._redis.sscan(key, self._wanted_at, count=_LOOKED_AT)
                    found |= dict.fromkeys(names)
                    if len(found) >= most or not self._wanted_at:
                        break
                taken = list(found)[:most]
                if taken:
                    await self._redis.srem(key, *taken)
        except OtherType:
            log.warning(
                "a key was of another type and begins anew: something else writes into this namespace",
                extra={"key": key, "was": "no set"},
            )
            with translated():
                await self._redis.delete(key)
            return []
        return _addresses(taken)

    async def want(self, mailboxes: Iterable[str]) -> None:
        """Put back mailboxes whose count could not be asked for."""
        names = list(mailboxes)
        if names:
            with translated():
                await self._redis.sadd(self._keys.wanted, *names)

    async def upstream(self) -> Mapping[str, str]:
        """The upstream hash as the last leader left it."""
        with translated():
            fields = await self._redis.hgetall(self._keys.upstream)
        return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}


def _addresses(names: Iterable[bytes]) -> list[str]:
    """Those of these names that can be mailboxes: edges enter them, and an edge may be anybody's."""
    texts = [name.decode(errors="replace") for name in names]
    return [text for text in texts if normalise_address(text) == text]
