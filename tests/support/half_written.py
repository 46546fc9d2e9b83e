"""What a server that was killed in the middle of a write leaves at the end of its append-only file."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bridge.journal.embedded import find_server_binary


def cut_half_written(directory: Path) -> None:
    """Cut off a transaction whose end was not written, of a server that was killed over this folder.

    The servers that are out drop only the half command at the end of the file when they start (valkey pull request
    4342). What stands before it is no part of the data then, but is applied at the start after that one, together with
    the first transaction that was written behind it. It was never answered for, so it may well have been sent again
    meanwhile.
    """
    [manifest] = (directory / "appendonlydir").glob("*.manifest")
    # The server's program is its tools too, and looks at the name by which it is called.
    command = ["redis-check-aof", "--fix", str(manifest)]
    checked = subprocess.run(command, executable=find_server_binary(), input=b"y\n", capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout.decode(errors="replace")
