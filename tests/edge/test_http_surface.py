"""Every endpoint that answers HTTP, asked in ways that nobody meant: it answers, and nothing of the asker comes back.

``dev`` serves all of them: the edge's, the click, the page with its buttons, and the admin port. Hypothesis makes up
the requests; what must hold of every answer stands in :func:`check`.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import jwt as pyjwt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.dev_program import DevProgram
from tests.support.waiting import PATIENCE_S

OA = "https://oa.corp.com"
BOB = "bob@gzdev.com"
SECRET = "a-secret-for-tests-of-32-bytes-or-more"
GOOD = pyjwt.encode({"sub": BOB, "exp": 4_000_000_000}, SECRET, "HS256")
STAYS = pyjwt.encode({"sub": BOB, "sid": "stays", "exp": 4_000_000_000}, SECRET, "HS256")
"""Of a session of its own: any request may be a log-out, after which the other one is good for nothing."""
MARK = '"><svg/onload=alert(1)>'
BREAK = "%0d%0aX-Injected: yes%0d%0a%0d%0a<script>"
PATHS = (
    *("/ws", "/events", "/unread", "/history", "/ticket", "/mail/open", "/client.js", "/logout", "/kick"),
    *("/openapi.json", "/asyncapi.json", "/schemas/exmail.mail.new.json", "/schemas/none", "/exmail/openapi.json"),
    *("/", "/dev/state", "/dev/page.js", "/dev/mail", "/dev/mailbox", "/exmail/unread", "/exmail/ws"),
)
ADMIN_PATHS = ("/livez", "/readyz", "/metrics")
OURS = {
    *("access-control-allow-credentials", "access-control-allow-headers", "access-control-allow-methods"),
    *("access-control-allow-origin", "access-control-expose-headers", "access-control-max-age", "allow"),
    *("cache-control", "connection", "content-language", "content-length", "content-security-policy"),
    *("content-type", "cross-origin-resource-policy", "date", "location", "referrer-policy", "retry-after"),
    *("sec-websocket-accept", "server", "set-cookie", "transfer-encoding", "upgrade", "vary", "www-authenticate"),
    *("x-accel-buffering", "x-content-type-options", "x-frame-options"),
}
"""Headers that the bridge writes; any other was written by the asker."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where the product listens."""

    public: tuple[str, int]
    admin: tuple[str, int]
    provider: str
    program: DevProgram


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with DevProgram(
        tmp_path_factory.mktemp("dev"),
        BRIDGE_EDGE_JWT_SECRET=SECRET,
        BRIDGE_EDGE_ALLOWED_ORIGINS=OA,
        BRIDGE_EDGE_PUBLIC_URL="https://portal.corp.com/exmail/",
        BRIDGE_SIGNON_RATE="10000",
        BRIDGE_LOG_FORMAT="json",
    ) as program:
        at = urlsplit(program.url)
        assert at.hostname
        assert at.port
        [(host, port)] = re.findall(r"http://([\d.]+):(\d+)/metrics +\(edge\)", "".join(program.said))
        yield Place(
            public=(at.hostname, at.port),
            admin=(host, int(port)),
            provider=str(program.settings["provider"]["api_url"]),
            program=program,
        )
        # What follows the last line's end is still being written.
        log = (program.folder / ".dev" / "dev.log").read_text().rpartition("\n")[0]
        lines = [json.loads(line) for line in log.splitlines()]
        assert lines
        wrong = [line for line in lines if line["level"] in ("error", "critical")]
        assert not wrong, "\n".join(line.get("exception", line["message"]) for line in wrong)


def ask(address: tuple[str, int], request: bytes, *, head_only: bool = False, no_more: bool = False) -> Answer | None:
    """Send bytes and read one answer; of a stream its beginning. ``None``: closed without a word.

    A connection that says nothing for long fails the test.
    """
    with socket.create_connection(address, timeout=PATIENCE_S) as sock:
        sock.sendall(request)
        if no_more:
            sock.shutdown(socket.SHUT_WR)
        data = b""
        while (found := _answer(data, head_only)) is None:
            try:
                more = sock.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                # Who hangs up behind his request may have been told to go on with it, and no more.
                rest = data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n") if no_more else data
                assert not rest, f"half an answer: {data!r}"
                return None
            data += more
        return found


def _answer(data: bytes, head_only: bool) -> Answer | None:
    """The first final answer, once it is all there."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    assert re.fullmatch(r"HTTP/1\.[01] \d{3} [\w -]+", first), first
    status = int(first.split()[1])
    if status == 100:
        return _answer(rest, head_only)
    pairs = [line.partition(": ") for line in lines]
    headers = {name.lower(): value for name, _, value in pairs}
    length = headers.get("content-length")
    if length is not None and not head_only and len(rest) < int(length):
        return None
    return Answer(status, headers, rest, [name.lower() for name, _, _ in pairs])


def is_unread(answer: Answer) -> bool:
    """Refused before anybody looked at what it asks for; no browser sends it."""
    return answer.status == 417 or (answer.status == 400 and b"this is no HTTP request" in answer.body)


def check(answer: Answer, *, origin: str | None, host: str | None, provider: str) -> None:
    """What must hold of every answer, whatever was asked."""
    assert answer.status < 500, answer
    # Nobody adds a header to our answer.
    assert not set(answer.names) - OURS, answer
    kind = answer.headers.get("content-type", "")
    if "html" in kind:
        assert MARK.encode() not in answer.body
        assert b"<script>" not in answer.body
        assert "content-security-policy" in answer.headers
    if answer.body and answer.status != 101:
        assert answer.headers["x-content-type-options"] == "nosniff", answer
    if answer.status >= 400 and answer.body and "html" not in kind:
        assert kind.startswith("application/json"), answer
        told = json.loads(answer.body)
        assert isinstance(told["error"], str), answer
    if is_unread(answer):
        return
        assert isinstance(told["message"], str), answer
    # Only a page that may ask is told that it may read.
    allowed = answer.headers.get("access-control-allow-origin")
    is_for_all = "javascript" in kind or answer.body.startswith((b'{"openapi":', b'{"asyncapi":', b'{"$schema":'))
    if is_for_all and allowed == "*":
        assert "access-control-allow-credentials" not in answer.headers
    elif allowed is not None:
        assert allowed == origin
        assert origin in (OA, "https://portal.corp.com") or origin in (f"http://{host}", f"https://{host}"), answer
    if "location" in answer.headers:
        assert answer.headers["location"].startswith(f"{provider}/"), answer


def text(*hostile: str) -> st.SearchStrategy[str]:
    """Values that break something somewhere, and any other."""
    return st.one_of(st.sampled_from((*hostile, MARK, BREAK)), st.text(max_size=40))


QUERIES = st.dictionaries(
    st.sampled_from(("after", "ticket", "mailbox", "mailid", "limit", "x")),
    text(
        "zzzzzzzz-1",
        "aaaaaaaa-99999999999999999999",
        "-",
        "50",
        "-1",
        "９",
        "*",
        BOB,
        "//evil.example",
        "\0",
        "x" * 3000,
    ),
    max_size=4,
)
HEADER_VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30)
HEADERS: dict[str, st.SearchStrategy[str]] = {
    "Authorization": st.sampled_from(("Bearer GOOD", "Bearer", "Bearer a.b.c", "Basic eA==", "bearer  x y")),
    "Cookie": st.sampled_from(("exmail_bridge=GOOD", "exmail_bridge=", 'exmail_bridge="', "a;;=;b", MARK)),
    "Origin": st.sampled_from(
        (OA, "https://portal.corp.com", "https://evil.example", "null", "http://[", OA + ".evil", MARK)
    ),
    "Host": st.sampled_from(("localhost", "evil.example", "[", "[::1", "a:b:c", "", MARK, "localhost:99999999")),
    "Last-Event-ID": text("zzzzzzzz-1", "\xff"),
    "Accept": st.sampled_from(("text/html", "text/event-stream", "*/*", MARK)),
    "Accept-Language": st.sampled_from(("zh", "en;q=x", MARK, ";q=" * 50)),
    "Connection": st.sampled_from(("Upgrade", "keep-alive, Upgrade", "close")),
    "Upgrade": st.sampled_from(("websocket", "h2c", MARK)),
    "Sec-WebSocket-Version": st.sampled_from(("13", "8")),
    "Sec-WebSocket-Key": st.sampled_from(("dGhlIHNhbXBsZSBub25jZQ==", "x", "é" * 24)),
    "Sec-Fetch-Site": st.sampled_from(("cross-site", "same-origin")),
    "Sec-Fetch-Mode": st.sampled_from(("navigate", "cors")),
    "X-Forwarded-For": text("10.0.0.1", "not an address", "::1%eth0"),
    "X-Forwarded-Host": text("portal.corp.com", "evil.example"),
    "X-Forwarded-Proto": text("https"),
    "Forwarded": text("for=[::1"),
    "Expect": st.sampled_from(("100-continue", "anything")),
    "Content-Type": st.sampled_from(("application/json", "text/plain", "multipart/form-data; boundary=", ";;;")),
    "Content-Encoding": st.sampled_from(("gzip", "deflate", "nonsense")),
    "X-Anything": HEADER_VALUE,
}
METHODS = st.sampled_from(
    ("GET", "GET", "GET", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW")
)
BODIES = st.one_of(
    st.just(b""), st.binary(max_size=300), st.sampled_from((b"{}", b"[]", b'{"mailbox":"\\ud800"}', b"[" * 5000))
)


@st.composite
def requests(draw: st.DrawFn, paths: tuple[str, ...]) -> tuple[bytes, dict[str, str], str]:
    """A request that can be read as one: its bytes, its headers, its method."""
    path = draw(st.sampled_from((*paths, "")) | st.just(paths[0])) or "/" + quote(draw(st.text(max_size=12)))
    query = (
        "&".join(
            # What is percent-encoded already stays so.
            f"{name}={value if value == BREAK else quote(value, safe='')}"
            for name, value in draw(QUERIES).items()
        )
        .replace(" ", "+")
        .replace("<", "%3C")
        .replace(">", "%3E")
    )
    headers = {"Host": "localhost"} | {
        name: draw(HEADERS[name]) for name in draw(st.lists(st.sampled_from(tuple(HEADERS)), max_size=7, unique=True))
    }
    method, body = draw(METHODS), draw(BODIES)
    if body:
        headers["Content-Length"] = str(len(body))
    head = f"{method} {path}{'?' + query if query else ''} HTTP/1.1\r\n" + "".join(
        f"{name}: {_one_line(value).replace('GOOD', GOOD)}\r\n" for name, value in headers.items()
    )
    return head.encode("utf-8", "replace") + b"\r\n" + body, headers, method


def _one_line(value: str) -> str:
    return re.sub("[\r\n\0]", "", value)


@pytest.mark.parametrize("expected", [b"anything", b"\xba"])
def test_an_expectation_that_nobody_knows(place: Place, expected: bytes) -> None:
    """Refused like anything else; the HTTP library repeats the value, and fails where it is no text."""
    answer = ask(place.public, b"GET /unread HTTP/1.1\r\nHost: localhost\r\nExpect: " + expected + b"\r\n\r\n")
    assert answer is not None
    assert answer.status == 417
    assert json.loads(answer.body)["error"] == "request"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "data",
    [
        b"GET /\r/unread HTTP/1.1\r\nHost: x\r\n\r\n",
        b"<script>alert(1)</script> / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX\x00Y: <b>z</b>\r\n\r\n",
        b"\x16\x03\x01 / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_cannot_be_read_is_refused_in_the_shape_of_all_others(place: Place, data: bytes) -> None:
    """400 as JSON, hardened, closed; nothing of what was sent comes back, neither as text nor as markup."""
    for port in (place.public, place.admin):
        answer = ask(port, data)
        assert answer is not None
        assert (answer.status, json.loads(answer.body)["error"]) == (400, "request")
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-content-type-options"] == "nosniff"
        for word in (b"script", b"<b>", b"unread"):
            assert word not in answer.body


def test_a_version_before_http_1_is_closed_without_an_answer(place: Place) -> None:
    """The answer would be in that version, which no client reads."""
    assert ask(place.public, b'GET /event"JHTTP/1.1\r\nHost: x\r\n\r\n') is None


UNHURRIED = settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))


@UNHURRIED
@given(requests(PATHS))
def test_any_request_is_answered_and_nothing_of_it_comes_back(
    place: Place, request_: tuple[bytes, dict[str, str], str]
) -> None:
    """No 500, no hang; refusals in their documented shape; CORS for listed origins; no header or markup of theirs."""
    data, headers, method = request_
    answer = ask(place.public, data, head_only=method == "HEAD")
    assert answer is not None, data
    check(answer, origin=headers.get("Origin"), host=headers["Host"], provider=place.provider)


@UNHURRIED
@given(
    requests(PATHS), st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4)
)
def test_what_is_no_request_is_refused_and_no_more(
    place: Place, request_: tuple[bytes, dict[str, str], str], scratches: list[tuple[int, bytes]]
) -> None:
    """A request with bytes of it replaced: an answer or a closed connection, never a 500, never a header of theirs."""
    data = bytearray(request_[0])
    for at, scratch in scratches:
        at %= len(data)
        data[at : at + len(scratch)] = scratch
    answer = ask(place.public, bytes(data), head_only=data.startswith(b"HEAD"), no_more=True)
    if answer is not None:
        assert answer.status < 500, answer
        assert not set(answer.names) - OURS, answer


@UNHURRIED
@given(requests(ADMIN_PATHS))
def test_the_admin_port_answers_anything(place: Place, request_: tuple[bytes, dict[str, str], str]) -> None:
    """Nothing that is asked breaks it, and nothing that is asked comes back."""
    data, _, method = request_
    answer = ask(place.admin, data, head_only=method == "HEAD")
    assert answer is not None, data
    assert answer.status < 500, answer
    assert not set(answer.names) - OURS, answer
    assert "html" not in answer.headers.get("content-type", "")


@pytest.mark.parametrize("name", ["mailbox", "mailid", "after", "limit", "ticket"])
@pytest.mark.parametrize("path", ["/ws", "/events", "/unread", "/history", "/mail/open"])
def test_no_line_break_gets_into_a_header(place: Place, path: str, name: str) -> None:
    """A line break in a parameter ends no line of ours."""
    for method in ("GET", "POST", "OPTIONS"):
        head = f"{method} {path}?{name}={BREAK} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {STAYS}\r\n\r\n"
        answer = ask(place.public, head.encode())
        assert answer is not None
        assert "x-injected" not in answer.names
        assert b"X-Injected: yes\r\n" not in answer.body


def test_the_click_leads_to_the_provider_and_nowhere_else(place: Place) -> None:
    """No parameter and no header chooses where a click ends: ``/mail/open`` is no open redirect."""
    for mail_id in ("ZC4028-a", "//evil.example", "https://evil.example/", "ZC4028-a@evil.example", "\\evil.example"):
        head = (
            f"GET /mail/open?mailid={quote(mail_id, safe='')}&url=//evil.example&next=https://evil.example HTTP/1.1\r\n"
            f"Host: evil.example\r\nX-Forwarded-Host: evil.example\r\nAuthorization: Bearer {STAYS}\r\n\r\n"
        )
        answer = ask(place.public, head.encode())
        assert answer is not None
        assert answer.status in (302, 400), answer
        if answer.status == 302:
            assert answer.headers["location"].startswith(f"{place.provider}/cgi-bin/login?"), answer
