"""One deployment for the journeys that leave it as they found it."""

from collections.abc import Iterator

import pytest

from tests.deployment import SANDBOXES, Deployment, deployed


@pytest.fixture(scope="module")
def running() -> Iterator[Deployment]:
    with deployed() as deployment:
        yield deployment


@pytest.fixture(scope="module", params=SANDBOXES)
def anywhere(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """For stories of work in a sandbox, wherever that is."""
    if request.param == "bubblewrap":
        yield request.getfixturevalue("running")
        return
    with deployed(sandbox=request.param) as deployment:
        yield deployment
