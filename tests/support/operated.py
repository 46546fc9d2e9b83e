"""A machine as an operator has it before him: files at their own places, a shell, services that he starts and stops.

A mount namespace puts the machine's folders over ``/etc``, ``/opt``, ``/var``, ``/run`` and ``/usr/local/bin``, so what
a page says is run as it is written. Systemd is not here: ``systemctl`` asks :mod:`tests.support.services`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import redis as redis_sync

from tests.conftest import REQUIRE_ALL
from tests.docs.pages import Page
from tests.support.guarded import users_file
from tests.support.processes import ROOT, free_port
from tests.support.services import Services

DEPLOYMENT = Page(ROOT / "docs" / "deployment.md")
NEEDED = ("alternatives", "group", "ld.so.cache", "localtime", "nsswitch.conf", "passwd", "ssl")
"""What programs look for in ``/etc``."""
NEEDED_PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "redis-cli": "redis-tools",
    "redis-check-rdb": "redis-tools",
    "redis-server": "redis-server",
}
"""With the Debian package that brings each."""
PLACES = ("etc", "opt", "var", "run", "usr/local/bin")
WITHIN_S = 300
# What a machine's own installation of Redis has, with what the pages ask for. Nothing here waits for the next second.
REDIS_CONF = """\
bind {address}
bind-source-addr {address}
port 6379
dir /var/lib/redis
appendonly yes
maxmemory-policy noeviction
aclfile /etc/redis/users.acl
repl-diskless-sync-delay 0
"""
SYSTEMCTL = """\
#!{python} -IS
import socket, sys
asking = socket.socket(socket.AF_UNIX)
asking.connect({path!r})
asking.sendall("\\0".join(sys.argv[1:]).encode())
asking.shutdown(socket.SHUT_WR)
code, _, said = asking.makefile().read().partition("\\n")
sys.stdout.write(said)
sys.exit(int(code))
"""
PYTHON = """\
#!/bin/sh
[ "${{1-}} ${{2-}}" != "-m venv" ] || {{ mkdir -p "$3/bin" && exec cp {shims}/pip "$3/bin/"; }}
exec {python} "$@"
"""
# What pip puts there: the commands, of the version that the folder is called, with the code of this checkout.
PIP = """\
#!/bin/sh
set -eu
[ "$2" = --no-deps ] || exit 0
bin=$(dirname "$0")
for command in exmail-bridge:bridge.__main__ exmail-bridge-as:bridge.commands.as_unit; do
cat > "$bin/${{command%:*}}" <<END
#!{python}
import sys
import bridge
bridge.__version__ = "$(basename "$(dirname "$bin")")"
from ${{command#*:}} import main
sys.exit(main())
END
chmod 755 "$bin/${{command%:*}}"
done
"""


def network() -> str:
    """Three numbers of the loopback network that no other test has: no number of :func:`free_port` is given twice."""
    return "127.{}.{}".format(*divmod(free_port(), 256))


class Machine:
    """One machine. ``address``: its own on the loopback network, where its Redis listens on the usual port.

    ``home``: the administrator's, a checkout, with the passwords of Redis's users.
    """

    def __init__(self, folder: Path, address: str) -> None:
        self.root = folder
        self.address = address
        self.home = folder / "root"
        self._holder: subprocess.Popen[bytes] | None = None
        self._shims = folder / "shims"
        # The path of a socket has about 100 bytes.
        self._socket = Path("/tmp") / f"exmail-bridge-{address}"
        self.services = Services(self)

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE_", "REDISCLI_"))}
        return kept | {
            "PATH": f"{self._shims}:/usr/local/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8",
        }

    def inside(self, *words: str | Path) -> list[str]:
        """The words that run a program on this machine."""
        assert self._holder is not None
        user = () if os.geteuid() == 0 else ("-U", "--preserve-credentials")
        return ["nsenter", "-t", str(self._holder.pid), "-m", *user, "--", *map(str, words)]

    def path(self, place: str) -> Path:
        """Where a place of this machine is for the test."""
        return self.root / place.lstrip("/")

    async def run(self, script: str, *, told: str = "", at: Path | None = None, codes: Sequence[int] = (0,)) -> str:
        """Run what a page has, in a shell in the folder ``at`` (the administrator's home); return what it said.

        ``told``: what is typed. It has to end with one of ``codes``.
        """
        process = await asyncio.create_subprocess_exec(
            *self.inside("timeout", str(WITHIN_S), "sh", "-euc", f"cd {at or self.home}\n{script}"),
            env=self.environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await asyncio.wait_for(process.communicate(told.encode()), 2 * WITHIN_S))[0].decode()
        assert process.returncode in codes, (script, process.returncode, said)
        return said

    def any_admin_port(self) -> None:
        """Those of the units are the machine's own; here others may have them."""
        own = self.path("etc/systemd/system/exmail-bridge-worker@.service.d")
        own.mkdir(exist_ok=True)
        (own / "admin.conf").write_text("[Service]\nEnvironment=BRIDGE_WORKER_ADMIN_LISTEN=127.0.0.1:0\n")

    def redis(self, user: str = "admin") -> Any:
        """A client of this machine's Redis."""
        return redis_sync.Redis(host=self.address, username=user, password=f"password of {user}", protocol=2)

    def know(self, names: Mapping[str, str]) -> None:
        """What names stand for on this machine, from now on: name → address."""
        lines = [f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **names}.items()]
        # A rename would take it away from under its mount.
        self.path("etc/hosts").write_text("".join(lines))

    def _lay_out(self) -> None:
        for place in (
            "etc",
            "opt",
            "var/lib/redis",
            "var/backups",
            "run/lock",
            "usr/local/bin",
            "root/passwords",
            "shims",
        ):
            self.path(place).mkdir(parents=True)
        for name in NEEDED:
            if (source := Path("/etc", name)).is_dir():
                shutil.copytree(source, self.path("etc") / name, symlinks=True)
            elif source.exists():
                shutil.copy(source, self.path("etc") / name)
        self.path("etc/systemd/system").mkdir(parents=True)
        self.path("etc/redis").mkdir()
        self.path("etc/redis/redis.conf").write_text(REDIS_CONF.format(address=self.address))
        self.path("etc/redis/users.acl").write_text(users_file(self.home / "passwords"))
        for name in ("deploy", "docs", "dashboards"):
            (self.home / name).symlink_to(ROOT / name)
        (self.home / "bridge").mkdir()
        cli, pip = shutil.which("redis-cli"), PIP.format(python=sys.executable)
        for name, text in (
            ("systemctl", SYSTEMCTL.format(python=sys.executable, path=str(self._socket))),
            ("sudo", '#!/bin/sh\nexec "$@"\n'),
            ("apt", "#!/bin/sh\n"),
            # Of this machine, if no other is named: 127.0.0.1 is everybody's here.
            ("redis-cli", f'#!/bin/sh\nexec {cli} -h {self.address} "$@"\n'),
            ("pip", pip),
            ("python3", PYTHON.format(python=sys.executable, shims=self._shims)),
        ):
            (self._shims / name).write_text(text)
            (self._shims / name).chmod(0o755)

    async def install(self, version: str, key: str = "", *, umask: str = "022") -> None:
        """Do what the page on deployment does in a checkout of this version. ``key``: the provider's, where secrets are
        to be made as well; ``umask``: what the administrator's shell begins with."""
        (self.home / "bridge/__init__.py").write_text(f'__version__ = "{version}"\n')
        program, secrets, *_ = [block.text for block in DEPLOYMENT.blocks if block.language == "sh"]
        await self.run(f"umask {umask}\n{program}")
        if key:
            await self.run("mkdir -p /etc/exmail-bridge\n" + secrets, told=key)

    def _begin(self) -> None:
        """Have a process that keeps the machine's view of the file system."""
        absent = pytest.fail if REQUIRE_ALL else pytest.skip
        for name, package in NEEDED_PROGRAMS.items():
            if not shutil.which(name):
                absent(f"{name} is missing: apt install {package}")
        mounts = " && ".join(f"mount --bind {self.path(place)} /{place}" for place in PLACES)
        mine = ("unshare", "-m" if os.geteuid() == 0 else "-rm", "--propagation", "private")
        self._holder = subprocess.Popen(
            [*mine, "sh", "-c", f"{mounts} && echo && exec sleep infinity"], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        with self._holder.stdout as said:
            if not said.read(1):
                absent("no mount namespace can be made here")

    @asynccontextmanager
    async def on(self) -> AsyncIterator[Self]:
        """From when it is set up to when it is gone, with all that runs on it."""
        self._lay_out()
        try:
            self._begin()
            async with self.services.answering(self._socket):
                yield self
        finally:
            if self._holder is not None:
                self._holder.kill()
                self._holder.wait()
            self._socket.unlink(missing_ok=True)
