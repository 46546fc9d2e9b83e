"""Read the bodies of successful calls (protocol 2.3, 3.3): what the wire says, as our types.

Pure functions over an object whose keys are folded already. What the provider may leave out has a value; what an
answer cannot do without raises, because a listing that silently came out short would delete accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import endpoints
from .documents import NotJson, fold_keys, read_json, to_int, to_text
from .endpoints import Endpoint
from .errors import ProviderRefused, UnreadableAnswer, refusal
from .models import Action, AddressCheck, AddressKind, AuthKey, Delta, Profile, UserChange
from .rules import is_ver
from .token import Token, usable_until


def read_body(body: bytes, endpoint: Endpoint) -> dict[str, Any]:
    """The object in a body, keys trimmed and lower-cased; empty for an empty body, which is how writes succeed.

    Raises:
        UnreadableAnswer: no JSON object.
    """
    if not body.strip():
        return {}
    try:
        value = read_json(body)
    except NotJson:
        raise UnreadableAnswer(endpoint.name, f"{len(body)} bytes that are no JSON") from None
    if not isinstance(value, dict):
        raise UnreadableAnswer(endpoint.name, f"JSON, but {type(value).__name__} where an object belongs")
    return fold_keys(value)


def read_refusal(answer: Mapping[str, Any], endpoint: Endpoint) -> ProviderRefused | None:
    """The refusal that an answer is, if it is one: errors come with HTTP status 200."""
    errcode = (to_text(answer.get("errcode")) or "").strip()
    if errcode in ("", "0"):
        return None
    return refusal(errcode, to_text(answer.get("error")) or to_text(answer.get("errmsg")) or "", endpoint.name)


def read_token(answer: Mapping[str, Any], *, fetched_at: float) -> Token:
    """Read the token answer (protocol 2.3); ``expires_in`` is obeyed whatever it is."""
    # The printed example has blanks in its token; none belong there, and a header may not carry a line end.
    value = "".join((to_text(answer.get("access_token")) or "").split())
    life_s = to_int(answer.get("expires_in"))
    if not value or not value.isascii() or not value.isprintable():
        raise UnreadableAnswer(endpoints.TOKEN.name, "no access_token that can be used")
    if life_s is None or life_s <= 0:
        raise UnreadableAnswer(endpoints.TOKEN.name, "no expires_in that can be used")
    return Token(value, usable_until(fetched_at=fetched_at, life_s=life_s))


def read_auth_key(answer: Mapping[str, Any]) -> AuthKey:
    """Read ``mail/authkey`` (protocol 3.1.1), by the name that the server uses or either that the document prints."""
    for name in ("auth_key", "authkey", "kuthkey"):
        # The printed example is broken over two lines and ends in a blank.
        value = "".join((to_text(answer.get(name)) or "").split())
        if value and value.isascii() and value.isprintable():
            return AuthKey(value)
    raise UnreadableAnswer(endpoints.AUTHKEY.name, "no auth key that can be used")


def read_delta(answer: Mapping[str, Any]) -> Delta:
    """Read ``user/list`` (protocol 3.3.3)."""
    ver, count = to_int(answer.get("ver")), to_int(answer.get("count"))
    lines = _lines(answer, endpoints.USER_LIST)
    changes: list[UserChange] = []
    for line in lines:
        item = fold_keys(line) if isinstance(line, dict) else {}
        if alias := _text(item, "alias"):
            changes.append(UserChange(_action(item.get("action")), alias))
    return Delta(
        # A 0 is told as it was said; whoever looks for a cursor knows that it is none.
        ver=ver if ver == 0 or is_ver(ver) else None,
        changes=tuple(changes),
        count=count,
        unreadable=len(lines) - len(changes),
    )


def _action(value: Any) -> Action:
    """An action that is unknown or missing is a change of which ``user/get`` will tell the truth."""
    number = to_int(value)
    return Action(number) if number in (1, 2, 3) else Action.MOD


def read_profile(answer: Mapping[str, Any], *, asked: str) -> Profile:
    """Read ``user/get`` (protocol 3.3.1). ``asked`` is the alias that was asked for."""
    if not answer:
        raise UnreadableAnswer(endpoints.USER_GET.name, "an empty answer")
    status = answer.get("status")
    return Profile(
        alias=_text(answer, "alias") or asked,
        name=_text(answer, "name"),
        gender=to_int(answer.get("gender")) or 0,
        slaves=_split(_values(answer.get("slavelist")), ","),
        position=_text(answer, "position"),
        tel=_text(answer, "tel"),
        mobile=_text(answer, "mobile"),
        ext_id=_text(answer, "extid"),
        parties=_split(_values(answer.get("partylist")), ","),
        open_type=to_int(answer.get("opentype")) or 0,
        status=status if isinstance(status, int | str) and not isinstance(status, bool) else None,
    )


def read_newcount(answer: Mapping[str, Any]) -> int:
    """Read ``mail/newcount`` (protocol 3.3.4); the count was seen as text and as number."""
    count = to_int(answer.get("newcount"))
    if count is None or count < 0:
        raise UnreadableAnswer(endpoints.NEWCOUNT.name, "no NewCount that can be used")
    return count


def read_values(answer: Mapping[str, Any], endpoint: Endpoint) -> tuple[str, ...]:
    """Read ``party/list`` or ``partyuser/list`` (protocol 3.3.6, 3.3.7)."""
    return tuple(text for value in _values(_lines(answer, endpoint)) if (text := value.strip()))


def read_checks(answer: Mapping[str, Any]) -> tuple[AddressCheck, ...]:
    """Read ``user/check`` (protocol 3.3.8). A number that means nothing to us must not pass for "free"."""
    checks = []
    for line in _lines(answer, endpoints.USER_CHECK):
        item = fold_keys(line) if isinstance(line, dict) else {}
        kind = to_int(item.get("type"))
        if not (email := _text(item, "email")) or kind not in list(AddressKind):
            raise UnreadableAnswer(endpoints.USER_CHECK.name, "a line without an Email or a Type that is known")
        checks.append(AddressCheck(email, AddressKind(kind)))
    return tuple(checks)


def _lines(answer: Mapping[str, Any], endpoint: Endpoint) -> list[Any]:
    """The List of an answer; it may be missing only where the count says that it is empty."""
    lines = answer.get("list")
    if lines is None and to_int(answer.get("count")) == 0:
        return []
    if not isinstance(lines, list):
        raise UnreadableAnswer(endpoint.name, "no List")
    return lines


def _text(answer: Mapping[str, Any], key: str) -> str:
    return (to_text(answer.get(key)) or "").strip()


def _values(value: Any) -> Iterable[str]:
    """The texts in a list field: a text, a list, or ``{"Count": n, "List": [{"Value": …}]}``; all exist."""
    if isinstance(value, dict):
        folded = fold_keys(value)
        return _values(folded.get("list", folded.get("value")))
    if isinstance(value, list):
        return [text for item in value for text in _values(item)]
    text = to_text(value)
    return [] if text is None else [text]


def _split(texts: Iterable[str], separator: str) -> tuple[str, ...]:
    return tuple(part for text in texts for part in (piece.strip() for piece in text.split(separator)) if part)
