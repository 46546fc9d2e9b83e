"""The two ways to a browser: WebSocket and event stream, each a connection and its cursor.

:class:`bridge.edge.connection.Connection` is what both share. What differs is here: bytes, pings, the last frame. A new
transport needs a file here, its bytes in :mod:`bridge.edge.frames` and a route in :mod:`bridge.edge.server`.
"""

from __future__ import annotations
