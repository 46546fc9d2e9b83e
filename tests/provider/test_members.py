"""What of the provider's listings of members is believed."""

from __future__ import annotations

from collections import deque

import pytest

from bridge.provider.bizmail.client import ProviderClient
from bridge.provider.bizmail.members import BizMailMembers, is_short, is_whole
from bridge.provider.bizmail.models import Delta
from bridge.provider.bizmail.rules import DAY_MS, VER_END
from bridge.provider.faults import Busy
from bridge.provider.members import Action, Listing, UserChange
from tests.provider.bare_provider import BareProvider

NOW_S, CURSOR = 1_386_593_148.0, 1_386_593_000_000
LINE = b'{"Action":3,"Alias":"a@x.cn"}'


def answering(provider: BareProvider, *answers: tuple[object, bytes]) -> None:
    """``user/list`` answers with these Vers and lines, one after the other."""
    wires = [b'{"Ver":%b,"Count":%d,"List":[%b]}' % (str(ver).encode(), bool(line), line) for ver, line in answers]
    provider.script["/openapi/user/list"] = deque(wires)


@pytest.mark.parametrize(
    ("count", "unreadable", "short", "whole"),
    [
        (2, 0, False, True),
        (3, 0, True, False),
        (None, 0, False, False),
        (3, 1, True, False),
        (1, 0, False, False),
        (2, 1, True, False),
        (None, 1, True, False),
    ],
)
def test_a_listing_vouches_for_being_whole_by_its_count(
    count: int | None, unreadable: int, short: bool, whole: bool
) -> None:
    """Only then does absence mean something; a delta without a Count may still say what it says."""
    told = Delta(7, (UserChange(Action.ADD, "a@x.cn"), UserChange(Action.ADD, "b@x.cn")), count, unreadable)
    assert (is_short(told), is_whole(told)) == (short, whole)


@pytest.mark.parametrize(
    ("ver", "line", "expected"),
    [
        (CURSOR + 1, LINE, Listing(CURSOR + 1, (UserChange(Action.MOD, "a@x.cn"),), newer=True)),
        (CURSOR + 1, b"", Listing(CURSOR + 1, newer=True)),
        (CURSOR, b"", Listing(CURSOR)),
        (CURSOR - 1, LINE, Listing(0, refused="the answer's Ver is missing or below the cursor", answered=CURSOR - 1)),
        (0, LINE, Listing(0, refused="the answer's Ver is missing or below the cursor", answered=0)),
        ('"x"', LINE, Listing(0, refused="the answer's Ver is missing or below the cursor")),
        (
            int(NOW_S * 1000) + DAY_MS + 1,
            LINE,
            Listing(
                0,
                refused="the answer's Ver is more than a day ahead",
                answered=int(NOW_S * 1000) + DAY_MS + 1,
                newer=True,
            ),
        ),
    ],
)
async def test_what_a_listing_of_changes_is_worth(
    provider: BareProvider, client: ProviderClient, ver: object, line: bytes, expected: Listing
) -> None:
    """By its Ver: whether it can be used at all, and whether it goes beyond the cursor, empty or not."""
    answering(provider, (ver, line))
    assert await BizMailMembers(client).changes(CURSOR, announced=0, now_s=NOW_S) == expected


async def test_an_answer_that_a_push_outran_is_waited_for(provider: BareProvider, client: ProviderClient) -> None:
    """For as long as the pauses last; without a push nobody waits."""
    members = BizMailMembers(client, lag_waits_s=(0, 0), short_waits_s=())
    answering(provider, (CURSOR, b""), (CURSOR, b""), (CURSOR + 7, LINE))
    listing = await members.changes(CURSOR, announced=CURSOR + 7, now_s=NOW_S)
    assert (listing.ver, len(listing.changes)) == (CURSOR + 7, 1)
    answering(provider, (CURSOR, b""), (CURSOR + 7, LINE))
    assert await members.changes(CURSOR, announced=CURSOR, now_s=NOW_S) == Listing(CURSOR)


async def test_a_refusal_of_the_cursor_is_an_answer_one_of_us_is_none(
    provider: BareProvider, client: ProviderClient
) -> None:
    """Whoever is refused because he asks from then may ask for everybody; whoever asks too often may not."""
    refusals = [b'{"errcode":"1999","error":"ver"}', *[b'{"errcode":"1002","error":"busy"}'] * 4]
    provider.script["/openapi/user/list"] = deque(refusals)
    members = BizMailMembers(client)
    refused = await members.changes(CURSOR, announced=0, now_s=NOW_S)
    assert refused == Listing(0, refused="the provider refuses the Ver with errcode 1999")
    with pytest.raises(Busy):
        await members.changes(CURSOR, announced=0, now_s=NOW_S)


@pytest.mark.parametrize(
    ("stored", "cursor"),
    [
        (str(CURSOR), CURSOR),
        ("1", 1),
        *((text, None) for text in ("0", "-1", "", None, str(VER_END), "9" * 5000, " 1", "1.5")),
    ],
)
async def test_which_stored_cursor_is_one(client: ProviderClient, stored: str | None, cursor: int | None) -> None:
    """One that the provider can have given; with any other everybody is asked for."""
    assert BizMailMembers(client).cursor_of(stored) == cursor
