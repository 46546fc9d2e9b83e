"""Who may: from the first credential of a request to one :class:`~bridge.access.access.Identity`, or a refusal.

Bearer tokens, tickets and cookies prove who somebody was when they were made; what that means now is asked of the
journal (:mod:`.standing`). Which pages may ask is :mod:`.origins`. The edge and the sign-on share this room; it imports
the events' vocabulary, the words of the metrics' labels and the journal's answer about a person, and knows neither of
them.

Begin with :mod:`.access`; a token is taken apart in :mod:`.jws`, proved by :mod:`.secret` or :mod:`.issuer` (whose keys
are :mod:`.jwk_set`), and believed by :mod:`.claims`. Close codes are in :mod:`.codes`.
"""

from __future__ import annotations
