"""Bytes: a listening socket, connections, requests read as the provider reads them, pushes in every framing.

It imports the world and the faults, and no endpoint. Begin with :mod:`.connection`, then :mod:`.listen`, the long
connection (protocol 3.2), and :mod:`.framings`, the four readings of how pushes follow each other.
"""

from __future__ import annotations
