"""The composition root: the only place that knows every room and the settings."""

from __future__ import annotations

from bridge.app.dev import run_dev
from bridge.app.fitness import check_fitness
from bridge.app.online import online_problems
from bridge.app.processes import run_edge, serve_child
from bridge.app.signon import run_signon
from bridge.app.worker import run_worker

__all__ = ["check_fitness", "online_problems", "run_dev", "run_edge", "run_signon", "run_worker", "serve_child"]
