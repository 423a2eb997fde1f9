"""The attacks start from a real sandbox."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox.bubblewrap import Bubblewrap
from tests.sandbox.backends import bubblewrap
from tests.sandbox.conftest import tools as tools  # noqa: PLC0414 - the same fixture, for this folder


@pytest.fixture
async def sandbox(tools: Path) -> AsyncIterator[Bubblewrap]:
    async with bubblewrap(tools) as backend:
        yield backend
