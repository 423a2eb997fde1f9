"""JSON Schemas of what goes over the wire, derived from the types that are encoded there. No I/O."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import TypeAdapter

from bot import events as ev
from bot.model import Outcome, RunState, TriggerKind
from bot.runs.records import PullState, Stopped

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TIME: Schema = {"type": "string", "format": "date-time"}
RUN_ID: Schema = {"type": "string", "description": "The run's id."}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def record(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, **more: object) -> Schema:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required), **more}


def event_schemas() -> dict[str, Schema]:
    """`Event`, and a schema for each kind of it, by the name of its class."""
    kinds: tuple[type[ev.Event], ...] = get_args(ev.Event)
    schemas = {kind.__name__: _event(kind) for kind in kinds}
    return {
        **schemas,
        "Event": {
            "description": "One event of a run; `complete` is always the last.",
            "oneOf": [ref(name) for name in schemas],
        },
    }


def _event(kind: type[ev.Event]) -> Schema:
    derived = TypeAdapter(kind).json_schema(mode="serialization")
    shared = derived.get("$defs", {})
    fields = {name: _inlined(schema, shared) for name, schema in derived["properties"].items()}
    optional = {name: fields.pop(name) for name in _left_out(kind)}
    constant: Schema = {"const": kind.TYPE}
    if kind is ev.ToolOther:
        # The name is said in the type.
        del fields["name"]
        constant = {"type": "string", "pattern": f"^{ev.ToolOther.TYPE}", "not": {"enum": sorted(_tools())}}
    return record({"type": constant, "request_id": RUN_ID, "timestamp": TIME, **fields}, optional, title=kind.TYPE)


def _tools() -> Iterator[str]:
    """Types of the tools that have a shape of their own."""
    for kind in get_args(ev.Event):
        if kind.TYPE.startswith(ev.ToolOther.TYPE) and kind is not ev.ToolOther:
            yield kind.TYPE


def _left_out(kind: type[ev.Event]) -> list[str]:
    """Fields that the codec leaves out when there is nothing in them."""
    return ["pr_url"] if kind is ev.Complete else []


def _inlined(schema: Any, shared: Mapping[str, Schema]) -> Any:  # noqa: ANN401 -- a JSON value
    """Without references to definitions of its own, titles and defaults."""
    match schema:
        case {"$ref": str(name)}:
            return _inlined(shared[name.rpartition("/")[2]], shared)
        case {"properties": dict(properties)}:
            inlined = {name: _inlined(value, shared) for name, value in properties.items()}
            return {**_inlined({k: v for k, v in schema.items() if k != "properties"}, shared), "properties": inlined}
        case dict():
            kept = schema.keys() - {"title", "default", "description"}
            return {key: _inlined(value, shared) for key, value in schema.items() if key in kept}
        case list():
            return [_inlined(value, shared) for value in schema]
        case _:
            return schema


_PULL_REQUEST = record(
    {
        "number": {"type": "integer"},
        "url": nullable(TEXT),
        "state": nullable({"enum": [*PullState]}),
    }
)

_RUN = record(
    {
        "request_id": RUN_ID,
        "repo": {"type": "string", "description": "`owner/name`"},
        "issue": nullable({"type": "integer"}),
        "prompt": TEXT,
        "trigger": {"enum": [*TriggerKind]},
        "actor": {"type": "string", "description": "The login of who asked, or the name of the key."},
        "state": {"enum": [*RunState]},
        "outcome": nullable({"enum": [*Outcome]}),
        "pr_url": nullable(TEXT),
        "pull_request": nullable(_PULL_REQUEST),
        "branch": nullable(TEXT),
        "model": nullable(TEXT),
        "cost_usd": {"type": "number"},
        "budget_usd": nullable({"type": "number"}),
        "created_at": TIME,
        "started_at": nullable(TIME),
        "finished_at": nullable(TIME),
        "last_event": {"type": "integer", "description": "The number of its latest event."},
        "reported": {"type": "boolean", "description": "Whether its thread shows how it ended."},
    }
)

COMPONENTS: dict[str, Schema] = {
    "Request": record(
        {"prompt": {"type": "string", "minLength": 1, "maxLength": 20_000}},
        {
            "repo_url": {"type": "string", "description": "`owner/name`, or the repository's address on GitHub."},
            "repoUrl": {"type": "string", "description": "The same as `repo_url`; one of them has to be there."},
            "base": {"type": "string", "description": "The branch that the pull request goes to."},
            "model": {"type": "string", "description": "Which model works."},
            "budget_usd": {"type": "number", "exclusiveMinimum": 0, "description": "The most that the run may cost."},
        },
        additionalProperties=False,
        anyOf=[{"required": ["repo_url"]}, {"required": ["repoUrl"]}],
    ),
    "Started": record({"request_id": RUN_ID, "run_url": TEXT, "events_url": TEXT}),
    "Run": _RUN,
    "Runs": record({"runs": {"type": "array", "items": ref("Run")}, "next": nullable(TEXT)}),
    "Stopped": record({"result": {"enum": [*Stopped]}}),
    "Delivered": record({"result": TEXT}, {"reason": TEXT, "run_id": nullable(TEXT)}),
    "Status": record({"status": TEXT}),
    "Problem": record(
        {
            "type": {"type": "string", "format": "uri"},
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What is wrong, in words for people."},
            "code": {"type": "string", "description": "What is wrong, for programs."},
        },
        {"errors": {"type": "array", "items": record({"field": TEXT, "detail": TEXT})}},
    ),
    "Message": record(
        {
            "id": {"type": "string", "description": "The event's number: 1, 2, 3, … For `Last-Event-ID`."},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": ref("Event"),
                "description": "One line of JSON.",
            },
        },
        description="One message of the stream. Lines that begin with a colon only say that the connection lives.",
    ),
    **event_schemas(),
}
"""Every schema, by the name that others refer to it by."""
