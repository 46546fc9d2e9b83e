"""A listing of everybody: pushes do not wait for it to be read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from bridge.provider.bizmail.answers import read_delta
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.documents import _KEPT_OR_TRAILING, read_json
from bridge.provider.bizmail.members import BizMailMembers
from bridge.provider.bizmail.verdict import judge
from bridge.simulator import Kind
from bridge.worker.answer import Answer, read_answer
from bridge.worker.claims import read_claims, read_everybody
from tests.support.workers import simulating

LINES = 12_000
READS = {read.__code__ for read in (judge, read_json, read_delta, read_claims, read_everybody)}
"""What goes through an answer line by line, or byte by byte."""


@contextmanager
def done_here() -> Iterator[set[CodeType]]:
    """Which of those are called in this thread meanwhile."""
    found: set[CodeType] = set()

    def called(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in READS:
            found.add(frame.f_code)

    sys.setprofile(called)
    try:
        yield found
    finally:
        sys.setprofile(None)


async def test_nothing_that_is_as_long_as_the_answer_is_done_where_pushes_are_read() -> None:
    """Parsing, repair, judging, looking for what each line claims: all of it in other threads; a short one is not."""
    lines = b"".join(b'{"Alias":"user%d@gzdev.com","Action":2},' % number for number in range(LINES))
    answer = b'{"Ver":1386593148546,"Count":%d,"List":[%b],}' % (LINES, lines)
    async with simulating() as simulator, aiohttp.ClientSession() as session:
        client = ProviderClient(
            api_url=simulator.url,
            auth_url=simulator.url,
            client_id=simulator.world.client_id,
            client_secret=lambda: simulator.world.client_secret,
            session=session,
        )
        members = BizMailMembers(client, lag_waits_s=(), short_waits_s=())

        async def everybody() -> Answer:
            return await read_answer(await members.everything(), "full")

        with done_here() as found:
            short = await everybody()
        assert found == READS - {read_delta.__code__}
        assert 0 < len(short.claims.present) < LINES
        simulator.faults.on(Kind.ANSWER, endpoint="user/list", value=answer.decode())
        with done_here() as found:
            listing = await everybody()
        assert len(listing.claims.present) == LINES
        assert found == set()


def without_trailing_commas(document: bytes) -> bytes:
    """The same in the plainest way, a byte after the other."""
    kept = bytearray()
    in_string = escaped = False
    for at, byte in enumerate(document):
        char = bytes([byte])
        if in_string:
            in_string = escaped or char != b'"'
            escaped = not escaped and char == b"\\"
        elif char == b'"':
            in_string, escaped = True, False
        elif char == b"," and document[at + 1 :].lstrip(b" \t\n\r\v\f")[:1] in (b"]", b"}"):
            continue
        kept.append(byte)
    return bytes(kept)


@given(st.lists(st.sampled_from([b'"', b"\\", b",", b"]", b"}", b" ", b"\n", b"x", b"[", b"\xff"])).map(b"".join))
def test_the_quick_way_keeps_what_the_plain_one_keeps(document: bytes) -> None:
    """Whatever the document is: only a comma with nothing behind it goes, and none in a string."""
    kept = b"".join(match[1] for match in _KEPT_OR_TRAILING.finditer(document) if match[1])
    assert kept == without_trailing_commas(document)


def test_a_repair_goes_in_steps() -> None:
    """One step of the expression keeps every other thread waiting, so none takes the whole of a listing."""
    document = b'{"List":[' + b'{"a":"b"},' * 20_000 + b"]}"
    steps = sum(1 for _ in _KEPT_OR_TRAILING.finditer(document))
    assert steps > 20_000 * 5 / 4096
    assert len(read_json(document)["List"]) == 20_000
