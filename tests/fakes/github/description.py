"""GitHub's own description of its API, read by openapi-core: what it has against a request and its answer."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

from tests.fakes.github.audit import Exchange

_HOST = "https://api.github.com"
_LONGEST_WORDS = 300


class _SchemaError(Protocol):
    """What is read of jsonschema's ValidationError, which has no types."""

    message: str
    instance: object
    schema: Mapping[str, Any]
    schema_path: Iterable[str | int]
    absolute_path: Iterable[str | int]


class _Request:
    def __init__(self, exchange: Exchange) -> None:
        self.host_url = _HOST
        self.path = exchange.path
        self.method = exchange.method.lower()
        self.body = exchange.request_body or None
        self.content_type = exchange.request_headers.get("content-type", "application/json").lower()
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(dict(exchange.query)),
            header=Headers(dict(exchange.request_headers)),
            cookie=ImmutableMultiDict(),
        )


class _Response:
    def __init__(self, exchange: Exchange) -> None:
        self.status_code = exchange.status
        self.data = exchange.answer_body or None
        self.content_type = exchange.media.lower()
        self.headers = Headers()


class Description:
    def __init__(self, spec: dict[str, Any]) -> None:
        self._openapi = OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))
        self._statuses = {
            (method.upper(), template): frozenset(int(status) for status in described["responses"])
            for template, operations in spec["paths"].items()
            for method, described in operations.items()
        }

    def problems(self, exchange: Exchange) -> list[str]:
        statuses = self._statuses.get((exchange.method, exchange.template))
        if statuses is None:
            return []
        name = f"{exchange.method} {exchange.path}"
        request = _Request(exchange)
        found = []
        try:
            self._openapi.validate_request(request)
        except OpenAPIError as error:
            # A request that GitHub refuses as invalid was refused; the answer is what the caller has to mind.
            if exchange.status not in (404, 422):
                found.append(f"request {name}: {_words(error)}")
        if exchange.status not in statuses:
            if exchange.status < 400 and exchange.status != 304:
                found.append(f"answer {name}: {exchange.status} is not described")
        elif exchange.answer_body and exchange.media.startswith("application/json"):
            try:
                self._openapi.validate_response(request, _Response(exchange))
            except OpenAPIError as error:
                errors = _schema_errors(error)
                if not errors or not all(map(_is_flaw, errors)):
                    found.append(f"answer {exchange.status} to {name}: {_words(error)}")
        return found


@functools.cache
def load(path: Path) -> Description:
    return Description(json.loads(path.read_text()))


def _schema_errors(error: BaseException) -> list[_SchemaError]:
    return list(getattr(error.__cause__, "schema_errors", ()))


def _is_flaw(error: _SchemaError) -> bool:
    """What the description or its reader gets wrong about answers that the real GitHub gives."""
    null_in_enum_or_one_of = error.instance is None and error.schema.get("nullable")
    list_by_discriminator = isinstance(error.instance, list) and "discriminator" in error.schema
    account_is_user_and_enterprise = error.schema.get("title") == "Enterprise" and "allOf" in error.schema_path
    return bool(null_in_enum_or_one_of or list_by_discriminator or account_is_user_and_enterprise)


def _words(error: BaseException) -> str:
    places = [
        f"at {'/'.join(map(str, found.absolute_path)) or 'the top'}: {found.message[:_LONGEST_WORDS]}"
        for found in _schema_errors(error)
        if not _is_flaw(found)
    ]
    return "; ".join(places) or f"{type(error).__name__}: {error.__cause__ or error}"[:_LONGEST_WORDS]
