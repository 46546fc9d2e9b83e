"""The composition root: the only place that knows every room and the settings.

A file for each program; nothing is imported here, so that a program brings in only what it runs.
"""

from __future__ import annotations
