"""What commands about stored data share: a client of Redis for reading, and the way to the leading worker.

These commands never write by themselves. The leading worker does, in order with what the provider sends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from bridge.settings import Settings
from bridge.supervision import StartRefused

if TYPE_CHECKING:
    from bridge.journal.errors import JournalAway
    from bridge.journal.keys import Keys
    from bridge.journal.mirror import Mirror
    from bridge.journal.orders import Orders, What


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[tuple[Any, Keys]]:
    """A client of Redis until the end of the block, and the names to use there.

    Raises:
        StartRefused: Redis does not answer or refuses, its data were written by a newer program, no worker leads, or
            the worker does not answer.
    """
    from bridge.app.parts import redis_address
    from bridge.journal.errors import JournalAway, JournalRefused, JournalSpoilt, NotAdmitted
    from bridge.journal.keys import Keys
    from bridge.journal.layout import refuse_newer, refuse_other_types
    from bridge.journal.orders import NotAnswered

    redis, keys = redis_address(settings).client(), Keys(settings.namespace)
    try:
        await refuse_newer(redis, keys)
        await refuse_other_types(redis, keys)
        yield redis, keys
    except (JournalRefused, JournalSpoilt, NotAdmitted) as error:
        raise StartRefused(f"Redis will not do: {error}") from error
    except JournalAway as error:
        said = "takes no writes" if _no_writes(error) else "does not answer"
        raise StartRefused(f"Redis {said}: {error}") from error
    except NotAnswered as error:
        raise StartRefused(str(error)) from error
    finally:
        await redis.aclose()


@asynccontextmanager
async def reaching(settings: Settings) -> AsyncIterator[tuple[Mirror, Orders]]:
    """The mirror, and the orders to the leader, until the end of the block.

    Raises:
        StartRefused: as :func:`connected`.
    """
    from bridge.journal.mirror import Mirror
    from bridge.journal.orders import Orders

    async with connected(settings) as (redis, keys):
        yield Mirror(redis, keys), Orders(redis, keys)


async def why_no_writes(orders: Orders) -> str:
    """Why Redis takes no writes now, so that nobody can answer through it; empty if it takes them.

    Raises:
        JournalAway, JournalRefused
    """
    from bridge.journal.errors import JournalAway

    try:
        await orders.check()
    except JournalAway as error:
        if not _no_writes(error):
            raise
        return str(error)
    return ""


def _no_writes(error: JournalAway) -> bool:
    """Whether the server answers, and takes no writes: it is full, its disk fails, or it is a replica."""
    from bridge.journal.errors import TakesNoWrites

    return isinstance(error, TakesNoWrites) or error.word == "READONLY"


async def ordered(
    orders: Orders, what: What, mailbox: str = "", *, ids: Sequence[str] = (), digest: str = ""
) -> Mapping[str, Any]:
    """Have the leader carry out an order; return its answer.

    Raises:
        StartRefused: the leader could not.
        NotAnswered, JournalAway, JournalRefused
    """
    answer = await orders.ask(what, mailbox, ids=ids, digest=digest)
    if not answer["ok"]:
        raise StartRefused(f"the worker could not do it: {answer['error']}")
    return answer


def shown(text: object) -> str:
    """Foreign text for a terminal, without the control and bidi characters that would act on it."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(text))


def shown_json(line: bytes) -> bytes:
    """JSON for a terminal: the same value, with control and bidi characters escaped. ``line`` is JSON on one line.

    Such characters occur in strings only, and there an escape means the same.
    """
    text = line.decode()
    return line if text.isprintable() else "".join(map(_escaped, text)).encode()


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
