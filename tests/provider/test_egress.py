"""The way out: through a proxy everything is a tunnel, listen and plain http too; a proxy's "no" is one clear line."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.egress import Egress, ProxyRefused, reason
from bridge.provider.faults import AddressNotAllowed, ProviderAway
from bridge.provider.pushes import MailArrived, Online
from tests.provider.bare_provider import BareProvider
from tests.support.certificates import Authority, make_authority
from tests.support.connect_proxy import ConnectProxy, connect_proxy
from tests.support.waiting import PATIENCE_S, until

COUNT, SYNC = "/openapi/mail/newcount", "/openapi/user/sync"
MAIL = b'{"UserName":"a@x","MailId":"m","NewCount":1}'


@pytest.fixture
async def proxy() -> AsyncIterator[ConnectProxy]:
    async with connect_proxy() as running:
        yield running


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def client_by(stack: AsyncExitStack, provider: BareProvider) -> Callable[..., Awaitable[ProviderClient]]:
    """A client of ``url``, the bare provider's if none is given, that goes out by an Egress with these arguments."""

    async def build(url: str = "", **egress: object) -> ProviderClient:
        session = await stack.enter_async_context(Egress(**egress).session())
        return ProviderClient(
            api_url=url or provider.url,
            auth_url=url or provider.url,
            client_id="admin",
            client_secret=lambda: "key-of-admin",
            session=session,
            timeout_s=PATIENCE_S,
        )

    return build


def target(url: str) -> str:
    return url.rpartition("/")[2]


@asynccontextmanager
async def listening(client: ProviderClient, provider: BareProvider) -> AsyncIterator[Callable[[], Awaitable[list]]]:
    """A session whose first answer came; the function reads the next batch after a mail was pushed."""
    asked = asyncio.create_task(provider.listen())
    async with client.listen(ver=lambda: 0, silence_s=60) as session:
        request = await asked
        await request.answer(b'{"Ret":0}')
        async with asyncio.timeout(PATIENCE_S):
            assert await anext(session) == [Online(0)]

        async def mail() -> list:
            await request.answer(MAIL)
            async with asyncio.timeout(PATIENCE_S):
                return await anext(session)

        yield mail


async def test_calls_and_listen_go_through_the_tunnel(provider, proxy, client_by) -> None:
    """Plain http too, and a response that no request asked for arrives."""
    client = await client_by(proxy=proxy.url)
    provider.will_answer(COUNT, b'{"NewCount":7}')
    assert await client.newcount("a@x") == 7
    async with listening(client, provider) as next_mail:
        assert isinstance((await next_mail())[0], MailArrived)
    assert set(proxy.targets) == {target(provider.url)}
    assert len(proxy.targets) == 2
    assert not proxy.refused


async def test_a_session_of_another_maker_goes_straight(provider, client) -> None:
    """What was not made by an Egress has no proxy; the client says nothing about it."""
    provider.will_answer(COUNT, b'{"NewCount":7}')
    assert await client.newcount("a@x") == 7


@pytest.mark.parametrize("no_proxy", [("*",), ("127.0.0.1",), ("127.0.0.0/8", "corp.com")])
async def test_exempt_hosts_are_reached_straight(provider, proxy, client_by, no_proxy) -> None:
    """Calls and listen alike."""
    client = await client_by(proxy=proxy.url, no_proxy=no_proxy)
    provider.will_answer(COUNT, b'{"NewCount":7}')
    assert await client.newcount("a@x") == 7
    async with listening(client, provider):
        pass
    assert proxy.targets == []


async def test_a_closed_port_is_one_line(provider, proxy, client_by) -> None:
    """It names proxy, target and status, for a call as for listen; nothing is tried beside the proxy."""
    port = int(provider.url.rpartition(":")[2])
    proxy.closed_ports.add(port)
    client = await client_by(proxy=proxy.url)
    says = f"proxy {target(proxy.url)} gave no tunnel to 127.0.0.1:{port}: status 403 Forbidden"
    with pytest.raises(ProviderAway) as refused:
        await client.newcount("a@x")
    assert str(refused.value) == f"token: {says}"
    stream = Egress(proxy=proxy.url)
    with pytest.raises(ProxyRefused) as gate:
        await stream.connect(asyncio.Protocol, "openapi.exmail.qq.com", port, secure=False)
    assert gate.value.status == 403
    assert gate.value.target == f"openapi.exmail.qq.com:{port}"
    assert provider.requests == []


async def test_listen_is_told_why(provider, proxy, client_by) -> None:
    """The session ends as away, with the proxy's words."""
    client = await client_by(proxy=proxy.url)
    await client.token()
    proxy.closed_ports.add(int(provider.url.rpartition(":")[2]))
    with pytest.raises(ProviderAway, match=r"^listen: proxy .* gave no tunnel to .*: status 403 Forbidden$"):
        async with client.listen(ver=lambda: 0, silence_s=60):
            pass


async def test_credentials_stand_in_the_url(provider, proxy, client_by) -> None:
    """Percent-encoded; without them, or with others, 407 says what is wanted and nobody's password."""
    proxy.login = "büro:p@ss/word"
    provider.will_answer(COUNT, b'{"NewCount":7}')
    known = proxy.url.replace("://", "://b%C3%BCro:p%40ss%2Fword@")
    client = await client_by(proxy=known)
    assert await client.newcount("a@x") == 7
    for url in (proxy.url, proxy.url.replace("://", "://b:wr0ng@")):
        with pytest.raises(ProviderAway, match="status 407 Proxy Authentication Required; it wants a user") as refused:
            await (await client_by(proxy=url)).newcount("a@x")
        assert "wr0ng" not in str(refused.value)
    assert "p%40ss" not in repr(Egress(proxy=known).proxy_to("x"))
    assert "cDpw" not in repr(Egress(proxy=known).proxy_to("x"))


async def test_a_proxy_that_hangs_is_named(proxy) -> None:
    """It took the connection and says nothing: that is bounded, and told apart from a provider that is slow."""
    proxy.hangs = True
    egress = Egress(proxy=proxy.url, handshake_s=0.05)
    with pytest.raises(ProxyRefused, match=r"gave no tunnel to host:12211: no answer in 0\.05 s"):
        await egress.connect(asyncio.Protocol, "host", 12211, secure=False)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "its answer is no HTTP"),
        (b"x" * 20_000, "its answer is no HTTP"),
        (b"", "it closed the connection"),
        (b"HTTP/1.1 200 OK\r\n\r\nsurprise", "it spoke before the host did"),
        (b"HTTP/1.1 502 \x1b[31mBad\r\n\r\n", "status 502 [31mBad"),
    ],
)
async def test_what_is_no_tunnel(proxy, says, why) -> None:
    """Whatever answers in a proxy's place; its words are made fit for a log."""
    proxy.says = says
    with pytest.raises(ProxyRefused) as refused:
        await Egress(proxy=proxy.url).connect(asyncio.Protocol, "host", 12211, secure=False)
    assert str(refused.value).endswith(f"gave no tunnel to host:12211: {why}")


async def test_no_proxy_there() -> None:
    """A refused connection is the proxy's, not the provider's."""
    with pytest.raises(ProxyRefused, match=r"^proxy 127\.0\.0\.1:1 gave no tunnel .*: ConnectionRefusedError"):
        await Egress(proxy="http://127.0.0.1:1").connect(asyncio.Protocol, "host", 12211, secure=False)


async def test_our_address_is_not_named_behind_a_proxy(provider, proxy, client_by) -> None:
    """10001 speaks of the address that the provider saw, which is not ours."""
    client = await client_by(proxy=proxy.url)
    provider.will_answer(COUNT, b'{"errcode":"10001","error":"no"}')
    with pytest.raises(AddressNotAllowed) as refused:
        await client.newcount("a@x")
    assert refused.value.local_address is None


# TLS: the proxy's, the provider's, one within the other; trusted by a file of the company's certificates.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
async def secure_url(authority: Authority, provider: BareProvider) -> AsyncIterator[str]:
    """The bare provider behind TLS."""
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, ssl=authority.server)
    yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    server.close()
    provider.close()
    await server.wait_closed()


@pytest.mark.parametrize("way", ["straight", "http proxy", "https proxy"])
async def test_tls_with_a_file_of_certificates(provider, secure_url, authority, client_by, stack, way) -> None:
    """Calls and listen, with the file; TLS within TLS where the proxy has its own."""
    egress = {"ca_file": str(authority.ca_file)}
    if way != "straight":
        proxy = await stack.enter_async_context(connect_proxy(tls=authority.server if "https" in way else None))
        egress["proxy"] = proxy.url
    client = await client_by(secure_url, **egress)
    provider.will_answer(COUNT, b'{"NewCount":7}')
    assert await client.newcount("a@x") == 7
    async with listening(client, provider) as next_mail:
        assert isinstance((await next_mail())[0], MailArrived)
    if way != "straight":
        assert proxy.targets == [target(secure_url)] * 2


@pytest.mark.parametrize("says_so", [True, False])
async def test_tls_that_ends_without_a_word(provider, secure_url, authority, client_by, says_so) -> None:
    """An answer without a length ends with its connection: with TLS where that is said, or it may have been cut off."""
    client = await client_by(secure_url, ca_file=str(authority.ca_file))
    await client.token()
    provider.silent.add(SYNC)
    deleting = asyncio.create_task(client.user_delete("a@x"))
    await until(lambda: len(provider.calls(SYNC)) == 1)
    [request] = provider.calls(SYNC)
    await request.send(b"HTTP/1.1 200 OK\r\n\r\n")
    if says_so:
        request.close()
        await deleting
    else:
        request.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        with pytest.raises(ProviderAway, match="cut before the end"):
            await deleting


async def test_tls_without_the_file_is_refused(provider, secure_url, authority, client_by, stack) -> None:
    """Nobody vouches for the company's own certificates: not for the provider's place, nor for the proxy."""
    with pytest.raises(ProviderAway, match=r"(?i)certificate"):
        await (await client_by(secure_url)).newcount("a@x")
    proxy = await stack.enter_async_context(connect_proxy(tls=authority.server))
    with pytest.raises(ProviderAway, match=r"proxy .*(?i:certificate)"):
        await (await client_by(proxy=proxy.url)).newcount("a@x")
    assert provider.requests == []


@pytest.fixture(scope="module")
def old_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One whose certificates name no key."""
    return make_authority(tmp_path_factory.mktemp("old"), names_keys=False)


@asynccontextmanager
async def served_by(authority: Authority, provider: BareProvider) -> AsyncIterator[str]:
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, ssl=authority.server)
    yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    server.close()


async def shake_hands(url: str, authority: Authority) -> None:
    """As strictly as Python 3.13 does by itself."""
    trust = ssl.create_default_context(cafile=str(authority.ca_file))
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    port = int(url.rpartition(":")[2])
    _, writer = await asyncio.open_connection("localhost", port, ssl=trust, family=socket.AF_INET)
    writer.close()


async def test_what_python_3_13_asks_of_certificates(provider, authority, old_authority) -> None:
    """The error of one that names no key says what it lacks, and what to do."""
    async with served_by(authority, provider) as url:
        await shake_hands(url, authority)
    async with served_by(old_authority, provider) as url:
        with pytest.raises(ssl.SSLCertVerificationError) as refused:
            await shake_hands(url, old_authority)
    told = reason(refused.value)
    assert "Missing Authority Key Identifier" in told
    assert "have the certificate issued anew with that extension, or use Python 3.12" in told


@pytest.mark.skipif(sys.version_info < (3, 13), reason="verifies strictly from Python 3.13 on")
async def test_a_certificate_that_names_no_key_is_refused_in_words(provider, old_authority, client_by, stack) -> None:
    """By calls and by listen, and where it is the proxy's."""
    proxy = await stack.enter_async_context(connect_proxy(tls=old_authority.server))
    with pytest.raises(ProviderAway, match=r"proxy .*Missing Authority Key Identifier.*issued anew"):
        await (await client_by(proxy=proxy.url, ca_file=str(old_authority.ca_file))).newcount("a@x")
    async with served_by(old_authority, provider) as url:
        client = await client_by(url, ca_file=str(old_authority.ca_file))
        with pytest.raises(ProviderAway, match=r"Missing Authority Key Identifier.*issued anew") as refused:
            await client.newcount("a@x")
        assert not refused.value.sent
        with pytest.raises(ProviderAway, match=r"Missing Authority Key Identifier.*issued anew"):
            await client._transport.open_stream()


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """Refused at once, not at the first call."""
    with pytest.raises(OSError, match="No such file"):
        Egress(ca_file=str(tmp_path / "none.pem"))
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(ssl.SSLError):
        Egress(ca_file=str(tmp_path / "text.pem"))


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="the system has no such option")
async def test_listen_is_kept_alive(provider, proxy, client_by) -> None:
    """The system probes a connection that is idle, long before firewalls forget it."""
    client = await client_by(proxy=proxy.url)
    stream = await client._transport.open_stream()
    sock = stream.writer.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 120
    stream.abort()


async def test_a_proxy_password_that_changes(provider, proxy, client_by) -> None:
    """The next connection takes the new one, with a tunnel open; an address that is none changes nothing."""
    said = [proxy.url.replace("//", "//us:old@")]
    proxy.login = "us:old"
    client = await client_by(proxy=lambda: said[0])
    async with listening(client, provider) as mail:
        proxy.login = "us:new"
        with pytest.raises(ProviderAway, match="407"):
            await (await client._transport.open_stream()).reader.read()
        said[0] = "http://"
        with pytest.raises(ProviderAway, match="407"):
            await (await client._transport.open_stream()).reader.read()
        said[0] = proxy.url.replace("//", "//us:new@")
        (await client._transport.open_stream()).abort()
        assert await mail()


async def test_an_authority_that_is_replaced(provider, tmp_path: Path, client_by) -> None:
    """Both stand in the file, the server changes over, the old one is taken out; calls go on throughout. A file that
    is being written leaves what was."""
    authorities = []
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        authorities.append(make_authority(tmp_path / name))
    old, new = authorities
    file = tmp_path / "corp.pem"
    file.write_bytes(old.ca_file.read_bytes())

    async def is_believed(client: ProviderClient) -> bool:
        try:
            (await client._transport.open_stream()).abort()
        except ProviderAway:
            return False
        return True

    async with served_by(old, provider) as before, served_by(new, provider) as after:
        clients = [await client_by(url, ca_file=str(file)) for url in (before, after)]

        async def believed() -> list[bool]:
            return [await is_believed(client) for client in clients]

        assert await believed() == [True, False]
        file.write_bytes(old.ca_file.read_bytes() + new.ca_file.read_bytes())
        assert await believed() == [True, True]
        for useless in (lambda: file.write_text("half of a cert"), file.unlink):
            useless()
            assert await believed() == [True, True]
        file.write_bytes(new.ca_file.read_bytes())
        assert await believed() == [False, True]
