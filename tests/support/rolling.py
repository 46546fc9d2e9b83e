"""Edges behind a proxy that are restarted one after the other, pages that look meanwhile, and mails that come."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from bridge.journal.writer import Writer
from tests.support.browser_side import HandshakeRefused, open_sse, open_ws
from tests.support.follower import SILENCE_S
from tests.support.processes import Program, edge_environ, free_port, program
from tests.support.stage import ANN, BOB, bearer, leading_writer, mail
from tests.support.waiting import PATIENCE_S, until

SHUTTING_DOWN = 3001


class HintedPage:
    """A page that comes back when it is told to, from where it was; an end without a word is an error that it notes.

    ``back_at``: when it was let in, by the loop's clock; the first time is its coming.
    """

    def __init__(self, url: str, number: int) -> None:
        self.mailbox = (BOB, ANN)[number % 2]
        self.mails: list[str] = []
        self.errors: list[str] = []
        self.back_at: list[float] = []
        self.hints: list[int] = []
        self.is_open = False
        self.began_anew = 0
        self._open: Any = (open_ws, open_sse)[number // 2 % 2]
        self._path = ("/exmail/ws", "/exmail/events")[number // 2 % 2]
        self._url = url
        self._position = ""

    async def look(self) -> None:
        """Until cancelled."""
        while True:
            hint_ms = None
            try:
                hint_ms = await self._look_once()
            except HandshakeRefused as refused:
                self.errors.append(f"status {refused.status}")
            except (EOFError, OSError, TimeoutError) as error:
                self.errors.append(repr(error))
            self.is_open = False
            if hint_ms is not None:
                self.hints.append(hint_ms)
            await asyncio.sleep((hint_ms or random.randint(500, 1500)) / 1000)

    async def _look_once(self) -> int:
        """Until the connection ends with a hint; return it."""
        after = f"?after={self._position}" if self._position else ""
        async with asyncio.timeout(SILENCE_S):
            opened = await self._open(self._url, self._path + after, **bearer(self.mailbox))
        async with opened as client:
            while True:
                frame = (await client.frame(within_s=SILENCE_S)).data
                data = frame.get("data", {})
                if frame["type"] == "exmail.closing":
                    if data["code"] != SHUTTING_DOWN:
                        self.errors.append(f"closed with {data['code']}")
                    hint_ms: int = data["retry_ms"]
                    return hint_ms
                if frame["type"] == "exmail.snapshot":
                    self.began_anew += bool(after) and not data["resumed"]
                    self._position = data["position"]
                    self.is_open = True
                    self.back_at.append(asyncio.get_running_loop().time())
                elif "id" in frame:
                    self._position = frame["id"]
                    self.mails.append(data["mail_id"])


@dataclass(frozen=True)
class Place:
    """Where an edge listens, and where it says how it is."""

    listen: str
    admin: str = "127.0.0.1:0"


def places(number: int) -> list[Place]:
    """So many on this machine."""
    return [Place(f"127.0.0.1:{free_port()}") for _ in range(number)]


@dataclass
class Fleet:
    """What runs. ``told``: the mails of each mailbox, in order; ``environ``: what a restarted edge is given besides."""

    redis_url: str
    places: Sequence[Place]
    programs: list[Program]
    pages: list[HintedPage]
    stack: AsyncExitStack
    public_url: str
    environ: dict[str, str]
    told: dict[str, list[str]] = field(default_factory=lambda: {BOB: [], ANN: []})

    async def start(self, place: Place) -> Program:
        environ = {
            **edge_environ(self.redis_url, 0),
            "BRIDGE_EDGE_LISTEN": place.listen,
            "BRIDGE_EDGE_ADMIN_LISTEN": place.admin,
            "BRIDGE_EDGE_PUBLIC_URL": self.public_url,
            **self.environ,
        }
        return await self.stack.enter_async_context(program("edge", environ=environ))

    async def restart(self, number: int) -> None:
        """Stop one edge in order, and start another in its place."""
        assert await self.programs[number].stop() == 0
        self.programs[number] = await self.start(self.places[number])
        await self.programs[number].ready()

    async def loads(self) -> list[int]:
        """How many browsers each edge has."""
        found = []
        for each in self.programs:
            _, text = await each.admin("/metrics")
            counts = re.findall(r"^exmail_bridge_edge_connections\{.*\} ([0-9.]+)$", text, re.MULTILINE)
            found.append(int(sum(map(float, counts))))
        return found

    async def all_are_back(self, within_s: float = PATIENCE_S) -> None:
        """Return when each page has been told the newest mail of now; some may have been sent away again by then."""
        now = {mailbox: number_of(ids[-1]) for mailbox, ids in self.told.items()}

        def all_told() -> bool:
            return all(page.mails and number_of(page.mails[-1]) >= now[page.mailbox] for page in self.pages)

        await until(all_told, within_s=within_s)

    def errors(self) -> Counter[str]:
        return Counter(error for page in self.pages for error in page.errors)

    def missed(self) -> int:
        """How many pages missed a mail, were told one twice or out of order, or began anew."""
        return sum(
            bool(page.began_anew) or page.mails != self.told[page.mailbox][-len(page.mails) :] for page in self.pages
        )


def number_of(mail_id: str) -> int:
    """How many mails there were in its mailbox with this one."""
    return int(mail_id[3:])


@asynccontextmanager
async def mails(writer: Writer, told: dict[str, list[str]], every_s: float) -> AsyncIterator[None]:
    """A mail for each mailbox, as often as that."""
    enough = asyncio.Event()

    async def deliver() -> None:
        for number in itertools.count(1):
            for mailbox, ids in told.items():
                await writer.commit([mail(f"{mailbox[:3]}{number}", number, mailbox)])
                ids.append(f"{mailbox[:3]}{number}")
            with suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), every_s)
                return

    delivering = asyncio.create_task(deliver(), name="mail")
    try:
        yield
    finally:
        # Not cancelled: of a commit that is cut off nobody knows whether it was told.
        enough.set()
        await delivering


@asynccontextmanager
async def fleet(
    redis_url: str,
    places: Sequence[Place],
    proxied: Callable[[int, Sequence[str]], AbstractAsyncContextManager[object]],
    *,
    clients: int,
    come_within_s: float = PATIENCE_S,
    **environ: str,
) -> AsyncIterator[tuple[Fleet, Writer]]:
    """An edge in each of the places, and as many pages that are open.

    ``proxied`` runs a proxy on a port before the edges that listen there.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        writer, _ = await stack.enter_async_context(leading_writer(redis_url))
        pages = [HintedPage(url, number) for number in range(clients)]
        made = Fleet(redis_url, places, [], pages, stack, f"{url}/exmail/", dict(environ))
        made.programs += [await made.start(each) for each in places]
        await asyncio.gather(*(each.ready() for each in made.programs))
        await stack.enter_async_context(proxied(port, [each.listen for each in places]))
        looking = []
        for page in pages:
            looking.append(asyncio.create_task(page.look(), name="page"))
            if len(looking) % 50 == 0:
                await asyncio.sleep(0.1)
        try:
            await until(lambda: all(page.is_open for page in pages), within_s=come_within_s)
            yield made, writer
        finally:
            for task in looking:
                task.cancel()
            await asyncio.wait(looking)
