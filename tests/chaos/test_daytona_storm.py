"""Whatever Daytona does wrong: no run is lost, no event is lost or doubled, no sandbox is left."""

import pytest

from tests.chaos.storm import weather

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_runs_end_well_in_any_weather() -> None:
    """Six of them; `make bench` sends a hundred through it."""
    weathered = weather(6, seed=5)
    assert weathered.problems == []
    assert weathered.outcomes == {"pull_request": 6}
    assert sum(weathered.struck.values()) >= 6
