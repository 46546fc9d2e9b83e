"""What an answer is: yes, no, or neither (protocol 2.3, 3; provider-in-practice 1, 3).

Pure. The provider says no with HTTP status 200 and an errcode, and yes to a write with an empty body, so whatever else
stands in its place (a proxy's page, a gateway's JSON, an error in other words) looks much like a success. A write has
succeeded only where that was said; a read, where what was asked for is in the answer (``answers`` looks for it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ..faults import CODE_MOST, OutcomeUnknown, ProviderAway, ProviderRefused, UnreadableAnswer, plain
from . import endpoints
from .documents import NotJson, fold_keys, read_json, to_int, to_text
from .endpoints import Endpoint
from .errcodes import refusal

_NO_JSON: Final = object()


def judge(endpoint: Endpoint, *, status: int, body: bytes, secrets: Sequence[str] = ()) -> dict[str, Any]:
    """The object of an answer that is no refusal, keys trimmed and lower-cased; empty where a write succeeded.

    ``secrets`` are what was sent and must not come back in the text of an error.

    Raises:
        ProviderRefused: it says no.
        ProviderAway: an HTTP status other than 200 without a word of the provider's own.
        UnreadableAnswer: to a read, and no JSON object.
        OutcomeUnknown: to a write, and neither yes nor no.
    """
    value = _read(body)
    answer = fold_keys(value) if isinstance(value, dict) else {}
    refused = read_refusal(answer, endpoint, secrets)
    # An OAuth server says "no" with 400 or 401; elsewhere a status other than 200 is the provider's own only with a
    # code of its own.
    if refused is not None and (status == 200 or refused.errcode or (_is_token(endpoint) and status in (400, 401))):
        try:
            raise refused
        finally:
            # Its traceback refers to this call: a circle that Python's collector has to find, and where thousands are
            # gone, it stops the worker for that twice a second.
            del refused
    if status != 200:
        raise ProviderAway(endpoint.name, endpoint.without_answer(f"unexpected HTTP {status}"), status=status)
    if endpoint.writes:
        # Keys that fall together may contradict each other.
        if not _says_yes(value, answer) or (isinstance(value, dict) and len(answer) < len(value)):
            why = f"{_kind(value, body)} where an empty answer says yes"
            raise OutcomeUnknown(endpoint.name, endpoint.without_answer(why))
        return {}
    if not isinstance(value, dict):
        raise UnreadableAnswer(endpoint.name, f"{_kind(value, body)} where an object belongs")
    return answer


def read_refusal(answer: Mapping[str, Any], endpoint: Endpoint, secrets: Sequence[str] = ()) -> ProviderRefused | None:
    """The refusal that an answer is, if it is one: by its errcode, its error, or a Ret that is not 0."""
    errcode, error = answer.get("errcode"), answer.get("error")
    # errcode 0 is how the successor API says yes, and it has words beside it.
    says_yes = to_int(errcode) == 0
    said = plain(to_text(error) or to_text(answer.get("errmsg")) or "", secrets)
    if not says_yes and not _is_nothing(errcode):
        code = plain(to_text(errcode) or type(errcode).__name__, secrets)[:CODE_MOST]
        return refusal(code, said, endpoint.name)
    if (ret := to_int(answer.get("ret"))) is not None and ret != 0:
        return refusal("", f"Ret {ret}", endpoint.name)
    return None if says_yes or _is_nothing(error) else refusal("", said, endpoint.name)


def _read(body: bytes) -> Any:
    """What a body holds: an empty one an empty object, which is how writes succeed."""
    if not body.strip():
        return {}
    try:
        return read_json(body)
    except NotJson:
        return _NO_JSON


def _says_yes(value: Any, answer: Mapping[str, Any]) -> bool:
    return value is None or value == {} or to_int(answer.get("errcode")) == 0 or to_int(answer.get("ret")) == 0


def _is_nothing(value: Any) -> bool:
    """Whether a mark of an error is absent: a name alone is none."""
    return not value.strip() if isinstance(value, str) else value in (None, False, [], {})


def _is_token(endpoint: Endpoint) -> bool:
    return endpoint is endpoints.TOKEN


def _kind(value: Any, body: bytes) -> str:
    if value is _NO_JSON:
        return f"{len(body)} bytes that are no JSON"
    return "an empty body" if not body.strip() else f"JSON of the type {type(value).__name__}"
