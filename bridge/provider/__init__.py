"""The upstream dialect: how the provider talks, and nothing of what the bridge makes of it.

This package imports nothing else of the bridge and could be published on its own. Pure parts (``responses``,
``framer``, ``documents``, ``pushes``, ``answers``, ``asking``) turn bytes into facts; ``transport``, ``token``,
``listen`` and ``client`` do the waiting. A wrong guess about the wire should cost one file here.
"""

from __future__ import annotations
