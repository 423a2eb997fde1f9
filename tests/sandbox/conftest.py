"""One bubblewrap installation for all tests of a process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.backends import reachable_directory


@pytest.fixture(scope="session")
def tools() -> Iterator[Path]:
    with reachable_directory() as directory:
        yield directory / "tools"
