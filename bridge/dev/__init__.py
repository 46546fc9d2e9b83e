"""``dev``: the whole product on one machine, with a simulated provider and a page to look at.

It is put together from the programs of :mod:`bridge.app`, the embedded server of the journal and the simulator, and
nothing but the command ``dev`` imports it. Begin with :mod:`.program`; :mod:`.folder` keeps what outlives a run,
:mod:`.page` serves the page whose files are in ``static/``, :mod:`.greeting` says what to do next.
"""

from __future__ import annotations
