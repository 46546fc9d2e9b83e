"""An operator's orders: commands write them, the worker that leads carries them out and answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

from bridge.journal.canary import Canary, NotPublished
from bridge.journal.errors import JournalAway, JournalRefused, LeaseLost
from bridge.journal.orders import Order, Orders
from bridge.provider.faults import BadParameter, ProviderError
from bridge.provider.source import Source
from bridge.worker.dead import Replayer
from bridge.worker.decisions import NotWhatWasShown
from bridge.worker.directory import Directory, NotBelieved
from bridge.worker.scribe import CursorElsewhere

log = logging.getLogger(__name__)


class NothingRecorded(Exception):
    """There is no recording to hand over."""


_LOOK_S: Final = 0.5
_RECORD_S: Final = 60.0
_OFTEN: Final = ("describe", "canary")
"""Orders that change nothing, and are given every few seconds by whoever watches."""
_REFUSALS: Final = (ProviderError, BadParameter, NotBelieved, NotWhatWasShown, NotPublished, NothingRecorded)


class OrderTaker:
    """Does one order after the other.

    ``describe``: says how this leader is. ``wall``: epoch seconds, by Redis's clock. ``look_s``: seconds between two
    looks for an order.
    """

    def __init__(
        self,
        orders: Orders,
        directory: Directory,
        replayer: Replayer,
        *,
        source: Source,
        canary: Canary,
        describe: Callable[[], Mapping[str, Any]],
        wall: Callable[[], float],
        look_s: float = _LOOK_S,
    ) -> None:
        self._orders = orders
        self._directory = directory
        self._replayer = replayer
        self._source = source
        self._canary = canary
        self._wall = wall
        self._describe = describe
        self._look_s = look_s

    async def run(self) -> None:
        """Take and answer orders until cancelled; one that is not done by then is left to the next leader.

        Raises:
            LeaseLost: another worker leads.
        """
        while True:
            with suppress(JournalAway, CursorElsewhere):
                while (order := await self._orders.take()) is not None:
                    await self._orders.answer(order, await self._done(order))
            await asyncio.sleep(self._look_s)

    async def _done(self, order: Order) -> Mapping[str, Any]:
        """Carry out one order; return its answer.

        Raises:
            JournalAway, CursorElsewhere: it is not done, and still in the list.
            LeaseLost
        """
        try:
            answer = await self._do(order)
        except _REFUSALS as error:
            log.warning("order failed", extra={"order": order.what, "error": str(error)})
            return {"ok": False, "error": str(error)}
        except (JournalAway, CursorElsewhere, LeaseLost):
            raise
        except Exception as error:
            # A defect ends this worker. Answer the order, so that it does not end the next worker too.
            why = "this worker ended over it" if not isinstance(error, JournalRefused) else str(error)
            await self._orders.answer(order, {"ok": False, "error": why})
            raise
        if order.what not in _OFTEN:
            log.info("order done", extra={"order": order.what})
        return {"ok": True, **answer}

    async def _do(self, order: Order) -> Mapping[str, Any]:
        match order.what:
            case "resync":
                return asdict(await self._directory.resync())
            case "release":
                return asdict(await self._directory.release(order.digest))
            case "refuse":
                return {"kept": await self._directory.refuse(order.digest)}
            case "forget":
                account, known, scrubbed = await self._directory.forget(order.mailbox)
                return {"account": account, "known": known, "scrubbed": scrubbed}
            case "replay":
                return {"replayed": [asdict(each) for each in await self._replayer.replay(order.ids)]}
            case "drop":
                return {"dropped": await self._replayer.drop(order.ids)}
            case "describe":
                return self._describe()
            case "record":
                self._source.record(_seconds(order))
                return {}
            case "recorded":
                lines = self._source.recorded()
                if lines is None:
                    raise NothingRecorded("nothing was recorded here: another worker has led, or somebody fetched it")
                return {"lines": lines}
            case "canary":
                return {"heard": await self._canary.sing("".join(order.ids), at_s=self._wall())}


def _seconds(order: Order) -> float:
    """For how long to record; an order that says nothing of use means a minute."""
    try:
        return max(1.0, min(float("".join(order.ids)), 600.0))
    except ValueError:
        return _RECORD_S
