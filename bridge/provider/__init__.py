"""The upstream dialect: how the provider talks, and nothing of what the bridge makes of it.

This package imports nothing else of the bridge and could be published on its own (``docs/provider.md``). What may be
asked is a table (``endpoints``, ``parameters``, ``rules``). Pure parts (``form``, ``responses``, ``framer``,
``documents``, ``pushes``, ``verdict``, ``answers``, ``asking``) turn values into bytes and bytes into facts;
``egress``, ``exchange``, ``transport``, ``token``, ``pace``, ``calls``, ``listen`` and ``client`` do the waiting. A
wrong guess about the wire should cost one file here.
"""

from __future__ import annotations
