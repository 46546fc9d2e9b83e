"""The bill of materials of a bundle: CycloneDX 1.6 as JSON, from the wheels that are in it.

The serial number is made from the contents, so that the same bundle has the same bill.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.bundle.lock import Target
from deploy.bundle.packed import Wheel

_SPEC: Final = "1.6"


def write_sbom(
    product: Wheel, installed: Sequence[Wheel], carried: Sequence[Wheel], *, target: Target, made: datetime
) -> str:
    """Return the bill: ``installed`` is what production runs, ``carried`` what only lies in the bundle."""
    everything = [*installed, *carried]
    known = {wheel.name: wheel for wheel in [product, *everything]}
    components = [
        *(_component(wheel, "required") for wheel in installed),
        *(_component(wheel, "excluded") for wheel in carried),
    ]
    body = {
        "version": 1,
        "metadata": {
            "timestamp": made.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**_component(product, None), "type": "application"},
            "properties": [{"name": "exmail-bridge:target", "value": target.label}],
        },
        "components": components,
        "dependencies": _dependencies(known, product, target),
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(body, sort_keys=True))
    head = {"bomFormat": "CycloneDX", "specVersion": _SPEC, "serialNumber": f"urn:uuid:{serial}"}
    return json.dumps({**head, **body}, indent=1, ensure_ascii=False) + "\n"


def _component(wheel: Wheel, scope: str | None) -> dict[str, Any]:
    kind, licence = wheel.licence
    described: dict[str, Any] = {
        "type": "library",
        "bom-ref": _ref(wheel),
        "name": wheel.name,
        "version": wheel.version,
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
        "licenses": [{"expression": licence} if kind == "expression" else {"license": {"name": licence}}],
        "purl": _ref(wheel),
    }
    if summary := wheel.metadata.get("Summary"):
        described["description"] = str(summary)
    return described if scope is None else {**described, "scope": scope}


def _ref(wheel: Wheel) -> str:
    return f"pkg:pypi/{wheel.name}@{wheel.version}"


def _dependencies(known: Mapping[str, Wheel], product: Wheel, target: Target) -> list[dict[str, Any]]:
    """Who needs whom, as the wheels themselves say; an extra counts for the package that was asked for with it."""
    extras: dict[str, set[str]] = {name: {""} for name in known}
    needs: dict[str, set[str]] = {name: set() for name in known}
    todo = [product.name, *known]
    while todo:
        name = todo.pop(0)
        for needed, asked in _needed_by(known[name], extras[name], target):
            if needed in known:
                needs[name].add(needed)
                if not asked <= extras[needed]:
                    extras[needed] |= asked
                    todo.append(needed)
    return [
        {"ref": _ref(known[name]), "dependsOn": sorted(_ref(known[each]) for each in needs[name])} for name in known
    ]


def _needed_by(wheel: Wheel, extras: Iterable[str], target: Target) -> Iterable[tuple[str, set[str]]]:
    for line in wheel.requirements:
        requirement = Requirement(line)
        marker = str(requirement.marker or "")
        if any(target.takes(marker, extra=extra) for extra in extras):
            yield canonicalize_name(requirement.name), set(requirement.extras)
