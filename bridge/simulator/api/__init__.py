"""The endpoints: each call as the provider's document has it, asked of the world (protocol 2.3, 3.1, 3.3).

It imports the world, the faults and what a request is (:mod:`bridge.simulator.wire.request`). Begin with
:mod:`.endpoints`, the table of paths, then :mod:`.question`, what every endpoint is given.
"""

from __future__ import annotations
