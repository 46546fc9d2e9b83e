"""``python3 -m bridge``, and the console script ``exmail-bridge``.

Only the standard library may be imported before the bootstrap has run: it makes the environment that the rest
is imported from.
"""

from __future__ import annotations

import sys

from bridge.bootstrap import enter_environment


def main() -> int:
    """Run the command line; return the exit code."""
    refusal = enter_environment(sys.argv[1:])
    if refusal is not None:
        print(f"exmail-bridge: {refusal}", file=sys.stderr)  # noqa: T201 - logs are not set up yet
        return 1
    from bridge.cli import run_command_line

    return run_command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
