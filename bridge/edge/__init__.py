"""The edge: browsers' WebSocket and SSE connections, fed from Redis.

A request comes in through :mod:`.server`, which lets the browser in and opens its mailbox over :mod:`.feed`. From then
on a connection (:mod:`.connection`) owns the socket, and its cursor (:mod:`.cursor`) a place in the mailbox's recent
entries (:mod:`.tail`). What happens to many connections at once is the hub's (:mod:`.hub`). The two transports are in
``transport/``, the browser's own code in ``static/``.

Imports access, events, journal and obs; knows neither a provider nor a worker. Begin with :mod:`.server`
for requests and with :mod:`.feed` for events.
"""

from __future__ import annotations
