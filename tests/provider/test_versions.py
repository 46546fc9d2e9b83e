"""Which numbers are believed as a Ver, wherever one comes in."""

from __future__ import annotations

import time

import pytest

from bridge.provider.bizmail import answers, endpoints
from bridge.provider.bizmail.form import fill
from bridge.provider.bizmail.pushes import parse_push
from bridge.provider.bizmail.rules import DAY_MS, VER_END, is_far_ahead, is_ver
from bridge.provider.faults import BadParameter
from bridge.provider.pushes import MailArrived, Unreadable, VersionChanged
from tests.provider.bare_provider import BareProvider
from tests.provider.listening import Listen, framed

NONE = [-1, 0, VER_END, 10**19, -(10**18)]


@pytest.mark.parametrize("number", [1, 1386593148546, VER_END - 1])
def test_a_version_comes_in_as_it_goes_out(number: int) -> None:
    """What an answer or a push gave can be asked with."""
    assert is_ver(number)
    assert answers.read_delta({"ver": str(number), "list": []}).ver == number
    assert parse_push(b'{"Ver":%d}' % number) == (VersionChanged(number),)
    assert fill(endpoints.USER_LIST, {"ver": number}) == [("Ver", str(number))]


@pytest.mark.parametrize("number", NONE)
def test_what_can_be_no_version_is_none(number: int) -> None:
    """It becomes no cursor: as one, the provider could never be asked with it again."""
    assert not is_ver(number)
    assert not answers.read_delta({"ver": number, "list": []}).ver
    document = b'{"Ver":%d}' % number
    assert parse_push(document) == (Unreadable("unknown-shape", document),)
    if number:
        with pytest.raises(BadParameter):
            fill(endpoints.USER_LIST, {"ver": number})


def test_no_number_is_no_version() -> None:
    """An answer without a Ver has none."""
    assert not is_ver(None)


def test_a_day_ahead_is_the_bound() -> None:
    """Of whichever is later, our clock or the cursor: a clock that is wrong stops nothing that was believed before."""
    assert not is_far_ahead(1000 + DAY_MS, now_s=1)
    assert is_far_ahead(1001 + DAY_MS, now_s=1)
    assert not is_far_ahead(5000 + DAY_MS, now_s=1, cursor=5000)


async def test_a_pushed_version_far_ahead_is_no_news(provider: BareProvider, listen: Listen) -> None:
    """It tells of nothing that would be asked after at once, and is kept for inspection; a mail beside it is one."""
    ahead = b'{"Ver":%d}' % (int(time.time() * 1000) + 2 * DAY_MS)
    async with listen(ver=1386593148546) as listening:
        request = await provider.listen()
        await request.send(framed(ahead))
        await listening.gave(Unreadable("unknown-shape", ahead))
        assert provider.listens.empty()
        both = b'{"UserName":"a@x","MailId":"m",' + ahead[1:]
        await request.send(framed(both))
        mail = MailArrived("a@x", "m", None, None, None, None, None)
        await listening.gave(mail, Unreadable("unknown-shape", both))


async def test_a_pushed_version_far_ahead_is_not_asked_with(provider: BareProvider, listen: Listen) -> None:
    """Listen goes on with the cursor."""
    ahead = b'{"Ver":%d}' % (int(time.time() * 1000) + 2 * DAY_MS)
    async with listen(ver=1386593148546, settle_s=0.01):
        for _ in range(3):
            request = await provider.listen()
            assert request.form == {"Ver": "1386593148546"}
            await request.send(framed(ahead))


async def test_a_pushed_version_of_today_is_asked_with(provider: BareProvider, listen: Listen) -> None:
    """Also where the directory has not followed it yet."""
    now_ms = int(time.time() * 1000)
    async with listen(ver=1386593148546) as listening:
        request = await provider.listen()
        await request.send(framed(b'{"Ver":%d}' % now_ms))
        await listening.gave(VersionChanged(now_ms))
        assert (await provider.listen()).form == {"Ver": str(now_ms)}


async def test_a_cursor_that_can_be_none_is_not_asked_with(provider: BareProvider, listen: Listen) -> None:
    """Whoever stored it: listening goes on, from the beginning."""
    async with listen(ver=10**18):
        assert (await provider.listen()).form == {"Ver": "0"}
