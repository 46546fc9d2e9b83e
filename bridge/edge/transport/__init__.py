"""The two ways to a browser: WebSocket and event stream, each a connection and its cursor.

What both share is :class:`bridge.edge.connection.Connection`; what differs is here: bytes, pings, the last frame. A new
transport is a file here, its bytes in :mod:`bridge.edge.frames` and a route in :mod:`bridge.edge.server`.
"""

from __future__ import annotations
