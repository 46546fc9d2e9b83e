"""What the bridge says of its events, frames and answers, as something that a test can hold bytes against.

And which changes of it break readers: ``python -m tests.support.contracts`` stores what is promised now, and refuses
to take a promise back unless ``--breaking`` says that it is meant; ``--check`` stores nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from bridge.schemas.documents import Document, read_documents

ROOT: Final = Path(__file__).parents[2]
STORED: Final = ROOT / "tests" / "samples" / "contracts"
PROMISED: Final = STORED / "promised.json"

Schema = Mapping[str, Any]


@cache
def documents() -> Mapping[str, Document]:
    """The files of an edge that is set up like most."""
    return read_documents(namespace="exmail", public_url="", cookie="exmail_bridge")


@cache
def document(name: str) -> Any:
    return json.loads(documents()[name].body)


def strict(schema: Any) -> Any:
    """The same, but what is not declared must not be there: readers allow it, our own tests do not."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found["additionalProperties"] = False
    return found


@cache
def validator_of(type: str) -> Validator:
    """Judges an event or frame of a type."""
    return Draft202012Validator(strict(document(f"schemas/{type}.json")))


def faults_of(message: Mapping[str, Any]) -> list[str]:
    """What is wrong with an event or frame, by its own type's schema; a type that is not declared is a fault, too."""
    type = str(message.get("type"))
    if f"schemas/{type}.json" not in documents():
        return [f"{type} is not declared"]
    return [f"{type} {error.json_path}: {error.message}" for error in validator_of(type).iter_errors(message)]


@cache
def _answer_validator(path: str, method: str, status: str, kind: str) -> Validator:
    openapi = document("openapi.json")
    schema = openapi["paths"][path][method]["responses"][status]["content"][kind]["schema"]
    return Draft202012Validator({**strict(schema), "components": strict(openapi["components"])})


def faults_of_answer(path: str, method: str, status: int, kind: str, body: bytes) -> list[str]:
    """What is wrong with an answer, by OpenAPI: its status, its type, what is in it."""
    operation = document("openapi.json")["paths"][path][method.lower()]
    answer = operation["responses"].get(str(status))
    if answer is None:
        return [f"{method} {path} answers {status}, which is not declared"]
    content = answer.get("content", {})
    if not content and not body:
        return []
    if kind not in content:
        return [f"{method} {path} answers {status} with {kind or 'no type'}, which is not declared"]
    if kind != "application/json" or "schema" not in content[kind]:
        return []
    found = _answer_validator(path, method.lower(), str(status), kind).iter_errors(json.loads(body))
    return [f"{method} {path} {status} {error.json_path}: {error.message}" for error in found]


def breaks(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """What a reader of ``before`` can no longer rely on in ``after``; both are schemas.

    A member that is new breaks nobody. One that is gone, may be absent where it was always there, or has another type,
    set of values or form does. Widening is a break, too: who was promised a number is not prepared for null.
    """
    if before.get("$ref") != after.get("$ref"):
        yield f"{where}: is another thing"
    for name in ("type", "const", "enum", "pattern", "format"):
        if before.get(name) != after.get(name) and name in {*before, *after}:
            yield f"{where}: {name} was {before.get(name)}, is {after.get(name)}"
    gone = {*before.get("required", ())} - {*after.get("required", ())}
    for name, member in before.get("properties", {}).items():
        if name not in after.get("properties", {}):
            yield f"{where}.{name}: is gone"
            continue
        if name in gone:
            yield f"{where}.{name}: was always there, and is not"
        yield from breaks(member, after["properties"][name], f"{where}.{name}")
    if "items" in before:
        yield from breaks(before["items"], after.get("items", {}), f"{where}[]")
    if "oneOf" in before and before["oneOf"] != after.get("oneOf"):
        yield f"{where}: is one of other things"


def unworded(schema: Any) -> Any:
    """A schema without what is for people only: words may be improved, they are no promise."""
    if isinstance(schema, list):
        return [unworded(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: unworded(value) for name, value in schema.items() if name not in ("description", "examples", "title")}


def promised_now() -> dict[str, Any]:
    """All that readers are promised: schemas by their name, and each request with what it takes and answers."""
    openapi = document("openapi.json")
    named = unworded(openapi["components"]["schemas"])
    requests = {
        f"{method.upper()} {path}": {
            "takes": sorted(parameter["name"] for parameter in operation.get("parameters", ())),
            "answers": {
                status: {
                    kind: unworded(content.get("schema", {})) for kind, content in answer.get("content", {}).items()
                }
                for status, answer in operation["responses"].items()
            },
        }
        for path, operations in openapi["paths"].items()
        for method, operation in operations.items()
    }
    channels = {
        name: {"address": channel["address"], "messages": sorted(channel["messages"])}
        for name, channel in document("asyncapi.json")["channels"].items()
    }
    return {"schemas": named, "requests": requests, "channels": channels}


def broken(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which of the promises ``before`` are not kept in ``after``."""
    found: list[str] = []
    for part in ("schemas", "requests", "channels"):
        found += [f"{name}: is gone" for name in before[part] if name not in after[part]]
    for name, schema in before["schemas"].items():
        if name in after["schemas"]:
            found += breaks(schema, after["schemas"][name], name)
    for name, request in before["requests"].items():
        now = after["requests"].get(name)
        if now is not None:
            found += [f"{name}: does not take {each}" for each in request["takes"] if each not in now["takes"]]
            for status, kinds in request["answers"].items():
                answered = now["answers"].get(status, {})
                if status not in now["answers"] or not kinds.keys() <= answered.keys():
                    found.append(f"{name}: answers {status} otherwise")
                for kind in kinds.keys() & answered.keys():
                    found += breaks(kinds[kind], answered[kind], f"{name} {status}")
    for name, channel in before["channels"].items():
        now = after["channels"].get(name)
        if now is not None:
            if now["address"] != channel["address"]:
                found.append(f"{name}: has another address")
            found += [f"{name}: carries no {each}" for each in channel["messages"] if each not in now["messages"]]
    return found


def written(promised: Mapping[str, Any]) -> str:
    return json.dumps(promised, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main(arguments: list[str]) -> int:
    lost = broken(json.loads(PROMISED.read_text()), promised_now()) if PROMISED.exists() else []
    if lost and "--breaking" not in arguments:
        print("this breaks readers; BREAKING=--breaking says that it is meant:", *lost, sep="\n", file=sys.stderr)
        return 1
    if "--check" in arguments:
        stored = PROMISED.exists() and PROMISED.read_text() == written(promised_now())
        if not stored:
            print("what is promised now is not stored: make contracts", file=sys.stderr)
        return 0 if stored else 1
    PROMISED.write_text(written(promised_now()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
