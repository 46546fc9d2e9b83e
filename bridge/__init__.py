"""Real-time notification bridge for Tencent Exmail.

Importing this package opens nothing and registers nothing; ``python3 -m bridge`` starts it.
"""

from __future__ import annotations

__version__ = "0.1.0"
