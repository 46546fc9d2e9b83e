"""The commands, a file each; ``bridge.cli`` holds the table of them.

A command's file imports little at its top, so that ``--help`` and a mistyped option answer at once; what it
runs is imported when it runs.
"""

from __future__ import annotations
