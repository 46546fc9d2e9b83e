"""The HTTP surface of the edge as OpenAPI 3.1: every route, what it takes, and every answer that it may give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.schemas.answers import ANSWERS, KICK
from bridge.schemas.events import EVENT_TYPES
from bridge.schemas.frames import FRAMES
from bridge.schemas.members import Schema, bare

Operation = dict[str, Any]

_AFTER: Final = (
    "Resume after this position, of several mailboxes with commas between; one that cannot be read is taken for one of"
    " another epoch."
)
_STREAMED: Final = [*EVENT_TYPES, *FRAMES]
_REASONS: Final = {
    400: "The request is wrong; the message says what.",
    401: "No credential, or one that proves nothing.",
    403: "Not allowed: the mailbox, the origin, the scope.",
    429: "Too many requests.",
    503: "Busy or shutting down, or Redis does not answer: come again after Retry-After.",
}


def openapi(*, version: str, public_url: str, cookie: str) -> dict[str, Any]:
    """The document; ``public_url`` is where browsers reach the edge (``""``: unknown), ``cookie`` its cookie's name."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Exmail Bridge, edge",
            "version": version,
            "summary": "New mail and unread counts of Tencent Exmail, as they happen.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": public_url.rstrip("/") or "/"}],
        "paths": _paths(),
        "components": {
            "schemas": {name: bare(schema) for name, schema in schemas().items()} | dict(ANSWERS) | {"Kick": KICK},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": cookie},
                "ticket": {"type": "apiKey", "in": "query", "name": "ticket"},
            },
        },
    }


def schemas() -> Mapping[str, Schema]:
    """The schema of each event and frame, by its type."""
    return {type: each.schema for type, each in EVENT_TYPES.items()} | dict(FRAMES)


def _paths() -> dict[str, Any]:
    streams = {"type": "string", "description": f"Each frame is one of {', '.join(_STREAMED)}."}
    paths = {
        "/ws": {
            "get": _asked(
                "A WebSocket; each text frame is an event or a frame of the edge. Refused by a close code.",
                {101: {"description": "The WebSocket is open."}},
                parameters=[_mailboxes(), _query("after", _AFTER)],
                refusals=(400, 403),
            )
        },
        "/events": {
            "get": _asked(
                "An event stream. Asked for with Accept: text/event-stream it answers 200 when it refuses, too.",
                {200: {"description": "The stream.", "content": {"text/event-stream": {"schema": streams}}}},
                parameters=[_mailboxes(), _query("after", _AFTER), _last_event_id()],
                refusals=(401, 403, 429, 503),
            )
        },
        "/unread": {
            "get": _asked("The count of unread mails.", {200: _json("Unread", "The count.")}, parameters=[_mailbox()])
        },
        "/history": {
            "get": _asked(
                "A page of events, oldest first.",
                {200: _json("History", "The page.")},
                parameters=[
                    _mailbox(),
                    _query("after", "Events after this position; without it the newest."),
                    _query("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
                ],
                refusals=(400, 401, 403, 503),
            )
        },
        "/ticket": {
            "post": _asked(
                "A credential for one connection, for a page that cannot use the cookie.",
                {200: _json("Ticket", "The ticket.")},
                security=("bearer", "cookie"),
            )
        },
        "/logout": {
            "post": _asked(
                "End every connection of this session and keep the session out.",
                {204: {"description": "Ended, also if nothing was open."}},
                security=("bearer", "cookie"),
            )
        },
        "/kick": {
            "post": _asked(
                "End connections of a mailbox or session; for the OA's back end, with the scope kick.",
                {204: {"description": "Ended, also if nothing was open."}},
                security=("bearer",),
                refusals=(400, 401, 403, 503),
            )
            | {"requestBody": {"required": True, "content": {"application/json": {"schema": _ref("Kick")}}}}
        },
        "/mail/open": {"get": _opened()},
    }
    return paths | {path: {"get": _served(meaning, kind)} for path, (meaning, kind) in SERVED.items()}


SERVED: Final = {
    "/client.js": ("The browser's client.", "text/javascript"),
    "/client.mjs": ("The browser's client as a module.", "text/javascript"),
    "/client.d.ts": ("The module's types.", "text/plain"),
    "/client.worker.js": ("What the client's tabs share.", "text/javascript"),
    "/openapi.json": ("This document.", "application/json"),
    "/asyncapi.json": ("Channels, stream and sockets as AsyncAPI 3.", "application/json"),
    "/schemas/{name}": ("The JSON Schema of an event or frame: its type, then .json.", "application/schema+json"),
}
"""What is the same for everybody, needs no credential and may be loaded by any page: what it is, and its type."""


def _served(meaning: str, kind: str) -> Operation:
    operation: Operation = {
        "summary": meaning,
        "security": [],
        "responses": {"200": {"description": meaning, "content": {kind: {}}}},
    }
    if kind == "application/schema+json":
        names = [f"{type}.json" for type in _STREAMED]
        operation["parameters"] = [
            {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": names}}
        ]
        operation["responses"]["404"] = _json("Refusal", "No such type.")
    return operation


def _opened() -> Operation:
    operation = _asked(
        "A click: opens a mail, or the inbox, in the provider's web mail. For navigations of people, not for scripts.",
        {302: {"description": "To the provider's login.", "headers": {"Location": {"schema": {"type": "string"}}}}},
        parameters=[_mailbox(), _query("mailid", "The mail_id of the mail; without it the inbox.")],
        refusals=(400, 401, 403, 404, 429, 502, 503),
    )
    for status, answer in operation["responses"].items():
        if status != "302":
            answer["content"] = {**answer["content"], "text/html": {}}
    operation["responses"]["404"]["description"] = "No such mailbox at the provider, or clicks are not served here."
    operation["responses"]["502"]["description"] = "The provider does not let anybody in now."
    return operation


def _asked(
    meaning: str,
    answers: Mapping[int, dict[str, Any]],
    *,
    parameters: list[dict[str, Any]] | None = None,
    refusals: tuple[int, ...] = (401, 403, 503),
    security: tuple[str, ...] = ("bearer", "ticket", "cookie"),
) -> Operation:
    """A request that needs a credential."""
    refused = {status: _json("Refusal", _REASONS.get(status, "")) for status in refusals}
    for status, answer in refused.items():
        if status in (429, 503):
            answer["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
        elif status == 401:
            answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    operation: Operation = {
        "summary": meaning,
        "security": [{name: []} for name in security],
        "responses": {str(status): answer for status, answer in {**answers, **refused}.items()}
        | {"default": _json("Refusal", "What no handler answers: no such method, no HTTP, a fault of ours.")},
    }
    return operation | ({"parameters": parameters} if parameters else {})


def _query(name: str, meaning: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": meaning, "schema": schema or {"type": "string"}}


def _mailbox() -> dict[str, Any]:
    return _query("mailbox", "One of the credential's mailboxes; without it the first.")


def _mailboxes() -> dict[str, Any]:
    return _query("mailbox", "One of the credential's mailboxes; without it the first, * for all of them.")


def _last_event_id() -> dict[str, Any]:
    meaning = "As after, and before it: what an EventSource sends."
    return {"name": "Last-Event-ID", "in": "header", "description": meaning, "schema": {"type": "string"}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str, meaning: str) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": _ref(name)}}}
