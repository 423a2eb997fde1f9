"""Requests and answers held against the service's own description of its two APIs, and what is known to differ."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.shared_data import SHARED_DATA

Json = dict[str, Any]
FOLDER = SHARED_DATA / "daytona" / "clients-v0.205.1"
_LONGEST_WORDS = 300
_ROOT = "urn:description"
_LATER: Mapping[str, Json] = {
    "CreateSandbox": {"kvm": {"type": "boolean"}, "queueTimeout": {"type": "integer"}},
    "Sandbox": {
        "kvm": {"type": "boolean"},
        "queueTimedOutAt": {"type": "string"},
        "queueTimeout": {"type": "integer"},
    },
    "SandboxListItem": {"queueTimedOutAt": {"type": "string"}, "queueTimeout": {"type": "integer"}},
}
"""What the SDK's clients 0.226.1 have and the description of 0.205.1 does not."""


def _strict(node: object) -> Any:  # noqa: ANN401 - JSON in, the same JSON out
    """OpenAPI 3.0's `nullable` as a list of types; a key that is not described is a mistake."""
    if isinstance(node, list):
        return [_strict(part) for part in node]
    if not isinstance(node, dict):
        return node
    found = {key: _strict(value) for key, value in node.items() if key not in ("nullable", "example")}
    if str(found.get("$ref", "")).startswith("#"):
        found["$ref"] = _ROOT + found["$ref"]
    if node.get("nullable") and "type" in found:
        found["type"] = [found["type"], "null"]
    if isinstance(found.get("properties"), dict) and "type" in found and "additionalProperties" not in found:
        found["additionalProperties"] = False
    return found


class Description:
    """One API's."""

    def __init__(self, spec: Json, schemas: str) -> None:
        self._paths: Json = spec["paths"]
        holder = spec
        for part in schemas.split("/"):
            holder = holder[part]
        for name, properties in _LATER.items():
            if name in holder:
                holder[name]["properties"] |= properties
        if "Sandbox" in holder:
            holder["Sandbox"]["required"].append("kvm")
        self._registry: Registry[Any] = Registry().with_resource(_ROOT, DRAFT202012.create_resource(_strict(spec)))
        self._validators: dict[str, Draft202012Validator] = {}

    def request(self, method: str, template: str, query: Iterable[str], body: object) -> list[str]:
        name = f"request {method} {template}"
        operation = self._operation(method, template)
        if operation is None:
            return [f"{name} is not described"]
        parameters = operation.get("parameters", [])
        known = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
        found = [f"{name}: no parameter {key} is described" for key in query if key not in known]
        schema = next((parameter["schema"] for parameter in parameters if parameter["in"] == "body"), None)
        schema = schema or _json_schema(operation.get("requestBody", {}))
        return found + (self._problems(name, schema, body) if schema and body is not None else [])

    def answer(self, method: str, template: str, status: int, body: object) -> list[str]:
        """A refusal is described for one API only."""
        name = f"answer {status} to {method} {template}"
        operation = self._operation(method, template)
        if operation is None:
            return [f"{name} is not described"]
        response = operation["responses"].get(str(status))
        if response is None:
            return [] if status >= 400 else [f"{name} is not described"]
        schema = response.get("schema") or _json_schema(response)
        if schema is None:
            return []
        return self._problems(name, schema, body) if body is not None else [f"{name}: a body is described"]

    def _operation(self, method: str, template: str) -> Json | None:
        found: Json | None = self._paths.get(template, {}).get(method.lower())
        return found

    def _problems(self, name: str, schema: Json, body: object) -> list[str]:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator(_strict(schema), registry=self._registry)
        return [
            f"{name} at {'/'.join(map(str, error.absolute_path)) or 'the top'}: {error.message[:_LONGEST_WORDS]}"
            for error in self._validators[key].iter_errors(body)
        ]


def _json_schema(holder: Json) -> Json | None:
    content = holder.get("content", {}).get("application/json", {})
    found: Json | None = content.get("schema")
    return found


@functools.cache
def load(folder: Path = FOLDER) -> Mapping[str, Description] | None:
    """`api` and `toolbox`; None when the descriptions are not beside this checkout."""
    if not folder.is_dir():
        return None
    return {
        "api": Description(json.loads((folder / "api.json").read_text()), "components/schemas"),
        "toolbox": Description(json.loads((folder / "toolbox.json").read_text()), "definitions"),
    }
