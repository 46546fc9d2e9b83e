"""What goes wrong on the provider's side."""

from __future__ import annotations

import asyncio
import random
from urllib.parse import urlencode, urlsplit

import aiohttp
import orjson

from bridge.simulator import Cut, Defect, Kind, SecondListener
from tests.support.history.harness import Harness
from tests.support.history.registry import breaks


@breaks("provider")
async def cut_upstream(harness: Harness, dice: random.Random) -> None:
    harness.provider.cut(dice.choice((Cut.FIN, Cut.RST)))


@breaks("provider")
async def cut_mid_document(harness: Harness, dice: random.Random) -> None:
    harness.provider.faults.on(Kind.CUT_MID_DOCUMENT, times=1)


@breaks("provider")
async def answer_then_close(harness: Harness, dice: random.Random) -> None:
    harness.provider.faults.on(Kind.ANSWER_THEN_CLOSE, times=dice.randrange(1, 4))
    harness.provider.cut(Cut.FIN)


@breaks("provider")
async def fall_silent(harness: Harness, dice: random.Random) -> None:
    """Half-open: the connection stands and nothing comes, past the limit or not."""
    await _for_a_while(harness, dice.uniform(0.5, 4.0), Kind.SILENT, endpoint="listen")


@breaks("provider")
async def drip(harness: Harness, dice: random.Random) -> None:
    """Byte by byte, so slowly perhaps that the counts know for seconds of what waits behind it."""
    byte_s = dice.choice((0.0005, 0.003))
    for _ in range(2):
        harness.provider.faults.on(Kind.DRIP, endpoint="listen", value=byte_s, times=1)
        harness.world.deliver_mail(dice.choice(harness.boxes))
    harness.provider.faults.on(Kind.DRIP, endpoint="mail/*", value=0.0005, times=2)


@breaks("provider")
async def refuse_connections(harness: Harness, dice: random.Random) -> None:
    harness.provider.cut(Cut.RST, everything=True)
    await _for_a_while(harness, dice.uniform(0.3, 1.5), Kind.REFUSE)


@breaks("provider")
async def answer_late(harness: Harness, dice: random.Random) -> None:
    await _for_a_while(harness, dice.uniform(0.3, 1.0), Kind.DELAY, value=dice.uniform(0.1, 0.5))


@breaks("provider")
async def spoil_pushes(harness: Harness, dice: random.Random) -> None:
    """Documents that cannot be read, among those that can."""
    for defect in dice.sample(list(Defect), 2):
        harness.provider.faults.on(Kind.MALFORMED, value=defect, times=1)
        await asyncio.sleep(0.1)


@breaks("provider")
async def refuse_in_mid_listen(harness: Harness, dice: random.Random) -> None:
    """The token ends, and listen is told so where a push is expected."""
    harness.world.expire_tokens()
    harness.provider.push_errcode(dice.choice((1200, 1201)))


@breaks("provider")
async def too_many_calls(harness: Harness, dice: random.Random) -> None:
    await _for_a_while(harness, dice.uniform(0.3, 1.0), Kind.ERRCODE, value=1002)


@breaks("provider")
async def address_not_allowed(harness: Harness, dice: random.Random) -> None:
    harness.provider.cut(Cut.FIN)
    await _for_a_while(harness, dice.uniform(0.3, 1.0), Kind.ERRCODE, value=10001)


@breaks("provider")
async def bad_gateway(harness: Harness, dice: random.Random) -> None:
    harness.provider.cut(Cut.FIN)
    await _for_a_while(harness, dice.uniform(0.3, 1.0), Kind.HTTP_STATUS, value=dice.choice((500, 502, 503)))


@breaks("provider")
async def lag_behind(harness: Harness, dice: random.Random) -> None:
    """``user/list`` knows nothing of a Ver that was pushed, or answers with a small one."""
    if dice.random() < 0.5:
        await _for_a_while(harness, dice.uniform(0.3, 1.0), Kind.LIST_EMPTY)
    else:
        await _for_a_while(harness, dice.uniform(0.3, 1.0), Kind.LIST_VER, value=dice.choice((0, 7, None)))


@breaks("provider")
async def listen_too(harness: Harness, dice: random.Random) -> None:
    """Somebody else listens with our client id, and the provider gives him the connection, or both."""
    harness.provider.rules.second_listener = dice.choice((SecondListener.DISPLACES, SecondListener.BOTH))
    for _ in range(dice.randrange(1, 4)):
        await _listen(harness, dice.uniform(0.1, 0.4))
    harness.provider.rules.second_listener = SecondListener.DISPLACES


@breaks("provider")
async def keep_our_place(harness: Harness, dice: random.Random) -> None:
    """The provider believes for a while that the connection that ended still listens, and refuses the next."""
    rules = harness.provider.rules
    rules.second_listener, rules.crashed_hold_s = SecondListener.REFUSED, dice.uniform(0.2, 1.0)
    harness.provider.cut(Cut.RST)
    await asyncio.sleep(rules.crashed_hold_s)
    rules.second_listener, rules.crashed_hold_s = SecondListener.DISPLACES, 0.0


# -- the directory


@breaks("directory")
async def list_short(harness: Harness, dice: random.Random) -> None:
    """``user/list`` leaves lines out, and does not insist on it: three times alike would be believed."""
    fault = harness.provider.faults.on(Kind.LIST_SHORT, endpoint="user/list", value=dice.randrange(1, 4), times=2)
    await asyncio.sleep(dice.uniform(0.5, 1.5))
    # What nobody asked for meanwhile must not add up with the next one of this kind.
    harness.provider.faults.end(fault)


@breaks("directory")
async def get_late(harness: Harness, dice: random.Random) -> None:
    """``user/get`` knows nobody yet who was added a moment ago."""
    await _for_a_while(harness, dice.uniform(0.5, 2.0), Kind.GET_LATE, endpoint="user/get", value=3600)


@breaks("directory")
async def deny_people(harness: Harness, dice: random.Random) -> None:
    """``user/get`` says of some who are there that they are not."""
    fault = harness.provider.faults.on(Kind.ERRCODE, endpoint="user/get", value=1301, chance=0.5)
    await asyncio.sleep(dice.uniform(0.5, 1.5))
    harness.provider.faults.end(fault)


@breaks("directory")
async def limit_rate(harness: Harness, dice: random.Random) -> None:
    """More than a few calls a second are refused, with a code that no document has, or with a page."""
    kind = dice.choice((Kind.RATE, Kind.RATE_PAGE))
    await _for_a_while(harness, dice.uniform(0.5, 2.0), kind, endpoint="user/*", value=dice.randrange(1, 5))


@breaks("directory")
async def ver_astray(harness: Harness, dice: random.Random) -> None:
    """The Ver of ``user/list`` grows with each answer."""
    value = dice.choice((3, 60_000))
    await _for_a_while(harness, dice.uniform(0.3, 1.0), Kind.LIST_VER_MOVES, endpoint="user/list", value=value)


@breaks("directory")
async def ver_shifted(harness: Harness, dice: random.Random) -> None:
    """A pushed Ver is ahead of the list, or behind it."""
    await _for_a_while(harness, dice.uniform(0.3, 1.5), Kind.VER_SHIFT, value=dice.choice((-5000, 5000)))


# -- tools


async def _for_a_while(
    harness: Harness, for_s: float, kind: Kind, *, endpoint: str = "*", value: float | None = None
) -> None:
    fault = harness.provider.faults.on(kind, endpoint=endpoint, value=value)
    await asyncio.sleep(for_s)
    harness.provider.faults.end(fault)


async def _listen(harness: Harness, for_s: float) -> None:
    """A listener of somebody else's making: asks for a token and listens for a while."""
    form = {
        "grant_type": "client_credentials",
        "client_id": harness.world.client_id,
        "client_secret": harness.world.client_secret,
    }
    async with aiohttp.ClientSession(harness.provider.url) as http, http.post("/cgi-bin/token", data=form) as answer:
        token = orjson.loads(await answer.read())["access_token"]
    at = urlsplit(harness.provider.url)
    _, writer = await asyncio.open_connection(at.hostname, at.port)
    harness.rivals.add(writer.get_extra_info("sockname")[1])
    body = urlencode({"access_token": token, "ver": harness.world.ver})
    head = f"POST /openapi/listen HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    # What comes is read by nobody; it fits into the buffers of the socket.
    await asyncio.sleep(for_s)
    writer.transport.abort()
