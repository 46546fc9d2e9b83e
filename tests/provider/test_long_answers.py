"""A listing of everybody: pushes do not wait for it to be read."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import aiohttp
from hypothesis import given
from hypothesis import strategies as st

from bridge.provider.bizmail.answers import read_delta
from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.documents import _KEPT_OR_TRAILING, LONG, NotJson, read_json
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


PAD = b'{"pad":"%b",'
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def read_padded(pad: bytes, rest: bytes) -> Any:
    try:
        found = read_json(PAD % pad + rest)
    except NotJson:
        return None
    if isinstance(found, dict):
        found.pop("pad", None)
    return found


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=4), st.binary(max_size=3), st.floats(0, 1))
def test_a_long_document_is_read_as_a_short_one(members: dict[str, Any], broken: bytes, place: float) -> None:
    """Item by item it comes to the same, whatever is in it, and whatever is broken."""
    rest = json.dumps(members, ensure_ascii=False).encode("utf-8", "replace")[1:]
    at = round(place * len(rest))
    for each in (rest, rest[:at] + broken + rest[at:]):
        assert read_padded(b"x" * LONG, each) == read_padded(b"x", each)


def test_no_call_reads_all_of_a_long_listing() -> None:
    """One that did would keep every other thread waiting: each line is read by a call of its own."""
    lines = b",".join(b'{"Alias":"user%d@gzdev.com","Action":2}' % number for number in range(LINES))
    calls: Counter[str] = Counter()

    def called(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            calls[argument.__name__] += 1

    sys.setprofile(called)
    try:
        found = read_json(b'{"Ver":1,"Count":%d,"List":[%b]}' % (LINES, lines))
    finally:
        sys.setprofile(None)
    assert len(found["List"]) == LINES
    assert calls["loads"] > LINES
