"""The truth: accounts, parties, groups, mails, counts, tokens and auth keys of one simulated corporation.

It knows no protocol and imports nothing but chance (:mod:`bridge.simulator.seeded`). Begin with :mod:`.world`, which
holds the roster (:mod:`.roster`) and what happens in mailboxes; :mod:`.traffic` makes it lively.
"""

from __future__ import annotations
