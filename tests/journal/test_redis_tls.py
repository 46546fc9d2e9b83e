"""Redis behind TLS with a company's own authority: real servers that speak nothing else."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis as redis_sync

from bridge.journal import certificates
from bridge.journal.connect import RedisAddress
from bridge.journal.embedded import EmbeddedServer
from bridge.journal.errors import JournalAway
from bridge.journal.reader import Reader
from bridge.journal.subscription import Subscription
from bridge.provider import egress
from bridge.simulator import Simulator, World
from tests.e2e.test_kill import following
from tests.support.certificates import Authority, make_authority
from tests.support.processes import edge_environ, free_port, program, worker_environ
from tests.support.stage import BOB, KEYS
from tests.support.waiting import PATIENCE_S, until

HUSH = "of the sentinels"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return make_authority(tmp_path, addresses=["127.0.0.1"])


@pytest.fixture
def server_binary(require_binary: Callable[[str], str]) -> Path:
    """The server that comes with Python has no TLS."""
    return Path(require_binary("valkey-server"))


def tls(authority: Authority, port: int, *, clients: str = "no") -> dict[str, str]:
    """The directives of a server that speaks TLS; ``clients``: whether it wants a certificate of theirs."""
    return {
        "tls-port": str(port),
        "tls-cert-file": str(authority.chain),
        "tls-key-file": str(authority.chain),
        "tls-ca-cert-file": str(authority.ca_file),
        "tls-auth-clients": clients,
    }


@contextmanager
def secured(folder: Path, binary: Path, authority: Authority, **options: str) -> Iterator[int]:
    """A server with TLS; its port."""
    port = free_port()
    with EmbeddedServer(folder, binary=binary, config=tls(authority, port, **options)):
        yield port


async def said(url: str) -> str:
    """What a reader is told that cannot connect; the connection that we read ourselves is told the same."""
    address = RedisAddress(url)
    redis = address.client()
    with pytest.raises(JournalAway) as why:
        await Reader(redis, KEYS, history_events=1, history_s=1).commits()
    with pytest.raises(JournalAway) as raw:
        await Subscription(lambda messages: None).connect(address)
    await redis.aclose()
    assert str(raw.value) == str(why.value)
    return str(why.value)


async def test_a_private_authority_is_named_in_the_url(tmp_path: Path, server_binary: Path) -> None:
    """With its file the server is believed; without it, or with another's, the fault says what to set."""
    (tmp_path / "other").mkdir()
    authority, other = make_authority(tmp_path), make_authority(tmp_path / "other")
    with secured(tmp_path / "redis", server_binary, authority) as port:
        redis = RedisAddress(f"rediss://localhost:{port}/0?ssl_ca_certs={authority.ca_file}").client(
            timeout_s=PATIENCE_S
        )
        assert await redis.ping()
        await redis.aclose()
        for wrong in ("", f"?ssl_ca_certs={other.ca_file}"):
            assert "name the file of its authority in BRIDGE_REDIS_URL" in await said(
                f"rediss://localhost:{port}/0{wrong}"
            )
        query = f"?ssl_ca_certs={authority.ca_file}"
        assert "its certificate is for other names" in await said(f"rediss://127.0.0.1:{port}/0{query}")


async def test_what_python_3_13_asks_of_certificates(tmp_path: Path, server_binary: Path) -> None:
    """The error of one that names no key says what it lacks and what to do, in the provider's words for it."""
    assert certificates.STRICTER == egress.STRICTER
    old = make_authority(tmp_path, names_keys=False)
    with secured(tmp_path / "redis", server_binary, old) as port:
        # As strictly as Python 3.13 does by itself.
        strict = f"rediss://localhost:{port}/0?ssl_ca_certs={old.ca_file}&ssl_include_verify_flags=[VERIFY_X509_STRICT]"
        told = await said(strict)
    assert "Missing Authority Key Identifier" in told
    assert told.endswith("have the certificate issued anew with that extension, or use Python 3.12")


async def test_a_certificate_of_ours(tmp_path: Path, server_binary: Path, authority: Authority) -> None:
    """Where the server wants one (its default), nobody is let in without; it is named in the URL too."""
    with secured(tmp_path / "redis", server_binary, authority, clients="yes") as port:
        url = f"rediss://localhost:{port}/0?ssl_ca_certs={authority.ca_file}"
        stranger = RedisAddress(url).client(timeout_s=PATIENCE_S)
        with pytest.raises(redis_sync.ConnectionError):
            await stranger.ping()
        redis = RedisAddress(f"{url}&ssl_certfile={authority.chain}&ssl_keyfile={authority.chain}").client(
            timeout_s=PATIENCE_S
        )
        assert await redis.ping()
        for client in (stranger, redis):
            await client.aclose()


@contextmanager
def secured_sentinel(folder: Path, binary: Path, authority: Authority, master: int) -> Iterator[int]:
    """A sentinel that speaks TLS to everybody and wants a password; its port."""
    port = free_port()
    folder.mkdir()
    directives = {
        **tls(authority, port),
        "port": "0",
        "tls-replication": "yes",
        "dir": str(folder),
        "logfile": str(folder / "log"),
        "requirepass": f'"{HUSH}"',
        "sentinel monitor mymaster": f"127.0.0.1 {master} 1",
    }
    (folder / "sentinel.conf").write_text("".join(f"{name} {value}\n" for name, value in directives.items()))
    process = subprocess.Popen([binary, folder / "sentinel.conf", "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def answers(port: int, authority: Authority) -> bool:
    """Whether the sentinel has started."""
    with (
        suppress(redis_sync.ConnectionError, redis_sync.TimeoutError),
        redis_sync.Redis(port=port, ssl=True, ssl_ca_certs=str(authority.ca_file), password=HUSH) as client,
    ):
        return bool(client.ping())
    return False


@pytest.fixture
async def provider() -> AsyncIterator[Simulator]:
    async with await Simulator.start(World(7, users=3)) as simulator:
        yield simulator


async def test_worker_and_edge_through_sentinels_with_tls(
    tmp_path: Path, server_binary: Path, authority: Authority, provider: Simulator
) -> None:
    """``rediss+sentinel``: sentinels and servers are both asked over TLS; the sentinels' password stands in a file."""
    (tmp_path / "hush").write_text(f"{HUSH}\n")
    port = free_port()
    more = {"BRIDGE_REDIS_SENTINEL_PASSWORD_FILE": str(tmp_path / "hush")}
    with (
        secured(tmp_path / "redis", server_binary, authority) as master,
        secured_sentinel(tmp_path / "sentinel", server_binary, authority, master) as sentinel,
    ):
        await until(lambda: answers(sentinel, authority))
        url = f"rediss+sentinel://127.0.0.1:{sentinel}/mymaster/0?ssl_ca_certs={authority.ca_file}"
        async with (
            program("worker", environ=worker_environ(url, provider, **more)) as worker,
            program("edge", environ=edge_environ(url, port, **more)) as edge,
        ):
            await worker.ready()
            await edge.ready()
            await provider.listeners.wait_hearing(1)
            async with following(f"http://127.0.0.1:{port}", (BOB,)) as browsers:
                sent = [mail.mail_id for mail in provider.world.deliver_many(3, BOB)]
                await until(lambda: all(browser.mail_ids == sent for browser in browsers))
        async with program("worker", environ=worker_environ(url, provider)) as locked_out:
            assert await asyncio.wait_for(locked_out.ended(), PATIENCE_S) != 0
            assert "BRIDGE_REDIS_SENTINEL_PASSWORD" in locked_out.last_words


async def test_certificates_that_are_replaced(tmp_path: Path, server_binary: Path) -> None:
    """The server's, its authority and our own, each in turn: what is connected stays, what dials goes on to be let in,
    and a file that is being written leaves what was."""
    folders = [tmp_path / name for name in ("old", "new")]
    for folder in folders:
        folder.mkdir()
    old, new = (make_authority(folder, addresses=["127.0.0.1"]) for folder in folders)
    trusted, ours, theirs = tmp_path / "trusted.pem", tmp_path / "ours.pem", tmp_path / "theirs.pem"
    # The server believes clients of both, as it must while theirs change over.
    theirs.write_bytes(old.ca_file.read_bytes() + new.ca_file.read_bytes())
    trusted.write_bytes(old.ca_file.read_bytes())
    ours.write_bytes(old.chain.read_bytes())
    port = free_port()
    config = tls(old, port, clients="yes") | {"tls-ca-cert-file": str(theirs)}
    with EmbeddedServer(tmp_path / "redis", binary=server_binary, config=config) as server:
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={trusted}&ssl_certfile={ours}"
        address = RedisAddress(url)
        staying = address.client(connections=1)
        assert await staying.ping()

        async def lets_in() -> bool:
            redis = address.client(connections=1)
            try:
                return bool(await redis.ping())
            finally:
                await redis.aclose()

        async def dials() -> bool:
            """Once more, by a connection that was open before."""
            await staying.connection_pool.disconnect()
            return bool(await staying.ping())

        trusted.write_bytes(old.ca_file.read_bytes() + new.ca_file.read_bytes())
        assert await lets_in()
        with redis_sync.Redis.from_url(server.url) as admin:
            admin.execute_command(
                *("CONFIG", "SET", "tls-cert-file", str(new.chain), "tls-key-file", str(new.chain)),
            )
        assert await staying.ping()
        assert await dials()
        ours.write_bytes(new.chain.read_bytes())
        assert await dials()
        for file in (trusted, ours):
            file.write_text("half of a cert")
            assert await dials()
        trusted.write_bytes(new.ca_file.read_bytes())
        ours.write_bytes(new.chain.read_bytes())
        theirs.write_bytes(new.ca_file.read_bytes())
        with redis_sync.Redis.from_url(server.url) as admin:
            admin.execute_command("CONFIG", "SET", "tls-ca-cert-file", str(theirs))
        assert await dials()
        assert await lets_in()
        await staying.aclose()
