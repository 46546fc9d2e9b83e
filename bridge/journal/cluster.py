"""Ask the nodes of a cluster which of them holds a namespace.

All keys of a namespace share one hash tag, so one node holds them all and a client of that node is enough; a PUBLISH
reaches every node. Each node answers what it believes. A majority is asked, and the answer with the highest
configuration epoch counts, as among the nodes themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from redis.crc import key_slot

from bridge.journal.errors import JournalAway, JournalError, JournalRefused, WrongCredentials
from bridge.journal.route import Node, ask, ask_most, being_read

_MOST: Final = 8
"""How many nodes are asked at most; a cluster may have a hundred."""


class _Claim(NamedTuple):
    epoch: int
    owner: Node
    replicas: list[Node]


class Cluster:
    """A cluster that can be reached through ``seeds``. ``dial`` makes a connection to a node, not dialled yet."""

    def __init__(self, seeds: Sequence[Node], namespace: str, dial: Callable[[Node], Any]) -> None:
        self._seeds = seeds
        self._slot = key_slot(f"{{{namespace}}}".encode())
        self._dial = dial
        self._known: list[Node] = []

    async def find(self) -> Node:
        """Return the node that holds the namespace.

        Raises:
            JournalAway: no node answers, or nobody holds it.
            JournalRefused, WrongCredentials: what answers is no cluster, or does not let us ask.
        """
        # The last owner and its replicas are the first to know the new one; the seeds may be gone for good.
        nodes = list(dict.fromkeys([*self._known, *self._seeds]))[:_MOST]
        answers, refusals = await ask_most(nodes, self._ask)
        claims: list[_Claim] = [claim for [claim] in answers.values() if claim is not None]
        if not claims:
            raise self._nobody(answers, refusals)
        claim = max(claims, key=lambda claim: claim.epoch)
        others = [other for each in claims for other in (each.owner, *each.replicas)]
        self._known = list(dict.fromkeys([claim.owner, *claim.replicas, *others]))
        return claim.owner

    async def _ask(self, node: Node) -> list[_Claim | None]:
        said = await ask(self._dial(node), ("CLUSTER", "SLOTS"), ("CLUSTER", "NODES"))
        with being_read():
            return [_claim(self._slot, node, *said)]

    def _nobody(self, answers: dict[Node, list[Any]], refusals: dict[Node, JournalError]) -> JournalError:
        if answers:
            return JournalAway(f"no node of the cluster holds slot {self._slot}")
        why = "; ".join(f"{node}: {error}" for node, error in refusals.items()) or "no answer in time"
        if refusals and all(isinstance(error, JournalRefused | WrongCredentials) for error in refusals.values()):
            kind = type(next(iter(refusals.values())))
            return kind(f"no node tells about a cluster ({why})")
        return JournalAway(f"no node of the cluster answers ({why})")


def _claim(slot: int, asked: Node, slots: list[list[Any]], nodes: bytes) -> _Claim | None:
    """The owner of ``slot`` according to the node ``asked``; ``None``: none, or none whose address it knows."""
    found = next((servers for first, last, *servers in slots if first <= slot <= last), None)
    if not found or (place := _place(asked, found[0])) is None:
        return None
    # id address flags master ping pong epoch link slots…
    epochs = {words[0]: int(words[6]) for words in map(bytes.split, nodes.splitlines()) if len(words) > 6}
    places = [_place(asked, replica) for replica in found[1:]]
    return _Claim(epochs.get(found[0][2], 0), place, [replica for replica in places if replica is not None])


def _place(asked: Node, entry: list[Any]) -> Node | None:
    """The address in an entry of CLUSTER SLOTS. An empty one is that of the node asked; ``?`` is unknown."""
    host = (entry[0] or b"").decode()
    return None if host == "?" else Node(host or asked.host, int(entry[1]))
