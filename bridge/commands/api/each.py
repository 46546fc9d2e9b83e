"""One call for each row of a file, for what can only be read, or only be written and not be read back.

Groups are in no answer of the provider, so nothing can be compared: each row is sent, and a row whose outcome is not
known is told and not repeated. Who is a member already stays one, so a run that was stopped can be started again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bridge.commands.api.answer import in_words
from bridge.commands.api.ending import ending_of, facts_of
from bridge.commands.api.pause import DOUBTS_MOST, GaveUp, Pause, is_doubtful, is_later
from bridge.commands.api.report import Result
from bridge.provider.bizmail.endpoints import Endpoint
from bridge.provider.bizmail.form import fill
from bridge.provider.faults import (
    CONCERNS_ALL,
    CallerFault,
    NotFound,
    NotUsable,
    OutcomeUnknown,
    ProviderAway,
    ProviderError,
)

if TYPE_CHECKING:
    from bridge.provider.bizmail.client import ProviderClient

_SUBJECT: Final = ("alias", "group", "party", "emails")


@dataclass(frozen=True, slots=True)
class Call:
    """What one row asks for."""

    line: int
    of: str
    values: Mapping[str, object] = field(repr=False)


def call_of(line: int, endpoint: Endpoint, values: Mapping[str, object]) -> Call:
    """The call that a row asks for, every value checked.

    Raises:
        BadParameter: a value breaks a rule of the document.
    """
    fill(endpoint, values)
    subject = next((values[key] for key in _SUBJECT if key in values), "")
    return Call(line, ", ".join(map(str, subject)) if isinstance(subject, list) else str(subject), values)


async def make(client: ProviderClient, pause: Pause, endpoint: Endpoint, call: Call) -> Result:
    """Make one call; return what came of it."""

    async def once() -> object:
        answer: object = await getattr(client, endpoint.method)(**call.values)
        return answer

    try:
        if endpoint.repeatable:
            answer = await pause.ask(once)
        else:
            answer = await _written(pause, once)
    except GaveUp as gave_up:
        return _failed(call, endpoint, gave_up.error, stops=True, gave_up=True)
    except ProviderError as error:
        return _failed(call, endpoint, error, stops=isinstance(error, (*CONCERNS_ALL, NotUsable)))
    return Result(call.line, call.of, "send" if endpoint.writes else "found", answer=answer)


async def _written(pause: Pause, once: Callable[[], Awaitable[object]]) -> object:
    """Send what cannot be looked at afterwards: again only where it was certainly not done.

    Raises:
        GaveUp: put off for too long, or several rows in succession are left open.
        ProviderError: the row's own.
    """
    doubts = 0
    while True:
        began = await pause.turn()
        try:
            answer = await once()
        except (NotFound, CallerFault):
            pause.settled()
            raise
        except ProviderError as error:
            if not (is_later(error) or is_doubtful(error)):
                raise
            pause.put_off(error, began=began)
            doubts += is_doubtful(error)
            is_open = isinstance(error, OutcomeUnknown) or (isinstance(error, ProviderAway) and error.sent)
            if is_open or doubts >= DOUBTS_MOST:
                pause.left_open(error)
                raise
        else:
            pause.settled()
            return answer


def _failed(call: Call, endpoint: Endpoint, error: ProviderError, *, stops: bool, gave_up: bool = False) -> Result:
    ending = ending_of(error, gave_up=gave_up)
    said = in_words(error, endpoint)
    return Result(call.line, call.of, ending=ending, error=said, facts=facts_of(error), stops=stops)
