"""From a caller's values to the form that is sent, every name and every value checked first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from ..faults import BadParameter
from .endpoints import Endpoint
from .parameters import Parameter

_QUOTED_MOST: Final = 80
"""Characters of a refused value that an error shows."""
_NO_SERIES: Final = (str, bytes, bytearray, Mapping)


def fill(endpoint: Endpoint, values: Mapping[str, object]) -> list[tuple[str, str]]:
    """The form of a call; ``values`` by the client's names, ``None`` for what is not sent.

    Several values are anything but text, bytes and a mapping that can be gone over. None of them is sent as one empty
    value where a parameter may be empty: it is how a field is emptied. A name that the endpoint does not know is
    refused: to drop it would say "done" of something that was never asked.

    Raises:
        BadParameter: the first name or value that breaks a rule.
    """
    _check_names(endpoint, values)
    hashed = _is_hashed(endpoint, values)
    form = [] if endpoint.action is None else [("Action", str(int(endpoint.action)))]
    for parameter in endpoint.parameters:
        value = values.get(parameter.key)
        if value is not None:
            form += _pairs(endpoint, parameter, value, hashed=hashed)
        elif parameter.required:
            raise BadParameter(parameter.name, "is missing", endpoint.section)
    return form


def series(value: object) -> list[object]:
    """The values that are given at once, which is one where the value cannot be gone over."""
    return [value] if isinstance(value, _NO_SERIES) or not isinstance(value, Iterable) else list(value)


def _check_names(endpoint: Endpoint, values: Mapping[str, object]) -> None:
    known = [parameter.key for parameter in endpoint.parameters]
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise BadParameter(name, f"is no parameter of {endpoint.method}{meant}", endpoint.section)


def _is_hashed(endpoint: Endpoint, values: Mapping[str, object]) -> bool:
    """Whether the form will say that its password is a digest; that without a password would change nothing."""
    md5 = next((each for each in endpoint.parameters if each.key == "md5"), None)
    if md5 is None or values.get("md5") is None:
        return False
    hashed = _pairs(endpoint, md5, values["md5"], hashed=False) == [(md5.name, "1")]
    if hashed and values.get("password") is None:
        raise BadParameter(md5.name, "says how a Password is given, and there is none", endpoint.section)
    return hashed


def _pairs(endpoint: Endpoint, parameter: Parameter, value: object, *, hashed: bool) -> list[tuple[str, str]]:
    given = series(value)
    if parameter.most is not None and len(given) > parameter.most:
        raise BadParameter(parameter.name, f"may be given {parameter.most} times at most", endpoint.section)
    rule = parameter.hashed if hashed and parameter.hashed is not None else parameter.rule
    sent = []
    for each in given or [""]:
        text = _text(endpoint, parameter, each)
        try:
            text.encode()
            sent.append(rule(text))
        except UnicodeEncodeError:
            why = "must be text that UTF-8 can write; was it typed in another encoding?"
            raise BadParameter(parameter.name, why, endpoint.section) from None
        except ValueError as error:
            # Without the cause: a traceback would show what a rule was given.
            quoted = "" if parameter.secret or not text.strip() else f", not {_cut(text)!r}"
            raise BadParameter(parameter.name, f"{error}{quoted}", endpoint.section) from None
    sent = [text for text in sent if text not in parameter.unsaid]
    return [(parameter.name, text) for text in ([",".join(sent)] if parameter.joined else sent)]


def _text(endpoint: Endpoint, parameter: Parameter, value: object) -> str:
    """The text of a value. What is neither text nor number is some mistake, whose ``repr`` nobody wants to be sent."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and (parameter.choices == ("0", "1") or not isinstance(value, bool)):
        return str(int(value))
    raise BadParameter(parameter.name, f"must be text or a number, not {type(value).__name__}", endpoint.section)


def _cut(text: str) -> str:
    return text if len(text) <= _QUOTED_MOST else f"{text[:_QUOTED_MOST]}…"
