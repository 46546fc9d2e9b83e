"""The composition root: builds each program from the rooms and the settings.

There is a file for each program. Nothing is imported here, so that a program imports only what it runs.
"""

from __future__ import annotations
