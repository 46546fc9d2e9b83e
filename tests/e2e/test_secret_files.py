"""Files of secrets that go bad while worker and edge run, as when an operator or a mount is just writing them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bridge.simulator import Simulator, World
from tests.e2e.test_kill import following
from tests.support.follower import Follower
from tests.support.guarded import Guarded
from tests.support.processes import Program, edge_environ, free_port, program, worker_environ
from tests.support.stage import BOB, SECRET
from tests.support.waiting import until

STAYS = "secret file cannot be used, the value before it stays in use"
AGAIN = "secret file can be used again"


@dataclass
class Stage:
    """Worker and edge whose secrets are all in files, and browsers at the edge."""

    guarded: Guarded
    provider: Simulator
    files: list[Path]
    programs: list[Program]
    browsers: list[Follower]
    _sent: list[str] = field(default_factory=list)

    def cut(self) -> None:
        """Cut what worker and edge have open to Redis, and end the token."""
        with self.guarded.client("admin") as admin:
            for user in ("worker", "edge"):
                admin.execute_command("CLIENT", "KILL", "USER", user)
        self.provider.world.expire_tokens()

    async def deliver(self) -> None:
        """A mail comes through, to every browser."""
        self._sent += [mail.mail_id for mail in self.provider.world.deliver_many(1, BOB)]
        await until(lambda: all(browser.mail_ids == self._sent for browser in self.browsers))

    async def each_says(self, *messages: str) -> None:
        for each in self.programs:
            await until(lambda each=each: any(each.said(message) for message in messages))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    with Guarded(tmp_path) as server:
        yield server


@asynccontextmanager
async def running(guarded: Guarded, folder: Path) -> AsyncIterator[Stage]:
    async with await Simulator.start(World(7, users=3)) as provider:
        key, jwt, port = folder / "key", folder / "jwt", free_port()
        key.write_text(provider.world.client_secret)
        jwt.write_text(SECRET)
        account = worker_environ(guarded.server.url, provider) | guarded.settings("worker")
        door = edge_environ(guarded.server.url, port) | guarded.settings("edge")
        del account["BRIDGE_PROVIDER_CLIENT_SECRET"], door["BRIDGE_EDGE_JWT_SECRET"]
        async with (
            program("worker", environ=account | {"BRIDGE_PROVIDER_CLIENT_SECRET_FILE": str(key)}) as worker,
            program("edge", environ=door | {"BRIDGE_EDGE_JWT_SECRET_FILE": str(jwt)}) as edge,
        ):
            await asyncio.gather(worker.ready(), edge.ready())
            await provider.listeners.wait_hearing(1)
            async with following(f"http://127.0.0.1:{port}", (BOB,)) as browsers:
                files = [key, jwt, guarded.passwords / "worker", guarded.passwords / "edge"]
                yield Stage(guarded, provider, files, [worker, edge], browsers)
                for each in (worker, edge):
                    assert await each.stop() == 0, each.lines


async def test_files_that_are_empty_or_gone_end_nobody(guarded: Guarded, tmp_path: Path) -> None:
    """Connections are dialled and a token is fetched with the last good secrets; what is restored is used."""
    began_s = time.monotonic()
    async with running(guarded, tmp_path) as stage:
        await stage.deliver()
        good = [file.read_text() for file in stage.files]
        for spoil in (lambda file: file.write_text(""), lambda file: file.unlink()):
            for file in stage.files:
                spoil(file)
            stage.cut()
            await stage.each_says(STAYS)
            await stage.deliver()
        for file, text in zip(stage.files, good, strict=True):
            file.write_text(text)
        stage.cut()
        await stage.each_says(AGAIN)
        await stage.deliver()
        for each in stage.programs:
            # At most once a minute for each file, however often it is read.
            assert len(each.said(STAYS)) <= 3 + 2 * (time.monotonic() - began_s) // 60, each.lines


async def test_a_password_that_is_wrong_for_a_while_is_waited_out(guarded: Guarded, tmp_path: Path) -> None:
    """The server's password changes before the file's: both go on as over an outage, and know each other again."""
    async with running(guarded, tmp_path) as stage:
        await stage.deliver()
        with guarded.client("admin") as admin:
            for user in ("worker", "edge"):
                admin.execute_command("ACL", "SETUSER", user, "resetpass", f">other of {user}")
        stage.cut()
        await stage.each_says("no pub/sub connection", "journal away, lease not renewed", "journal away, cannot claim")
        for user in ("worker", "edge"):
            (guarded.passwords / user).write_text(f"other of {user}\n")
        await stage.deliver()


async def test_a_secret_file_that_is_empty_at_the_start_may_be_whole_a_moment_later(tmp_path: Path) -> None:
    """Exit code 1: systemd starts it again. What the settings themselves say wrong is 2, and it does not."""
    (tmp_path / "jwt").touch()
    environ = edge_environ("redis://127.0.0.1:1", free_port()) | {"BRIDGE_EDGE_JWT_SECRET_FILE": str(tmp_path / "jwt")}
    del environ["BRIDGE_EDGE_JWT_SECRET"]
    async with program("edge", environ=environ) as edge:
        assert await edge.ended() == 1
        assert edge.last_words == "BRIDGE_EDGE_JWT_SECRET: is empty"
    async with program("edge", environ=environ | {"BRIDGE_EDGE_KICK_SECONDS": "soon"}) as edge:
        assert await edge.ended() == 2
