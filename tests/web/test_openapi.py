"""`/openapi.json` says of the API what is so: its routes, and the shapes of its events."""

import ast
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # no stubs are installed, and one class needs none
import pytest
from openapi_core import OpenAPI

from bot import events as ev
from bot.events import wire
from bot.model import Outcome, Stage, TriggerKind, When
from bot.web import code_request
from bot.web.openapi import document
from tests.project import short, sources, tree
from tests.run_events import complete, reached, stored

DOCUMENT = document(public_url="https://backspace.example.com")
_BESIDES = {"/code", "/webhook", "/healthz", "/readyz", "/metrics"}

EVENTS: list[ev.Event] = [
    ev.Start("o/r", "Fix it", TriggerKind.API, "ci"),
    reached(Stage.CODING, "At work", 30),
    ev.ToolRead("a.py"),
    ev.ToolEdit("a.py", "a", "b"),
    ev.ToolWrite("a.py", "b"),
    ev.ToolBash("make", "ok", 0),
    ev.ToolBash("make", "", None),
    ev.ToolOther("Grep", "add"),
    ev.AiMessage("Hm.", thinking=True),
    ev.Todo((ev.TodoItem("One", "completed"),)),
    ev.Check("make", 1, 2.0, When.AFTER, "no"),
    ev.UsageReport(1, 2, 3, 4, 0.5),
    ev.PrCreated("https://g/o/r/pull/1", 1, "b", 1, 2, 3, "s"),
    ev.ErrorReport("agent-failed", "It broke.", recoverable=False),
    complete(Outcome.NO_CHANGES, "It is right."),
    complete(Outcome.PULL_REQUEST, "Done.", "https://g/o/r/pull/1"),
]


def strict(name: str) -> jsonschema.Draft202012Validator:
    """Of the schema with that name; what it does not name must not be there."""

    def closed(schema: Any) -> Any:  # noqa: ANN401 -- a JSON value
        if isinstance(schema, dict):
            more = {"additionalProperties": False} if "properties" in schema else {}
            return {key: closed(value) for key, value in schema.items()} | more
        return [closed(item) for item in schema] if isinstance(schema, list) else schema

    schemas = closed(DOCUMENT["components"]["schemas"])
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}})


def routes() -> Iterator[tuple[str, str]]:
    """Method and path of every `Route` of the web part."""
    for path in sources("bot"):
        if not short(path).startswith("bot/web/"):
            continue
        for call in ast.walk(tree(path)):
            if (
                isinstance(call, ast.Call)
                and ast.unparse(call.func) == "Route"
                and isinstance(call.args[0], ast.Constant)
            ):
                methods = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg == "methods"}
                for method in methods.get("methods", ["GET"]):
                    yield method, str(call.args[0].value)


def test_it_is_a_description_of_an_api() -> None:
    OpenAPI.from_dict(DOCUMENT)


def test_it_has_every_route_and_no_other() -> None:
    told = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    real = {(method, path) for method, path in routes() if path.startswith("/api/") or path in _BESIDES}
    assert told == real


def test_a_request_has_the_fields_that_are_read() -> None:
    assert DOCUMENT["components"]["schemas"]["Request"]["properties"].keys() == code_request._Body.model_fields.keys()


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.TYPE)
def test_every_event_is_as_described(event: ev.Event) -> None:
    (told,) = stored(event)
    strict("Event").validate(wire(told))


def test_no_kind_of_event_is_left_out() -> None:
    kinds = {type(event).__name__ for event in EVENTS}
    assert {form["$ref"].rpartition("/")[2] for form in DOCUMENT["components"]["schemas"]["Event"]["oneOf"]} == kinds


@pytest.mark.parametrize(
    "change",
    [
        {"type": "stat"},
        {"type": "Tool: Bash"},
        {"stage": "cleaning"},
        {"percentage": "30"},
        {"timestamp": None},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_event_is_not_as_described(change: dict[str, object]) -> None:
    (told,) = stored(reached(Stage.CODING, "At work", 30))
    assert not strict("Event").is_valid({**wire(told), **change})
    assert not strict("Event").is_valid({key: value for key, value in wire(told).items() if key != "stage"})


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.TYPE)
def test_a_client_reads_back_what_was_sent(event: ev.Event) -> None:
    (told,) = stored(event)
    assert ev.unwire(told.seq, wire(told)) == told
