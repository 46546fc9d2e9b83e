"""The words in which events, frames and answers are described: JSON Schema (draft 2020-12), in pieces.

Objects allow members that are not described here, because new ones may come; readers ignore what they do not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
POSITION: Final = r"^[a-z0-9]{8}-(0|[1-9][0-9]{0,17})$"

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object; ``always``: no such object is without it."""

    name: str
    schema: Schema
    always: bool = True


def record(meaning: str, *members: Member) -> Schema:
    """An object."""
    return {
        "type": "object",
        "description": meaning,
        "properties": {member.name: member.schema for member in members},
        "required": [member.name for member in members if member.always],
    }


def always(name: str, schema: Schema) -> Member:
    return Member(name, schema)


def sometimes(name: str, schema: Schema) -> Member:
    return Member(name, schema, always=False)


def text(meaning: str, *, most: int | None = None, known: tuple[str, ...] = (), **more: Any) -> Schema:
    """A text of at most ``most`` characters. ``known``: values that it has today; others may come."""
    schema: Schema = {"type": "string", "description": meaning, **more}
    if most is not None:
        schema["maxLength"] = most
    if known:
        schema["examples"] = list(known)
    return schema


def choice(meaning: str, *values: str) -> Schema:
    """A text out of a closed set."""
    return {"type": "string", "description": meaning, "enum": list(values)}


def constant(value: str) -> Schema:
    return {"type": "string", "const": value}


def whole(meaning: str, *, least: int = 0, **more: Any) -> Schema:
    return {"type": "integer", "description": meaning, "minimum": least, **more}


def moment(meaning: str) -> Schema:
    """A time as epoch milliseconds."""
    return whole(f"{meaning} Epoch milliseconds.")


def flag(meaning: str) -> Schema:
    return {"type": "boolean", "description": meaning}


def listing(meaning: str, items: Schema, *, most: int | None = None) -> Schema:
    return {"type": "array", "description": meaning, "items": items} | ({} if most is None else {"maxItems": most})


def or_null(schema: Schema) -> Schema:
    """The same, or null where it is not known."""
    return {**schema, "type": [schema["type"], "null"]}


def bare(schema: Schema) -> Schema:
    """A schema without its dialect, for a document that says it for all."""
    return {name: value for name, value in schema.items() if name != "$schema"}


def position(meaning: str) -> Schema:
    """A place in a stream; clients keep it as a text and do not take it apart."""
    return text(meaning, pattern=POSITION)


def address(meaning: str) -> Schema:
    """A mail address as the bridge writes it: trimmed, ASCII letters in lower case."""
    return text(meaning, pattern=r"^[^\s@]+@[^\s@/]+$")
