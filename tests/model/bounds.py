"""Which parts of what can happen are explored whole: small ones in the suite, all at once with ``--deep``."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.model.state import Bounds

_NOTHING: Final = Bounds(
    items=(("mail",), ("mail",)), lag=1, crashes=0, cuts=0, expiries=0, failovers=0, ticks=0, restores=False
)
_DIRECTORY: Final = replace(
    _NOTHING, items=(("directory",), ("directory",)), items_after_crash=("directory",), failovers=1
)
_RESTART: Final = replace(_NOTHING, one_server=True, restarts=1, looks=1, expiries=1)

QUICK: Final = {
    "crash and cut": replace(_NOTHING, items=(("mails",), ("mail",)), crashes=1, cuts=1),
    "pause and cut": replace(_NOTHING, items=(("mails",), ("mail",)), expiries=1, cuts=1),
    "two in a run, crash and cut": replace(
        _NOTHING, items=(("mails", "mail"), ("mail",)), crashes=1, cuts=1, together=2
    ),
    "pause and renewal": replace(_NOTHING, items=(("mail", "mail"), ("mail",)), expiries=1, ticks=1),
    "failover of an idle leader": replace(_NOTHING, items=(("mail", "rest", "mails"), ("mail",)), failovers=1),
    "failover and pause": replace(_NOTHING, items=(("rest",), ("mail",)), failovers=1, expiries=1, ticks=1, lag=2),
    "failover, crash and cut": replace(_NOTHING, items=(("mail",), ()), failovers=1, crashes=1, cuts=1, ticks=1),
    "failover and two pauses": replace(_NOTHING, items=(("rest", "mail"), ("mail",)), failovers=1, expiries=2),
    "an old server again": replace(
        _NOTHING, items=(("mail", "rest", "mail"), ()), failovers=1, returns=1, asks=True, crashes=1
    ),
    "an old server again, and nobody to ask": replace(
        _NOTHING, items=(("mail", "rest", "mail"), ()), failovers=1, returns=1, cuts=1
    ),
    "two servers that went apart": replace(
        _NOTHING, items=(("mail",), ("mail",)), failovers=1, returns=1, asks=True, expiries=1, lag=0
    ),
    "pause, failover and a lag": replace(_NOTHING, items=(("mail",), ("mail",)), failovers=1, expiries=1),
    "clocks that are behind": replace(
        _NOTHING, items=(("mail", "rest", "mail"), ("mail",)), failovers=1, restores=True, backward=True, asks=True
    ),
    "published, lost and sent again": replace(_NOTHING, items=(("mail", "mail"), ()), failovers=1, cuts=1, ticks=1),
    "a restart for longer than the lease": replace(_RESTART, items=(("mail", "rest", "mail"), ()), restores=True),
    "a restart after another has led": replace(_RESTART, items=(("rest", "mail"), ("mail",)), lag=2),
    "a restart that cost an answer": replace(_RESTART, items=(("mail", "mail"), ()), cuts=1),
    "a restart of Redis and of a worker": replace(_RESTART, items=(("mail", "mail"), ()), crashes=1),
    "a restart, and a clock that jumped": replace(_RESTART, items=(("mail",), ("mail",)), lag=2, jumps=True),
    "two restarts": replace(_RESTART, items=(("mail", "mail"), ()), restarts=2),
    "a replica in its place": replace(_RESTART, restarts=0, failovers=1, lag=2, astray=True),
    "directory and failover": replace(_DIRECTORY, expiries=1),
    "directory and cut": replace(_DIRECTORY, failovers=0, cuts=1, crashes=1),
}
"""Two faults and more of each kind, in seconds."""

DEEP: Final = {
    "two restarts, and another that led": replace(_RESTART, restarts=2, lag=2),
    "refused by what stands in between": replace(_RESTART, lag=2, astray=True, asks=True),
    "mails": Bounds(items=(("mails", "rest", "mail"), ("mail",))),
    "directory": Bounds(items=(("mail", "directory"), ("directory",)), items_after_crash=("directory",)),
    "two failovers": Bounds(items=(("mail", "mail"), ("mail",)), failovers=2, expiries=2, crashes=0, lag=1),
    "two servers that went apart, and a lag": replace(
        _NOTHING, items=(("mail",), ("mail",)), failovers=1, returns=1, asks=True, expiries=1
    ),
    "an old server again, and a standby": replace(
        _NOTHING, items=(("mail", "rest"), ("mail",)), failovers=1, returns=1, asks=True, expiries=1
    ),
    "there and back": Bounds(
        items=(("mail", "rest", "mail"), ("mail",)),
        failovers=2,
        returns=1,
        asks=True,
        expiries=1,
        cuts=1,
        crashes=1,
        backward=True,
    ),
}
"""A crash, a pause, a lost connection, a renewal each and a failover in every order, in an hour or so."""
