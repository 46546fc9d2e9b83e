"""Real-time notification bridge for Tencent Exmail.

Importing this package opens nothing and registers nothing; ``python3 -m bridge`` starts it.
An old Python reads this file before it can be told that it is too old: nothing may stand here that 3.6 does not know.
"""

__version__ = "0.1.0"
