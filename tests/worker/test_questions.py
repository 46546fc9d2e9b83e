"""What is said of answers about members that cannot be used, and how often."""

from __future__ import annotations

import pytest

from bridge.provider.members import Listing
from bridge.worker.answer import Answer
from bridge.worker.guard import Guard
from bridge.worker.known import Known
from bridge.worker.notices import Applied, Notices
from bridge.worker.questions import Questions
from bridge.worker.registrar import Registrar
from bridge.worker.scribe import Scribe
from tests.support.workers import Told

from .conftest import Parts, nothing_waits

WHOLE, SHORT = Answer(Listing(7)), Answer(Listing(7, short="one of two", settled=False))
SHORT_FOR_GOOD = Answer(Listing(7, short="one of two"))
OUTCOMES = ("changed", "unchanged", "short", "held", "refused")
REFUSED, OTHERWISE = Listing(0, refused="no Ver"), Listing(0, refused="below", answered=3)


@pytest.fixture
async def questions(parts: Parts) -> Questions:
    known = Known({}, parts.metrics, cursor_of=parts.members.cursor_of)
    await known.read(parts.mirror)
    notices = Notices("exmail", parts.wall)
    registrar = Registrar(
        Scribe(await parts.writer(), known, settled=nothing_waits),
        parts.mirror,
        notices,
        Guard(),
        appeared=parts.appeared.append,
    )
    return Questions(parts.members, registrar, parts.metrics, wall=parts.wall)


async def said(questions: Questions, *answers: Answer | Listing) -> list[bool]:
    """After each of these: whether it could be used."""
    usable = []
    for each in answers:
        if isinstance(each, Listing):
            await questions.refused("delta", each)
        else:
            await questions.applied("delta", each, Applied(), moved=True)
        usable.append(questions.usable)
    return usable


async def test_what_cannot_be_used_is_asked_again_sooner(questions: Questions) -> None:
    """Until an answer can: one that is short, too, if asking again brings nothing better."""
    usable = await said(questions, WHOLE, REFUSED, SHORT, SHORT_FOR_GOOD, REFUSED, WHOLE)
    assert usable == [True, False, False, True, False, True]


async def test_the_same_refusal_is_announced_once_until_an_answer_is_whole(questions: Questions, told: Told) -> None:
    """However often it comes; another one is news, and so is the same after all was well."""
    await said(questions, REFUSED, REFUSED)
    assert len(await told.data("directory.held")) == 1
    await said(questions, OTHERWISE, OTHERWISE)
    assert len(await told.data("directory.held")) == 2
    await said(questions, WHOLE, OTHERWISE)
    assert [each["why"] for each in await told.data("directory.held")] == ["no Ver", "below", "below"]
    await said(questions, SHORT_FOR_GOOD, SHORT_FOR_GOOD)
    assert [each["why"] for each in await told.data("directory.held")][3:] == ["one of two"]


async def test_each_answer_is_counted_by_what_came_of_it(questions: Questions, parts: Parts) -> None:
    """Held comes before short, and an answer that changes nothing is no change."""
    for answer, counts, moved in (
        (WHOLE, Applied(), True),
        (WHOLE, Applied(), False),
        (SHORT, Applied(), True),
        (SHORT, Applied(held=1), True),
    ):
        await questions.applied("delta", answer, counts, moved=moved)
    counted = {each: parts.metric("directory_syncs_total", kind="delta", outcome=each) for each in OUTCOMES}
    assert counted == {"changed": 1, "unchanged": 1, "short": 1, "held": 1, "refused": 0}
