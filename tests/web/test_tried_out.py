"""The API tried out as its description says: no answer that is not in it, and never a failure of the server."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bot.web.operations import OPERATIONS, Operation
from bot.web.schemas import COMPONENTS
from tests.deployment import Deployment, deployed
from tests.loopback import LOOPBACK

pytestmark = pytest.mark.slow

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_EXAMPLES = 12
_SECONDS = 20


@pytest.fixture(scope="module")
def open_to_all() -> Iterator[Deployment]:
    """GitHub has none of the repositories that are asked for, so each run ends at once."""
    with deployed(settings={"BACKSPACE_MAX_RUNS": "1"}) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def api(open_to_all: Deployment) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{open_to_all.backspace.url}/openapi.json")


@pytest.fixture(scope="module")
def refused_run(open_to_all: Deployment) -> str:
    """It ended at once, and so does each further try."""
    run_id = open_to_all.run_id(open_to_all.ask(open_to_all.issue(), user="reader"))
    open_to_all.finished(run_id)
    return run_id


def tried_out(
    api: schemathesis.BaseSchema,
    operation: Operation,
    mode: GenerationMode,
    *,
    path: Mapping[str, str] = MappingProxyType({}),
    body: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Raises for an answer that is not in the description. `path` and `body` have what is not made up."""

    @given(case=api[operation.path][operation.method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def try_out(case: schemathesis.Case[Any]) -> None:
        case.path_parameters.update(path)
        if body is not None and isinstance(case.body, dict):
            case.body = {**body, "prompt": case.body["prompt"]}
        case.call_and_validate(checks=_CHECKS, timeout=_SECONDS, headers=dict(headers or {}))

    try_out()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_asked_as_described(api: schemathesis.BaseSchema, operation: Operation) -> None:
    tried_out(api, operation, GenerationMode.POSITIVE)


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.parameters or operation.body],
    ids=lambda operation: operation.name,
)
def test_asked_otherwise(api: schemathesis.BaseSchema, operation: Operation) -> None:
    tried_out(api, operation, GenerationMode.NEGATIVE)


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if "{run_id}" in operation.path],
    ids=lambda operation: operation.name,
)
def test_of_a_run_that_is_there(api: schemathesis.BaseSchema, operation: Operation, refused_run: str) -> None:
    tried_out(api, operation, GenerationMode.POSITIVE, path={"run_id": refused_run})
    tried_out(api, operation, GenerationMode.NEGATIVE, path={"run_id": refused_run})


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_started(api: schemathesis.BaseSchema, accept: str) -> None:
    (start,) = (operation for operation in OPERATIONS if operation.name == "start")
    tried_out(api, start, GenerationMode.POSITIVE, body={"repo_url": "acme/elsewhere"}, headers={"Accept": accept})


def test_people_read_the_same_on_a_page(open_to_all: Deployment) -> None:
    page = LOOPBACK.get(f"{open_to_all.backspace.url}/api", timeout=_SECONDS)
    assert page.status_code == 200
    headings = [f'<h2 id="{operation.name}"><code>{operation.method} {operation.path}<' for operation in OPERATIONS]
    headings += [f'<h3 id="schema-{name}">{name}<' for name in COMPONENTS]
    assert [heading for heading in headings if heading not in page.text] == []
    links = set(re.findall(r'href="#([^"]+)"', page.text))
    assert links <= set(re.findall(r'id="([^"]+)"', page.text))
