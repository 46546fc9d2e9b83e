"""How large the machines must be: what was measured, and what follows from it for a corporation.

Pure: nothing here asks anybody. The command ``size`` and the doctor's forecast of memory ask these functions, so that
the two cannot disagree; what a living Redis says of itself is read by :mod:`bridge.journal.living`.

Imports nothing of the bridge. Begin with :func:`.need.need_of`, which turns a :class:`.corporation.Corporation` into
what it needs; what Redis needs is in :mod:`.memory`. Every figure comes from :mod:`.measured`, and only from there:
``python -m tests.bench.sizing`` measures it again.
"""

from __future__ import annotations
