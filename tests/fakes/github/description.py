"""Every request and answer held against GitHub's own description of its API, where that file is at hand."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

from tests.shared_data import SHARED_DATA

DESCRIPTION = SHARED_DATA / "github" / "openapi-2026-03-10.json"
_HOST = "https://api.github.com"
_LONGEST_WORDS = 300


class _SchemaError(Protocol):
    """What is read of jsonschema's ValidationError, which has no types."""

    message: str
    instance: object
    schema: Mapping[str, Any]
    schema_path: Iterable[str | int]
    absolute_path: Iterable[str | int]


@dataclass(frozen=True)
class Exchange:
    """A request and its answer; `path` has one segment per parameter, and no API prefix."""

    method: str
    template: str
    path: str
    query: Mapping[str, str]
    request_headers: Mapping[str, str]
    request_body: bytes
    status: int
    media: str
    answer_body: bytes


class _Request:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
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


@functools.cache
def _loaded(path: Path) -> tuple[OpenAPI, dict[tuple[str, str], frozenset[int]]]:
    """The description, and the statuses that it names for each (method, template)."""
    spec = json.loads(path.read_text())
    statuses = {
        (method.upper(), template): frozenset(int(status) for status in described["responses"])
        for template, operations in spec["paths"].items()
        for method, described in operations.items()
    }
    return OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None)), statuses


class Description:
    """Checks in a thread of its own, so that no caller waits for it. Without the file it checks nothing."""

    def __init__(self, path: Path | None = DESCRIPTION) -> None:
        self._openapi: OpenAPI | None = None
        self._operations: dict[tuple[str, str], frozenset[int]] = {}
        if path is not None and path.is_file():
            self._openapi, self._operations = _loaded(path)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="github-description")
        self._lock = threading.Lock()
        self._last: Future[None] | None = None
        self.problems: list[str] = []

    @property
    def present(self) -> bool:
        return self._openapi is not None

    def describes(self, method: str, template: str) -> bool:
        return (method, template) in self._operations

    def submit(self, exchange: Exchange) -> None:
        if self._openapi is None or not self.describes(exchange.method, exchange.template):
            return
        with self._lock:
            self._last = self._worker.submit(self._check, self._openapi, exchange)

    def settle(self) -> None:
        with self._lock:
            last = self._last
        if last:
            last.result()

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _check(self, openapi: OpenAPI, exchange: Exchange) -> None:
        name = f"{exchange.method} {exchange.path}"
        request = _Request(exchange)
        try:
            openapi.validate_request(request)
        except OpenAPIError as error:
            # A request that GitHub refuses as invalid was refused; the answer is what the caller has to mind.
            if exchange.status not in (404, 422):
                self.problems.append(f"request {name}: {_words(error)}")
        if exchange.status not in self._operations[exchange.method, exchange.template]:
            if exchange.status < 400 and exchange.status != 304:
                self.problems.append(f"answer {name}: {exchange.status} is not described")
            return
        if not exchange.answer_body or not exchange.media.startswith("application/json"):
            return
        try:
            openapi.validate_response(request, _Response(exchange))
        except OpenAPIError as error:
            found = _schema_errors(error)
            if not found or not all(_is_flaw(schema_error) for schema_error in found):
                self.problems.append(f"answer {exchange.status} to {name}: {_words(error)}")


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
