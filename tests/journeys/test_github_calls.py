"""A run asks GitHub for little: what an hour allows is shared by all of an installation's runs."""

import pytest

from tests.deployment import Deployment

pytestmark = pytest.mark.slow
LIMIT = 15
"""Calls of a run that ends in a pull request, edits of its comment aside."""

_EDIT = "PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}"
_OF_NO_RUN = "GET /app/hook/deliveries"


def calls_of_a_run(deployment: Deployment) -> list[str]:
    """`METHOD /template` of each call, in order."""
    before = len(deployment.github.api_calls())
    run = deployment.finished(deployment.run_id(deployment.ask(deployment.issue())))
    assert run["outcome"] == "pull_request", deployment.backspace.log[-4000:]
    return [call for call in deployment.github.api_calls()[before:] if call not in (_EDIT, _OF_NO_RUN)]


def test_a_pull_request_takes_few_calls(running: Deployment) -> None:
    calls = calls_of_a_run(running)
    assert len(calls) <= LIMIT, "\n".join(calls)
