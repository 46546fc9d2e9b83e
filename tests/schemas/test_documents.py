"""``/openapi.json``, ``/asyncapi.json`` and ``/schemas/``: documents that tools accept, and that say what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from jsonschema import Draft7Validator, Draft202012Validator

from bridge import events
from bridge.edge.frames import HEARTBEAT
from bridge.schemas.events import EVENT_TYPES, profile
from bridge.schemas.frames import FRAMES
from bridge.worker.fold import FIELDS
from tests.support.contracts import ROOT, STORED, document, documents, faults_of
from tests.support.stage import running_edge

EDGE = ROOT / "bridge" / "edge"
SCHEMAS = [name for name in documents() if name.startswith("schemas/")]


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_schema_is_one(name: str) -> None:
    """By the dialect that it names; and in draft 7, the newest that AsyncAPI can name, it means the same."""
    schema = document(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft7Validator.check_schema({key: value for key, value in schema.items() if key != "$schema"})
    newer = ("prefixItems", "$defs", "dependentRequired", "dependentSchemas", "unevaluatedProperties")
    assert not [word for word in newer if f'"{word}"' in json.dumps(schema)]


@pytest.mark.parametrize("name", ["openapi-3.1", "asyncapi-3.0"])
def test_the_documents_are_what_they_say(name: str) -> None:
    """By the schema that the makers of each format publish."""
    schema = json.loads((STORED / f"{name}.schema.json").read_text())
    kind = Draft202012Validator if name.startswith("openapi") else Draft7Validator
    assert not [error.json_path for error in kind(schema).iter_errors(document(f"{name.partition('-')[0]}.json"))]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


@pytest.mark.parametrize("name", list(documents()))
def test_no_reference_is_dead(name: str) -> None:
    """Each leads to something in the same document, so that a tool needs no second one."""
    for reference in references(document(name)):
        assert reference.startswith("#/")
        at = document(name)
        for part in reference[2:].split("/"):
            at = at[part.replace("~1", "/")]


def test_every_type_has_a_schema() -> None:
    """Whatever has a name in the vocabulary is declared, and nothing else; each event has its place in AsyncAPI."""
    named = {value for value in vars(events).values() if isinstance(value, str) and value.startswith("exmail.")}
    assert named == set(EVENT_TYPES)
    made = {type for path in EDGE.rglob("*.py") for type in re.findall(r'"type": ?"(exmail[.a-z]+)"', path.read_text())}
    assert made == set(FRAMES)
    assert set(SCHEMAS) == {f"schemas/{type}.json" for type in (*EVENT_TYPES, *FRAMES)}
    asyncapi = document("asyncapi.json")
    assert set(asyncapi["components"]["messages"]) == {*EVENT_TYPES, *FRAMES}
    assert set(asyncapi["channels"]["stream"]["messages"]) == set(EVENT_TYPES)


def test_a_profile_is_what_the_worker_keeps() -> None:
    """Each field that ``BRIDGE_DIRECTORY_FIELDS`` may name is declared."""
    assert tuple(profile()["properties"]) == FIELDS


def test_what_is_wrong_is_found() -> None:
    """A type that nobody declared, a member that is not declared, one that is absent, and one of another type."""
    assert not faults_of(json.loads(HEARTBEAT.payload))
    assert faults_of({"type": "exmail.other", "data": {}}) == ["exmail.other is not declared"]
    assert len(faults_of({"type": "exmail.heartbeat", "data": {"n": 1}})) == 1
    assert len(faults_of({"type": "exmail.upstream", "data": {"state": "connected", "since": 1}})) == 1
    assert len(faults_of({"type": "exmail.upstream", "data": {"state": "connected", "since": "1", "why": ""}})) == 1


async def test_the_edge_serves_them_to_anybody(redis_url: str) -> None:
    """Below both roots, without a credential, to pages of any origin; another name is a 404 like any other."""
    public = "https://oa.corp.com/exmail/"
    async with (
        running_edge(redis_url, BRIDGE_EDGE_PUBLIC_URL=public, BRIDGE_EDGE_COOKIE="__Host-mail") as (url, _),
        aiohttp.ClientSession() as session,
    ):
        for name in documents():
            for prefix in ("", "/exmail"):
                async with session.get(f"{url}{prefix}/{name}", headers={"Origin": "https://editor.example"}) as answer:
                    assert answer.status == 200
                    assert answer.headers["Access-Control-Allow-Origin"] == "*"
                    served = await answer.json()
                    if name == "openapi.json":
                        assert served["servers"] == [{"url": "https://oa.corp.com/exmail"}]
                        assert served["components"]["securitySchemes"]["cookie"]["name"] == "__Host-mail"
                    elif name.startswith("schemas/"):
                        assert served == document(name)
        async with session.get(f"{url}/schemas/exmail.none.json") as answer:
            assert (answer.status, (await answer.json())["error"]) == (404, "request")


async def test_openapi_has_every_route_and_no_other(redis_url: str) -> None:
    """What the router of a running edge answers, beside preflights."""
    apps: list[web.Application] = []
    async with running_edge(redis_url, add_routes=apps.append):
        routed = {
            (route.method, route.resource.canonical)
            for app in apps
            for route in app.router.routes()
            if route.resource is not None and route.method != "OPTIONS"
        }
    declared = {(method.upper(), path) for path, each in document("openapi.json")["paths"].items() for method in each}
    assert routed == declared
