"""From the first credential of a request to one :class:`~bridge.access.access.Identity`, or a refusal.

Bearer tokens, tickets and cookies prove who somebody was when they were made; :mod:`.standing` judges what that means
now. :mod:`.origins` decides which pages may ask. Edge and sign-on share this room, which knows neither of them.

Imports events, journal (a person's standing) and obs (the values of labels). Begin with :mod:`.access`. A token is
taken apart by :mod:`.jws`, its signature checked by :mod:`.secret` or :mod:`.issuer` (whose keys are a
:mod:`.jwk_set`), and its claims by :mod:`.claims`. Close codes are in :mod:`.codes`.
"""

from __future__ import annotations
