"""What is broken at the moment: faults that are switched on and off, and malformed documents.

It imports nothing of the world. Begin with :mod:`.faults`; who switches them is :mod:`bridge.simulator.commands`.
"""

from __future__ import annotations
