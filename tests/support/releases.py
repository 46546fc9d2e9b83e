"""Earlier releases, as far as they can still be asked: what they wrote, and the scripts that they read and wrote by."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bridge.journal.calls import RecordMail
from tests.support.processes import ROOT
from tests.support.stage import KEYS

BEFORE: Final = ROOT / "tests/deploy/before"
_STAMP: Final = re.compile(r"1795761[0-9]{6}")
_TIME: Final = re.compile(r"2026-11-2[0-9]T[0-9:.]+Z")
_AGE_S: Final = 60


def load(client: Any, release: str, *, ver: int) -> dict[str, Any]:
    """Put a release's data into an empty server, as if it had been written there a minute ago; return them.

    ``ver`` becomes the cursor: nothing that the provider has changed since is told by a delta.
    """
    text = (BEFORE / release / "data.json").read_text("utf-8")
    newest = max(int(stamp) for stamp in _STAMP.findall(text))
    then_ms = int((time.time() - _AGE_S) * 1000)
    text = _STAMP.sub(lambda stamp: str(int(stamp[0]) + then_ms - newest), text)
    moment = datetime.fromtimestamp(then_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    data: dict[str, Any] = json.loads(_TIME.sub(moment, text).replace("RUN-ID", client.info("server")["run_id"]))
    data[KEYS.ver] = {"string": str(ver)}
    for key, typed in data.items():
        [(kind, value)] = typed.items()
        if kind == "string":
            client.set(key, value)
        elif kind == "hash":
            client.hset(key, mapping=value)
        elif kind == "set":
            client.sadd(key, *value)
        elif kind == "zset":
            client.zadd(key, value)
        else:
            for entry_id, fields in value:
                client.xadd(key, fields, id=entry_id)
    return data


@dataclass(frozen=True)
class Earlier:
    """The programs of an earlier release: the calls of its script that they made. ``worker`` and ``edge`` are
    clients of the users that they were."""

    release: str
    worker: Any
    edge: Any

    def _run(self, client: Any, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        parts = ("journal",) if self.release == "first" else ("lease", "reading", "writing")
        script = b"\n".join((BEFORE / self.release / f"{part}.lua").read_bytes() for part in parts)
        return client.evalsha(client.script_load(script), len(keys), *keys, *arguments)

    def claim(self) -> tuple[str, int, int]:
        """Lead; the lease's value, the commits that there are, and the generation."""
        keys = [KEYS.lease, KEYS.commits, KEYS.generation, KEYS.fence, KEYS.server, KEYS.format]
        keys += [] if self.release == "first" else [KEYS.upstream]
        told = ("", "") + (("1",) if self.release == "first" else ("1", "0"))
        answer = self._run(self.worker, keys, "claim", "a-worker-of-then", 60_000, *told)
        assert answer[0] == 1, answer
        return f"{answer[1]}:a-worker-of-then", answer[2], answer[3]

    def record(self, mail: RecordMail, *, lease: str, call: int) -> Any:
        """Publish a mail; what the script answered."""
        mailbox = mail.event.stream
        keys = [KEYS.lease, KEYS.commits, KEYS.generation, KEYS.state(mailbox), KEYS.log(mailbox), KEYS.events]
        keys += [KEYS.seen(mailbox)] + ([] if self.release == "first" else [KEYS.upstream, KEYS.wanted])
        words = ["record", lease, call, "newepoch", "mail", mail.mail_id, mail.unread, 0, mailbox, mail.event.body]
        words += [mail.correction.body, 200, 86_400_000, 200_000, KEYS.mailbox_channel(mailbox)]
        words += [KEYS.kind_channel("mail.new"), KEYS.kind_channel("mail.unread"), 7 * 86_400_000, 1000]
        words += [] if self.release == "first" else [KEYS.kind_channel("mail.missed")]
        return self._run(self.worker, keys, *words)

    def open(self, mailbox: str, after: str) -> Any:
        """Open a mailbox for a browser that has a position; what the script answered."""
        epoch, _, seq = after.partition("-")
        keys = [KEYS.lease, KEYS.wanted, KEYS.generation, KEYS.state(mailbox), KEYS.log(mailbox), KEYS.directory]
        keys += [KEYS.slaves, KEYS.upstream] + ([] if self.release == "first" else [KEYS.barred])
        return self._run(self.edge, keys, "open", "newepoch", mailbox, epoch, int(seq or 0), 200, 20, "")

    def release_lease(self, lease: str) -> None:
        assert self._run(self.worker, [KEYS.lease], "release", lease) == [1]


def users_before(folder: Path, passwords: Path) -> str:
    """The previous release's ACL file, with these passwords; what makes it is put into ``folder``."""
    script = folder / "make-users"
    script.write_bytes((ROOT / "deploy/redis/make-users").read_bytes())
    script.chmod(0o755)
    # As far as Redis 7.0 can read it, which knows no CLIENT SETINFO and did not start with that file.
    text = (BEFORE / "previous" / "users.acl").read_text().replace("+client|setinfo", "")
    (folder / "users.acl").write_text(text)
    return subprocess.run([script, passwords], capture_output=True, text=True, check=True).stdout
