"""Read the answers of calls that were not refused (protocol 2.3, 3.3): what the wire says, as our types.

Pure functions over an object whose keys are folded already. What the provider may leave out has a value; what an
answer cannot do without raises, because a listing that silently came out short would delete accounts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from ..faults import UnreadableAnswer
from ..members import Action, Profile, UserChange
from . import endpoints
from .documents import fold_keys, to_int, to_text
from .endpoints import Endpoint
from .models import AddressCheck, AddressKind, AuthKey, Delta
from .rules import is_ver
from .token import Token, usable_until

ASSUMED_LIFE_S: Final = 3600
LONGEST_LIFE_S: Final = 30 * 86_400
"""Seconds; beyond it a number is no time that anybody can store, and a token that old is worth a new one."""

LONGEST_KEY: Final = 4096
"""Characters of a token or auth key; those that were seen have about a hundred."""


def read_token(answer: Mapping[str, Any], *, fetched_at: float) -> Token:
    """Read the token answer (protocol 2.3); ``expires_in`` is obeyed, up to a month.

    Without a life that can be, as OAuth allows, it is used for an hour: one that ends sooner is refused and renewed.
    """
    # The printed example has blanks in its token; none belong there, and a header may not carry a line end.
    value = "".join((to_text(answer.get("access_token")) or "").split())
    life_s = to_int(answer.get("expires_in"))
    if not _is_key(value):
        raise UnreadableAnswer(endpoints.TOKEN.name, "no access_token that can be used")
    life_s = min(life_s, LONGEST_LIFE_S) if life_s is not None and life_s > 0 else ASSUMED_LIFE_S
    return Token(value, usable_until(fetched_at=fetched_at, life_s=life_s))


def read_auth_key(answer: Mapping[str, Any]) -> AuthKey:
    """Read ``mail/authkey`` (protocol 3.1.1), by the name that the server uses or either that the document prints."""
    for name in ("auth_key", "authkey", "kuthkey"):
        # The printed example is broken over two lines and ends in a blank.
        value = "".join((to_text(answer.get(name)) or "").split())
        if _is_key(value):
            return AuthKey(value)
    raise UnreadableAnswer(endpoints.AUTHKEY.name, "no auth key that can be used")


def _is_key(value: str) -> bool:
    """Whether a header or an address can carry it."""
    return 0 < len(value) <= LONGEST_KEY and value.isascii() and value.isprintable()


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
        # A 0 is passed on as it is; whoever looks for a cursor knows that it is none.
        ver=ver if ver == 0 or is_ver(ver) else None,
        changes=tuple(changes),
        count=count,
        unreadable=len(lines) - len(changes),
    )


def _action(value: Any) -> Action:
    """An unknown or missing action is a change; ``user/get`` says what the account is now."""
    number = to_int(value)
    return Action(number) if number in (1, 2, 3) else Action.MOD


def read_profile(answer: Mapping[str, Any]) -> Profile:
    """Read ``user/get`` (protocol 3.3.1). What does not say whose profile it is is none."""
    endpoint = endpoints.USER_GET
    if not (alias := _text(answer, "alias")):
        raise UnreadableAnswer(endpoint.name, "no Alias")
    status = answer.get("status")
    return Profile(
        alias=alias,
        name=_text(answer, "name"),
        gender=_one_or_two(answer.get("gender")),
        slaves=_addresses(answer.get("slavelist")),
        position=_text(answer, "position"),
        tel=_text(answer, "tel"),
        mobile=_text(answer, "mobile"),
        ext_id=_text(answer, "extid"),
        parties=_paths(answer.get("partylist")),
        open_type=_one_or_two(answer.get("opentype")),
        status=status if isinstance(status, int | str) and not isinstance(status, bool) else None,
    )


def _one_or_two(value: Any) -> Literal[0, 1, 2]:
    match to_int(value):
        case 1:
            return 1
        case 2:
            return 2
        case _:
            return 0


def _addresses(value: Any) -> tuple[str, ...]:
    return tuple(part for text in _values(value, endpoints.USER_GET) for part in _parts(text))


def _paths(value: Any) -> tuple[str, ...]:
    """Departments: a text has commas between them, in a list each stands alone and may have a comma in its name."""
    if isinstance(value, str):
        return _parts(value)
    return tuple(text for each in _values(value, endpoints.USER_GET) if (text := each.strip()))


def read_newcount(answer: Mapping[str, Any]) -> int:
    """Read ``mail/newcount`` (protocol 3.3.4); the count was seen as text and as number."""
    count = to_int(answer.get("newcount"))
    if count is None or count < 0:
        raise UnreadableAnswer(endpoints.NEWCOUNT.name, "no NewCount that can be used")
    return count


def read_values(answer: Mapping[str, Any], endpoint: Endpoint) -> tuple[str, ...]:
    """Read ``party/list`` or ``partyuser/list`` (protocol 3.3.6, 3.3.7)."""
    _lines(answer, endpoint)
    return tuple(text for each in _values(answer, endpoint) if (text := each.strip()))


def read_checks(answer: Mapping[str, Any], *, asked: Sequence[str]) -> tuple[AddressCheck, ...]:
    """Read ``user/check`` (protocol 3.3.8), each address that was ``asked`` for.

    A number that means nothing to us, or no answer, must not pass for "free".
    """
    checks = []
    for line in _lines(answer, endpoints.USER_CHECK):
        item = fold_keys(line) if isinstance(line, dict) else {}
        kind = to_int(item.get("type"))
        if not (email := _text(item, "email")) or kind not in list(AddressKind):
            raise UnreadableAnswer(endpoints.USER_CHECK.name, "a line without an Email or a Type that is known")
        checks.append(AddressCheck(email, AddressKind(kind)))
    answered = {check.email.lower() for check in checks}
    if missing := sum(email.strip().lower() not in answered for email in asked):
        raise UnreadableAnswer(endpoints.USER_CHECK.name, f"no line for {missing} of {len(asked)} addresses")
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


def _values(value: Any, endpoint: Endpoint) -> list[str]:
    """The texts in a list field: ``{"Count": n, "List": [{"Value": …}]}``, a list, or a text; all exist.

    No deeper than these are, and nothing is left out in silence: who writes back what came short takes something away.

    Raises:
        UnreadableAnswer: it is something else, or holds fewer than it counts.
    """
    count = None
    if isinstance(value, Mapping):
        folded = fold_keys(value)
        if folded and not folded.keys() & {"count", "list", "value"}:
            raise UnreadableAnswer(endpoint.name, "an object where a list belongs")
        count, value = to_int(folded.get("count")), folded.get("list", folded.get("value"))
    items = value if isinstance(value, list) else [value]
    texts = [text for item in items if (text := _value(item, endpoint)) is not None]
    if count is not None and len(texts) < count:
        raise UnreadableAnswer(endpoint.name, f"{len(texts)} values where Count says {count}")
    return texts


def _value(item: Any, endpoint: Endpoint) -> str | None:
    """One text, in an object or alone; ``None`` where there is none."""
    value = fold_keys(item).get("value", item or None) if isinstance(item, dict) else item
    if value is not None and (value := to_text(value)) is None:
        raise UnreadableAnswer(endpoint.name, "a list of things that are no text")
    return value


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for piece in text.split(",") if (part := piece.strip()))
