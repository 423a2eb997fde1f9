"""One deployment for the journeys that leave it as they found it."""

from collections.abc import Iterator

import pytest

from tests.deployment import Deployment, deployed


@pytest.fixture(scope="module")
def running() -> Iterator[Deployment]:
    with deployed() as deployment:
        yield deployment
