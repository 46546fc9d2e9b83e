"""Durable state, history and wake-up in Redis: the only room that talks to Redis.

Everything is changed by one script (``lua/``), so that each step is atomic. :mod:`.writer` calls it for the worker that
holds the lease, with the writes of :mod:`.calls`; :mod:`.reader` calls it for edges, which hold none. :mod:`.keys` has
every name in Redis, :mod:`.connect` makes clients, :mod:`.client` gives their answers types, and :mod:`.errors`
translates their faults. :mod:`.follow` reads the stream of all events as any other service would.

Imports events only. Begin with :mod:`.writer` and :mod:`.reader`.
"""

from __future__ import annotations
