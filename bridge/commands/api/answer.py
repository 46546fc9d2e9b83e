"""Show what the provider answered, to a person or a program, and explain why it refused."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import msgspec

from bridge.commands.leader import shown, shown_json
from bridge.events import timestamp, to_json
from bridge.provider.bizmail.endpoints import Endpoint
from bridge.provider.bizmail.models import AddressCheck, AuthKey, Delta
from bridge.provider.faults import (
    PERHAPS_DONE,
    AddressNotAllowed,
    Busy,
    CredentialsRefused,
    InvalidToken,
    NotFound,
    ProviderAway,
    ProviderError,
    ProviderRefused,
)
from bridge.provider.members import Profile
from bridge.provider.pushes import Push, Unreadable

Rows = list[tuple[str, ...]]

_BY_CODE: Final = {
    "1001": "a parameter is wrong or missing",
    "1303": "a password has 6 to 32 characters",
    "1304": "the address exists already",
    "1310": "there is no such department; one that was just added takes a second to exist",
}


@dataclass(frozen=True, slots=True)
class ToldToken:
    """What may be shown of a token. ``fetched``: it was fetched for this call, which proves client id and secret."""

    expires_at: float
    fetched: bool


def to_object(answer: object) -> Any:
    """An answer as a value for JSON."""
    match answer:
        case None:
            return {"done": True}
        case ToldToken():
            return {"expires_at": timestamp(answer.expires_at), "fetched": answer.fetched}
        case AuthKey():
            return {"auth_key": answer.value}
        case Delta():
            changes = [{"action": change.action.name, "alias": change.alias} for change in answer.changes]
            return {"ver": answer.ver, "count": answer.count, "unreadable": answer.unreadable, "changes": changes}
        case Profile():
            return asdict(answer)
        case tuple():
            return [_line(each) for each in answer]
        case int():
            return {"unread": answer}
        case _:
            return {"value": answer}


def _line(item: object) -> object:
    return {"email": item.email, "kind": item.kind.name.lower()} if isinstance(item, AddressCheck) else item


def to_rows(answer: object) -> tuple[tuple[str, ...], Rows]:
    """The headings and lines of an answer; no headings if the lines need none."""
    match answer:
        case None:
            return (), [("done",)]
        case ToldToken(fetched=True):
            return (), [("client id and secret are right; the token is used until", timestamp(answer.expires_at))]
        case ToldToken():
            said = "nobody was asked, --anew asks with client id and secret; the token of all programs is used until"
            return (), [(said, timestamp(answer.expires_at))]
        case AuthKey():
            return (), [(answer.value,)]
        case Delta():
            return ("action", "alias"), [(change.action.name, change.alias) for change in answer.changes]
        case Profile():
            return (), [(field.name, _cell(getattr(answer, field.name))) for field in fields(answer)]
        case (AddressCheck(), *_):
            return ("email", "is"), [(c.email, c.kind.name.lower()) for c in answer if isinstance(c, AddressCheck)]
        case tuple():
            return (), [(str(each),) for each in answer]
        case _:
            return (), [(str(answer),)]


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)


def show(answer: object, *, as_json: bool) -> None:
    """Print an answer: as JSON; as aligned columns on a terminal; otherwise with tabs and without headings."""
    if as_json:
        sys.stdout.write(shown_json(to_json(to_object(answer))).decode() + "\n")
        return
    headings, rows = to_rows(answer)
    rows = [tuple(map(shown, row)) for row in rows]
    if sys.stdout.isatty():
        lines = aligned([headings, *rows] if headings else rows)
    else:
        lines = ["\t".join(row) for row in rows]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if isinstance(answer, Delta):
        sys.stderr.write(f"exmail-bridge: {len(answer.changes)} accounts, Ver {answer.ver}\n")


def show_push(push: Push) -> None:
    """Print one push as a line of JSON, at once."""
    body: dict[str, Any] = (
        {"reason": push.reason, "bytes": len(push.document)}
        if isinstance(push, Unreadable)
        else msgspec.to_builtins(push)
    )
    sys.stdout.write(shown_json(to_json({"push": type(push).__name__, **body})).decode() + "\n")
    sys.stdout.flush()


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with aligned columns for a terminal, where a Chinese character is two cells wide."""
    rows = list(rows)
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text + " " * (width - cells(text)) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def cells(text: str) -> int:
    """The width of a text in cells of a terminal."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )


def in_words(error: ProviderError, endpoint: Endpoint) -> str:
    """Why there is no answer, in one line; with the errcode, so that it can be searched for."""
    match error:
        case AddressNotAllowed():
            return str(error)
        case ProviderRefused():
            said = f" {error.text!r}" if error.text else ""
            code = f"errcode {error.errcode}{said}" if error.errcode else f"it says{said}"
            return f"{error.endpoint}: {_why(error)} ({code})"
        case ProviderAway(sent=False) if endpoint.writes:
            return f"{error}; nothing was done"
        case ProviderAway() if not endpoint.repeatable and error.endpoint == endpoint.name:
            return str(error) if PERHAPS_DONE in str(error) else f"{error}; {PERHAPS_DONE}"
        case _:
            return str(error)


def _why(error: ProviderRefused) -> str:
    match error:
        case NotFound():
            return "there is no such account or address"
        case Busy():
            return "the provider is busy, try again later"
        case InvalidToken():
            return "the provider refuses a token that it has just given; does another program fetch them?"
        case CredentialsRefused():
            return "the provider refuses client id and secret"
        case _:
            return _BY_CODE.get(error.errcode, "the provider refuses")
