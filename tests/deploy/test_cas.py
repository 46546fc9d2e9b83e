"""The recipe of docs/signing.md for CAS: Debian's Apache and mod_auth_cas, before an edge; the CAS server stands in.

It answers as the CAS protocol 3.0 says (2.1 ``/login``, 2.5 and 2.8 ``/p3/serviceValidate``), to a ticket once.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bridge.journal.writer import Writer
from tests.deploy.programs import ROOT, accepts, running
from tests.docs.pages import Page
from tests.support.browser_side import HandshakeRefused, open_sse, open_ws
from tests.support.certificates import Authority, make_authority
from tests.support.processes import free_port
from tests.support.proxies import changed
from tests.support.stage import ANN, BOB, leading_writer, mail, running_edge
from tests.support.waiting import until

SIGNING = Page(ROOT / "docs" / "signing.md")
HEADER = "X-Exmail-Mailbox"
MODULES = Path("/usr/lib/apache2/modules")
LOADED = (
    *("mpm_event", "authn_core", "authz_core", "authz_user", "dir", "alias", "headers"),
    *("proxy", "proxy_http", "auth_cas", "socache_shmcb"),
)
SUCCESS = """<cas:serviceResponse xmlns:cas="http://www.yale.edu/tp/cas">
 <cas:authenticationSuccess>
  <cas:user>{user}</cas:user>
  <cas:attributes><cas:mail>{user}@gzdev.com</cas:mail></cas:attributes>
 </cas:authenticationSuccess>
</cas:serviceResponse>"""
FAILURE = """<cas:serviceResponse xmlns:cas="http://www.yale.edu/tp/cas">
 <cas:authenticationFailure code="INVALID_TICKET">Ticket {ticket} not recognized</cas:authenticationFailure>
</cas:serviceResponse>"""


@dataclass
class Cas:
    """Signs in whoever ``signs_in``, without asking. ``tickets``: those that were not shown yet, and whose they are."""

    port: int
    signs_in: str = "bob"
    given: int = 0
    tickets: dict[tuple[str, str], str] = field(default_factory=dict)

    async def login(self, request: web.Request) -> web.Response:
        service = request.query["service"]
        self.given += 1
        ticket = f"ST-{self.given}-0123456789abcdef"
        self.tickets[ticket, service] = self.signs_in
        mark = "&" if "?" in service else "?"
        raise web.HTTPFound(f"{service}{mark}{urlencode({'ticket': ticket})}")

    async def validate(self, request: web.Request) -> web.Response:
        shown = request.query["ticket"], request.query["service"]
        user = self.tickets.pop(shown, None)
        text = FAILURE.format(ticket=shown[0]) if user is None else SUCCESS.format(user=user)
        return web.Response(text=text, content_type="application/xml")


@asynccontextmanager
async def running_cas(authority: Authority) -> AsyncIterator[Cas]:
    cas = Cas(free_port())
    app = web.Application()
    app.router.add_get("/cas/login", cas.login)
    app.router.add_get("/cas/p3/serviceValidate", cas.validate)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", cas.port, ssl_context=authority.server).start()
        yield cas
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Stage:
    """Where browsers find OA and edge, who signs them in, and who delivers mail."""

    url: str
    cas: Cas
    trusts: ssl.SSLContext
    writer: Writer

    async def signed_in(self, user: str) -> str:
        """Open the OA as a browser does; the cookies that it then sends to the bridge."""
        self.cas.signs_in = user
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.trusts)) as browser:
            async with browser.get(f"{self.url}/portal/oa") as page:
                assert (page.status, str(page.url)) == (200, f"{self.url}/portal/oa")
            sent = browser.cookie_jar.filter_cookies(URL(f"{self.url}/exmail/"))
            return "; ".join(f"{each.key}={each.value}" for each in sent.values())


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that Apache may read when it is no longer root, and write where it keeps its sessions.

    There it deletes whatever else it finds.
    """
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        cookies = Path(made, "cookies")
        cookies.mkdir()
        cookies.chmod(0o777)
        yield Path(made)


@asynccontextmanager
async def running_apache(program: str, folder: Path, port: int, recipe: str, oa: str) -> AsyncIterator[None]:
    """With the recipe, before an OA at this URL."""
    lines = [
        *(f"ServerRoot {folder}", f"DefaultRuntimeDir {folder}", f"PidFile {folder}/pid", "ServerName localhost"),
        *(f"ErrorLog {folder}/error.log", f"Listen 127.0.0.1:{port}", "User www-data", "Group www-data"),
        *(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED),
        *(f"CASCookiePath {folder}/cookies/", recipe, f"ProxyPass /portal/oa {oa}"),
    ]
    (folder / "apache.conf").write_text("\n".join(lines))
    async with running(program, "-X", "-f", str(folder / "apache.conf"), log=folder / "apache.log"):
        await until(lambda: accepts(port))
        yield


@pytest.fixture(params=["login", "attribute"])
def recipe(request: pytest.FixtureRequest) -> str:
    """As it stands, or with the lines for a CAS that sends the address."""
    stands = SIGNING.block("apache")
    if request.param == "login":
        return stands
    [line] = [each for each in stands.splitlines() if "RequestHeader set" in each]
    return changed(stands, [(line, SIGNING.block("apache", holding="CASAuthNHeader"))])


@pytest.fixture
async def stage(
    require_binary: Callable[[str], str], redis_url: str, folder: Path, recipe: str
) -> AsyncIterator[Stage]:
    apache = require_binary("apache2")
    if not (MODULES / "mod_auth_cas.so").exists():
        require_binary("mod_auth_cas")
    authority = make_authority(folder)
    port, edge_port = free_port(), free_port()
    url = f"http://localhost:{port}"
    environ = {
        "BRIDGE_EDGE_LISTEN": f"127.0.0.1:{edge_port}",
        "BRIDGE_EDGE_PUBLIC_URL": f"{url}/exmail/",
        "BRIDGE_EDGE_JWT_SECRET": "",
        "BRIDGE_EDGE_AUTH_HEADER": HEADER,
        "BRIDGE_EDGE_TRUSTED_PROXIES": "loopback",
    }
    async with (
        leading_writer(redis_url) as (writer, _),
        running_edge(redis_url, **environ),
        running_cas(authority) as cas,
    ):
        changes = [
            ("https://sso.corp.com/", f"https://localhost:{cas.port}/"),
            ("/etc/ssl/certs/ca-certificates.crt", str(authority.ca_file)),
            ("127.0.0.1:8080", f"127.0.0.1:{edge_port}"),
            ("127.0.0.1:8081", f"127.0.0.1:{free_port()}"),
        ]
        recipe = changed(recipe, changes).replace("@corp.com", "@gzdev.com")
        async with running_apache(apache, folder, port, recipe, f"http://127.0.0.1:{edge_port}/exmail/client.js"):
            yield Stage(url, cas, ssl.create_default_context(cafile=str(authority.ca_file)), writer)


async def test_who_has_signed_in_at_cas_sees_his_mailbox(stage: Stage) -> None:
    """On both transports and for plain requests, whatever he claims; two people see a mailbox each."""
    for user, mailbox, other in (("bob", BOB, ANN), ("ann", ANN, BOB)):
        cookie = await stage.signed_in(user)
        claims = {HEADER: other, "CAS-User": other, "CAS-mail": other, "CAS_mail": other}
        for opener, path in ((open_ws, "/exmail/ws"), (open_sse, "/exmail/events")):
            async with await opener(stage.url, path, Cookie=cookie, **claims) as client:
                assert (await client.frame()).data["data"]["mailbox"] == mailbox
                await stage.writer.commit([mail(path, 1, mailbox)])
                [event] = await client.events(1)
                assert event["data"]["mail_id"] == path
        async with (
            aiohttp.ClientSession() as browser,
            browser.get(f"{stage.url}/exmail/unread", headers={"Cookie": cookie, **claims}) as answer,
        ):
            assert (answer.status, (await answer.json())["mailbox"]) == (200, mailbox)


async def test_who_has_not_is_sent_to_cas(stage: Stage) -> None:
    """Nobody reaches the edge by a header, nor by a ticket that CAS did not give."""
    for opener, path in ((open_ws, "/exmail/ws"), (open_sse, "/exmail/events"), (open_sse, "/exmail/unread")):
        with pytest.raises(HandshakeRefused) as refused:
            await opener(stage.url, path, X_Exmail_Mailbox=BOB)
        assert refused.value.status == 302
        assert refused.value.headers["location"].startswith(f"https://localhost:{stage.cas.port}/cas/login?")
    with pytest.raises(HandshakeRefused) as refused:
        await open_sse(stage.url, "/exmail/unread?ticket=ST-9-0123456789abcdef", X_Exmail_Mailbox=BOB)
    assert refused.value.status in (302, 401)
