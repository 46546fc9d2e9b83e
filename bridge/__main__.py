"""``python3 -m bridge``, and the console script ``exmail-bridge``.

Only the standard library may be imported before the bootstrap has run: it makes the environment that the rest
is imported from. This file can be read by Python 3.6, which RHEL 8 has: whoever has one gets a sentence.
"""

import sys

_OLDEST = (3, 11)


def _refusal() -> "str | None":
    """Why the command line cannot run here, in one line."""
    if sys.version_info < _OLDEST:
        needed, found = ".".join(map(str, _OLDEST)), sys.version.split()[0]
        return f"Python {needed} or later is needed; this is {found} ({sys.executable})"
    from bridge.bootstrap import enter_environment

    return enter_environment(sys.argv[1:])


def main() -> int:
    """Run the command line; return the exit code."""
    refusal = _refusal()
    if refusal is not None:
        print(f"exmail-bridge: {refusal}", file=sys.stderr)  # noqa: T201 - logs are not set up yet
        return 1
    from bridge.cli import run_command_line

    return run_command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
