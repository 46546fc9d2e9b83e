"""From a caller's values to the form that is sent, every value checked first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .endpoints import Endpoint
from .errors import BadParameter
from .parameters import Parameter


def fill(endpoint: Endpoint, values: Mapping[str, object]) -> list[tuple[str, str]]:
    """The form of a call; ``values`` by the client's names, ``None`` for what is not sent.

    Several values are anything but text that can be gone over. None of them is sent as one empty value where a
    parameter may be empty: it is how a field is emptied.

    Raises:
        BadParameter: the first value that breaks a rule.
    """
    form = [] if endpoint.action is None else [("Action", str(int(endpoint.action)))]
    for parameter in endpoint.parameters:
        value = values.get(parameter.key)
        if value is not None:
            form += _pairs(endpoint, parameter, value, hashed=values.get("md5") in (True, 1, "1"))
        elif parameter.required:
            raise BadParameter(parameter.name, "is missing", endpoint.section)
    return form


def _pairs(endpoint: Endpoint, parameter: Parameter, value: object, *, hashed: bool) -> list[tuple[str, str]]:
    given = [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)
    if parameter.most is not None and len(given) > parameter.most:
        raise BadParameter(parameter.name, f"may be given {parameter.most} times at most", endpoint.section)
    rule = parameter.hashed if hashed and parameter.hashed is not None else parameter.rule
    sent = []
    for each in given or [""]:
        try:
            sent.append(rule(_text(each)))
        except ValueError as error:
            # Without the cause: a traceback would show what a rule was given.
            quoted = "" if parameter.secret or not _text(each).strip() else f", not {_text(each)!r}"
            raise BadParameter(parameter.name, f"{error}{quoted}", endpoint.section) from None
    return [(parameter.name, text) for text in ([",".join(sent)] if parameter.joined else sent)]


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, int) else str(value)
