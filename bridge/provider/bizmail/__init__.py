"""BizMail OpenApi v1.4: how this provider talks, and nothing of what the bridge makes of it.

What may be asked is a table (``endpoints``, ``parameters``, ``rules``). Pure parts turn values into bytes and bytes
into facts (``form``, ``responses``, ``framer``, ``documents``, ``pushes``, ``verdict``, ``answers``, ``asking``);
``exchange``, ``transport``, ``token``, ``calls``, ``listen`` and ``client`` do the waiting. ``ports`` and ``members``
answer to what the bridge asks of any provider; what an errcode stands for is in ``errcodes``. It imports the
vocabulary and the way out above it. A wrong guess about the wire should cost one file here.
"""

from __future__ import annotations
