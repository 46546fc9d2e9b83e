"""``api``: every endpoint of the provider from the command line, made from the table of endpoints.

It imports :mod:`bridge.provider`'s tables at its top and its client only when a call is made. Begin with :mod:`.run`,
then :mod:`.words` (what the command line says), :mod:`.answer` (how an answer is shown),
:mod:`.ending` (exit codes). Many calls from a file: :mod:`.batch`.
"""

from __future__ import annotations

from bridge.commands.api.run import COMMAND

__all__ = ["COMMAND"]
