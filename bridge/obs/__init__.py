"""What operators see: metrics, logs and the admin port. A leaf: it knows no other room."""

from __future__ import annotations
