"""The files that tools load: one JSON Schema a type, and the two documents that say where the types are met."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bridge import __version__
from bridge.events import to_json
from bridge.schemas.asyncapi import asyncapi
from bridge.schemas.openapi import openapi, schemas


@dataclass(frozen=True, slots=True)
class Document:
    """One file as it is served."""

    content_type: str
    body: bytes


def read_documents(*, namespace: str, public_url: str, cookie: str) -> Mapping[str, Document]:
    """Every file by its path below the public URL."""
    documents = {
        "openapi.json": openapi(version=__version__, public_url=public_url, cookie=cookie),
        "asyncapi.json": asyncapi(version=__version__, namespace=namespace),
    }
    files = {path: Document("application/json", to_json(document)) for path, document in documents.items()}
    for type, schema in schemas().items():
        files[f"schemas/{type}.json"] = Document("application/schema+json", to_json(schema))
    return MappingProxyType(files)
