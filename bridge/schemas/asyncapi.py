"""Channels and stream on Redis, and the edge's two sockets, as AsyncAPI 3."""

from __future__ import annotations

from typing import Any, Final

from bridge.events import MAIL_MISSED, MAIL_NEW, MAIL_UNREAD
from bridge.journal.keys import Keys
from bridge.schemas.events import EVENT_TYPES, Stream
from bridge.schemas.frames import FRAMES
from bridge.schemas.members import bare

_ADDRESS: Final = "{address}"
_KINDS: Final = {"mail.new": MAIL_NEW, "mail.unread": MAIL_UNREAD, "mail.missed": MAIL_MISSED}
_MAILBOX: Final = {"address": {"description": "The mailbox's main address."}}
_QUERY: Final = {
    "type": "object",
    "properties": {
        "mailbox": {
            "type": "string",
            "description": "One of the credential's mailboxes, * for all; without it the first.",
        },
        "after": {
            "type": "string",
            "description": "Resume after this position, of several mailboxes with commas between.",
        },
        "ticket": {"type": "string", "description": "A credential from POST /ticket."},
    },
}


def asyncapi(*, version: str, namespace: str) -> dict[str, Any]:
    """The document for one namespace."""
    channels = _on_redis(Keys(namespace)) | _sockets()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Exmail Bridge",
            "version": version,
            "description": "Events of Tencent Exmail on Redis and at the edge. Nobody but the bridge sends here.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "redis": {"host": "127.0.0.1:6379", "protocol": "redis", "description": "Connect as the user reader."},
            "edge": {"host": "127.0.0.1:8080", "protocol": "ws", "description": "An edge; behind a proxy wss."},
            "edge-http": {"host": "127.0.0.1:8080", "protocol": "http", "description": "The same, for event streams."},
        },
        "channels": channels,
        "operations": {
            name: {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": channel["summary"],
            }
            for name, channel in channels.items()
        },
        "components": {"messages": _messages()},
    }


def _messages() -> dict[str, Any]:
    schemas = {type: each.schema for type, each in EVENT_TYPES.items()} | dict(FRAMES)
    return {
        type: {
            "name": type,
            "title": type,
            "summary": schema["description"],
            "contentType": "application/json",
            # Nothing in our schemas is newer than draft 7, the newest that AsyncAPI names.
            "payload": {"schemaFormat": "application/schema+json;version=draft-07", "schema": bare(schema)},
        }
        for type, schema in schemas.items()
    }


def _of(*streams: Stream) -> list[str]:
    return [each.type for each in EVENT_TYPES.values() if each.stream in streams]


def _channel(address: str, summary: str, types: list[str], server: str, **more: Any) -> dict[str, Any]:
    return {
        "address": address,
        "summary": summary,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {type: {"$ref": f"#/components/messages/{type}"} for type in types},
        **more,
    }


def _on_redis(keys: Keys) -> dict[str, Any]:
    kinds = {
        kind: _channel(keys.kind_channel(kind), f"Every {type}, as it happens (PUBLISH).", [type], "redis")
        for kind, type in _KINDS.items()
    }
    everything = f"Every event (XADD), in the field event; the newest BRIDGE_EVENTS_MAX. Key: {keys.events}"
    history = f"A mailbox's newest events (XADD), in the field event. Key: {keys.log('<address>')}"
    return {
        "mailbox": _channel(
            keys.mailbox_channel(_ADDRESS),
            "Every event of a mailbox, as it happens (PUBLISH).",
            _of("mailbox"),
            "redis",
            parameters=_MAILBOX,
        ),
        **kinds,
        "directory": _channel(
            keys.kind_channel("directory"), "Every event about accounts (PUBLISH).", _of("directory"), "redis"
        ),
        "system": _channel(
            keys.kind_channel("system"), "Every event about the bridge (PUBLISH).", _of("system"), "redis"
        ),
        "stream": _channel(
            "{key}",
            everything,
            _of("mailbox", "directory", "system"),
            "redis",
            # The braces of a key are no parameter.
            parameters={"key": {"description": "A stream.", "enum": [keys.events], "default": keys.events}},
        ),
        "log": _channel(
            "{key}",
            history,
            _of("mailbox"),
            "redis",
            parameters={"key": {"description": "A stream.", "examples": [keys.log("bob@gzdev.com")]}},
        ),
    }


def _sockets() -> dict[str, Any]:
    types = [*FRAMES, *_of("mailbox")]
    query = {"ws": {"method": "GET", "query": _QUERY, "bindingVersion": "0.1.0"}}
    return {
        "websocket": _channel(
            "/ws", "A mailbox at the edge: a snapshot, then what follows.", types, "edge", bindings=query
        ),
        "sse": _channel("/events", "The same as Server-Sent Events; id: is the position.", types, "edge-http"),
    }
