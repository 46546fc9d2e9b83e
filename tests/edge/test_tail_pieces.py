"""A mailbox that very many have open: a mail is delivered in pieces, and each cursor gets it once, in order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace

import pytest

from bridge.edge.connection import Connection
from bridge.edge.cursor import Cursor
from bridge.edge.feed import Opening
from bridge.edge.frames import ws_frame
from bridge.edge.positions import join_positions
from bridge.edge.transport.sse import SseConnection
from bridge.edge.transport.websocket import WebSocketConnection
from bridge.events import Position
from tests.support.bare_edge import BareEdge, bare_edge, heard
from tests.support.stage import BOB, leading_writer, mail

CROWD = 7


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.edge.tail._PIECE", 2)


async def a_crowd(
    edge: BareEdge, kinds: Sequence[type[Connection]] = (SseConnection,) * CROWD
) -> tuple[Opening, list[Cursor], list[socket.socket]]:
    opening = await edge.open()
    joined = []
    for kind in kinds:
        opening.tail.opening += 1
        joined.append(await edge.join(opening, kind))
    for _, peer in joined:
        await heard(peer, b"exmail.snapshot")
    return opening, [cursor for cursor, _ in joined], [peer for _, peer in joined]


async def test_everybody_gets_each_mail_once_and_in_order(redis_url: str) -> None:
    """Also what comes while an earlier one is under way to the others."""
    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url) as edge:
        _, _, peers = await a_crowd(edge)
        for number in range(1, 6):
            await writer.commit([mail(f"Z{number}", number)])
        for peer in peers:
            got = await heard(peer, b'"Z5"')
            places = [got.index(b'"mail_id":"Z%d"' % number) for number in range(1, 6)]
            assert places == sorted(places)
            assert got.count(b"exmail.mail.new") == 5


class OfSeveral(SseConnection):
    """One that follows all mailboxes of its credential: its positions stand before each event."""

    __slots__ = ()
    cursor_type = SseConnection.many_cursor_type


async def test_each_kind_of_connection_gets_its_own_form_of_a_mail(redis_url: str) -> None:
    kinds = (SseConnection, WebSocketConnection, WebSocketConnection, OfSeveral, SseConnection, OfSeveral)
    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url) as edge:
        _, cursors, peers = await a_crowd(edge, kinds)
        edge.hub.frames |= {"sse": 0, "websocket": 0}
        await writer.commit([mail("Z1")])
        for kind, cursor, peer in zip(kinds, cursors, peers, strict=True):
            got = await heard(peer, b'"Z1"')
            place = str(cursor.position).encode()
            assert place.endswith(b"-1")
            if kind is WebSocketConnection:
                assert got == ws_frame(got[got.index(b"{") :])
            else:
                line, _, event = got.partition(b"\n")
                assert line == b"id: " + (join_positions([place]) if kind is OfSeveral else place)
                assert event.startswith(b'data: {"')
                assert event.count(b"\n") == 2
        assert edge.hub.frames == {"sse": 4, "websocket": 2}


async def flushed(edge: BareEdge, opening: Opening) -> None:
    """A mail is on its way: the first piece has it, the others have not had their turn."""
    [top] = await edge.reader.tops([BOB])
    assert top is not None
    event = b'{"specversion":"1.0","id":"%b-2","sequence":"2","x":"OLD"}' % top.epoch.encode()
    assert opening.tail.append(top.epoch.encode(), 2, event)
    opening.tail.flush()


async def turns() -> None:
    """As many as the pieces need."""
    for _ in range(CROWD):
        await asyncio.sleep(0)


async def test_nothing_of_before_comes_behind_a_new_beginning(redis_url: str) -> None:
    """Though its numbers fit: what was on its way is of another epoch."""
    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url) as edge:
        opening, cursors, peers = await a_crowd(edge)
        await writer.commit([mail("Z1")])
        for peer in peers:
            await heard(peer, b'"Z1"')
        await flushed(edge, opening)
        new = replace(opening.opened, top=Position("newepoch", 1), status="epoch", shared={})
        opening.tail.repair(new, [], cursors)
        await turns()
        for number, peer in enumerate(peers):
            got = await heard(peer, b"newepoch")
            assert (b"OLD" in got) == (number < 2)
            assert b"OLD" not in got.partition(b"newepoch")[2]


async def test_who_leaves_before_his_turn_gets_nothing(redis_url: str) -> None:
    """A connection that goes on without the mailbox is shown no more of it."""
    async with leading_writer(redis_url) as (writer, _), bare_edge(redis_url) as edge:
        opening, cursors, peers = await a_crowd(edge)
        await writer.commit([mail("Z1")])
        for peer in peers:
            await heard(peer, b'"Z1"')
        await flushed(edge, opening)
        cursors[-1].leave()
        await turns()
        for peer in peers[:-1]:
            await heard(peer, b"OLD")
        with pytest.raises(BlockingIOError):
            peers[-1].recv(100)
