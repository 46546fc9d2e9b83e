"""The commands, a file each; ``bridge.cli`` has the table of them.

A command's file imports little at its top, so that ``--help`` and a mistyped option answer at once. What it runs is
imported when it runs. Begin with :mod:`.command`, what a command is; :mod:`.leader` is shared by those that ask the
leading worker.
"""

from __future__ import annotations
