"""A server that knows the users of ``deploy/redis/users.acl`` and nobody else."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import redis as redis_sync
from redis.backoff import ConstantBackoff
from redis.exceptions import BusyLoadingError
from redis.retry import Retry

from bridge.journal.embedded import EmbeddedServer
from tests.support.processes import ROOT

USERS = ("admin", "worker", "edge", "signon", "operator", "reader", "replica", "sentinel")


def users_file(folder: Path, *namespace: str) -> str:
    """What ``make-users`` makes of the file, with a password for each user that is its name."""
    for user in USERS:
        (folder / user).write_text(f"password of {user}\n")
    made = subprocess.run([ROOT / "deploy/redis/make-users", folder, *namespace], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return made.stdout


class Guarded:
    """A server that knows these users alone."""

    def __init__(self, folder: Path, binary: Path | None = None, *, port: int = 0) -> None:
        self.passwords = folder / "passwords"
        self.passwords.mkdir()
        self.file = folder / "users.acl"
        # The embedded server is asked whether it has started before anybody can say who he is.
        self.file.write_text("user default on nopass ~* &* +@all\n")
        self.server = EmbeddedServer(folder / "redis", port=port, binary=binary, config={"aclfile": str(self.file)})

    def __enter__(self) -> Guarded:
        self.server.start()
        self.file.write_text(users_file(self.passwords))
        with redis_sync.Redis.from_url(self.server.url) as client:
            client.acl_load()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()

    def restart(self) -> None:
        """Start the server again, and return when it has read what it stored: until then it refuses everybody whom
        it knows, and tells a stranger, as whom the embedded server asks, only that."""
        self.server.restart()
        with redis_sync.Redis.from_url(
            self.server.url,
            username="admin",
            password="password of admin",
            retry=Retry(ConstantBackoff(0.02), 1000),
            retry_on_error=[BusyLoadingError],
        ) as admin:
            admin.ping()

    def client(self, user: str) -> Any:
        return redis_sync.Redis.from_url(self.server.url, username=user, password=f"password of {user}", protocol=2)

    def settings(self, user: str) -> dict[str, str]:
        """Who a program is; its password stands in a file."""
        return {"BRIDGE_REDIS_USERNAME": user, "BRIDGE_REDIS_PASSWORD_FILE": str(self.passwords / user)}

    def refusals(self) -> list[str]:
        """What was refused so far, to whom."""
        with self.client("admin") as admin:
            return [f"{each['username']}: {each['reason']} {each['object']}" for each in admin.acl_log()]
