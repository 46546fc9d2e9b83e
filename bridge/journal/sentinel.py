"""Ask sentinels which server is the master.

Each answers what it believes. One that was cut off together with a deposed master still names that master. So a
majority is asked, and the answer with the highest configuration epoch counts, which is that of the latest failover.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from bridge.journal.errors import JournalAway, JournalError, NotLetIn, WrongCredentials
from bridge.journal.route import Node, ask, ask_most, being_read


class Sentinels:
    """The sentinels of the master ``name``. ``dial`` makes a connection to one of them, not dialled yet."""

    def __init__(self, nodes: Sequence[Node], name: str, dial: Callable[[Node], Any]) -> None:
        self._nodes = nodes
        self._name = name
        self._dial = dial

    async def find(self) -> Node:
        """Return the master. Whether it already knows that it is one is found out by dialling it.

        Raises:
            JournalAway: no sentinel answers, or none knows the name.
            WrongCredentials: they ask for another password.
        """
        answers, refusals = await ask_most(self._nodes, self._ask)
        named: Counter[tuple[int, Node]] = Counter(answer for [answer] in answers.values())
        if not named:
            raise self._nobody(refusals)
        (_, node), _ = max(named.items(), key=lambda each: (each[0][0], each[1]))
        return node

    async def _ask(self, node: Node) -> list[tuple[int, Node]]:
        [answer] = await ask(self._dial(node), ("SENTINEL", "MASTER", self._name))
        with being_read():
            return [_read(answer)]

    def _nobody(self, refusals: dict[Node, JournalError]) -> JournalError:
        for node, error in refusals.items():
            if isinstance(error, WrongCredentials | NotLetIn):
                return type(error)(f"the sentinel {node} refuses BRIDGE_REDIS_SENTINEL_PASSWORD, or lacks it: {error}")
            if "No such master" in str(error) or "No such primary" in str(error):
                return JournalAway(f"the sentinel {node} knows no master called {self._name}")
        why = "; ".join(f"{node}: {error}" for node, error in refusals.items()) or "no answer in time"
        return JournalAway(f"no sentinel answers ({why})")


def _read(answer: list[bytes]) -> tuple[int, Node]:
    fields = dict(zip(answer[::2], answer[1::2], strict=False))
    return int(fields[b"config-epoch"]), Node(fields[b"ip"].decode(), int(fields[b"port"]))
