"""How the events of mailboxes are published in a cluster: by PUBLISH, by SPUBLISH, or both.

A cluster passes on what is published by PUBLISH to all its nodes, whoever listens there. What SPUBLISH sends stays with
the node that serves the channel's slot and with its replicas; for us that is the node that holds the namespace, to
which every program is connected anyway. A leader notes how it publishes, together with its fence, and edges read there
by which channels to hear. So nobody is configured to listen where nothing comes, and a note is over when a worker of an
earlier release leads, which writes none: its fence is higher.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Sharded = Literal["off", "beside", "instead"]
"""By plain channels alone; by sharded ones beside them; by sharded ones alone."""


class Published(NamedTuple):
    """How a leader publishes, and its fence; two are equal if nothing has changed."""

    sharded: Sharded
    fence: int


PLAIN = Published("off", 0)


def read_published(lease: bytes | None, noted: bytes | None) -> Published:
    """Read the lease, ``<fence>:…``, and the field ``sharded`` of ``{ns}:upstream``, ``<how>:<fence>``, which was read
    after it. Where nobody leads the last leader's note holds; one that cannot be read is none."""
    how, _, by = (noted or b"").partition(b":")
    try:
        fence, led = int(by), int((lease or b"0").partition(b":")[0])
    except ValueError:
        return PLAIN
    if fence < led:
        return PLAIN
    if how == b"beside":
        return Published("beside", fence)
    return Published("instead", fence) if how == b"instead" else PLAIN
