"""`GET /openapi.json` and the page that shows it: the API, described from the table of its operations."""

import json
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from bot.web import session_cookie
from bot.web.operations import OPERATIONS, Content, Operation
from bot.web.schemas import COMPONENTS

_OPENAPI = "3.1.1"
_ABOUT = (
    "Start runs, follow them, stop them. Fields and kinds of events may be added: leave aside what you do not know. "
    "Every error is a problem document (RFC 9457) with a `code`."
)
_NEEDED = ("bearer", "apiKey", "session")
"""One of them is needed, where an operation asks who is there."""
_pages = Environment(loader=FileSystemLoader(Path(__file__).parent / "pages"), autoescape=True)
_OURS = "#/components/schemas/"


def document(*, public_url: str) -> dict[str, Any]:
    """https://spec.openapis.org/oas/v3.1.1.html"""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": _OPENAPI,
        "info": {"title": "Backspace", "version": version("backspace"), "description": _ABOUT},
        "servers": [{"url": public_url}],
        "paths": paths,
        "components": {"schemas": COMPONENTS, "securitySchemes": _schemes(public_url)},
    }


def _schemes(public_url: str) -> dict[str, dict[str, str]]:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, as `backspace keys add` makes it."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": session_cookie.session(public_url).name,
            "description": "Signed in with GitHub; what changes something also needs the header `X-Form-Token`.",
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [
            {"name": p.name, "in": p.where, "required": p.where == "path", "description": p.about, "schema": p.schema}
            for p in operation.parameters
        ],
        "responses": {
            str(answer.status): {
                "description": answer.about,
                **({"content": _contents(answer.contents)} if answer.contents else {}),
                **({"headers": {n: {"schema": s} for n, s in answer.headers.items()}} if answer.headers else {}),
            }
            for answer in operation.answers
        },
        "security": [{name: []} for name in _NEEDED] if operation.for_known_visitors else [],
    }
    if operation.about:
        described["description"] = operation.about
    if operation.body:
        described["requestBody"] = {"required": True, "content": _contents((operation.body,))}
    return described


def _contents(contents: tuple[Content, ...]) -> dict[str, Any]:
    return {content.media_type: {"schema": content.schema} for content in contents}


class Described:
    """The description as a document and as a page; each is made once."""

    def __init__(self, public_url: str) -> None:
        self._document = document(public_url=public_url)
        self._json = json.dumps(self._document, ensure_ascii=False).encode()

    def routes(self) -> list[BaseRoute]:
        return [Route("/openapi.json", self.as_json), Route("/api", self.as_page)]

    async def as_json(self, _request: Request) -> Response:
        headers = {"access-control-allow-origin": "*", "cache-control": "public, max-age=300"}
        return Response(self._json, headers=headers, media_type="application/json")

    async def as_page(self, _request: Request) -> Response:
        return Response(self._page, media_type="text/html")

    @cached_property
    def _page(self) -> str:
        return _pages.get_template("api.html").render(
            api=self._document, operations=OPERATIONS, schemas=COMPONENTS, in_words=in_words
        )


def in_words(schema: Mapping[str, Any]) -> str:  # noqa: PLR0911 -- one return per form of a schema
    """A schema as a reader of the page needs it: `string`, `integer or null`, `"before" or "after"`, `Run`."""
    match schema:
        case {"$ref": str(name)}:
            return name.removeprefix(_OURS)
        case {"const": value}:
            return json.dumps(value)
        case {"enum": list(values)}:
            return " or ".join(json.dumps(value) for value in values)
        case {"anyOf": list(forms)} | {"oneOf": list(forms)}:
            return " or ".join(in_words(form) for form in forms)
        case {"type": "array", "items": dict(items)}:
            return f"list of {in_words(items)}"
        case {"type": "object", "properties": dict(properties)}:
            return "{" + ", ".join(f"{name}: {in_words(value)}" for name, value in properties.items()) + "}"
        case {"type": str(name)}:
            return f"{name}, {schema['format']}" if "format" in schema else name
        case _:
            return "any"
