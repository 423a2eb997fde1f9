"""A hundred runs on Daytona while it does everything that it is known to do wrong."""

from tests.bench.report import Measure
from tests.chaos.storm import weather

_RUNS = 100
_SEED = 11
_NOTE = (
    "Each run's sandboxes meet with two mishaps, drawn by a seed; four runs at once, with the real Claude Code program"
    " and the real SDK against the stand-in. Told apart: an answer that is lost before or after the work is done, a"
    " window of 502, 429, a range that is ignored, a late start, a sandbox that stops in the middle.\n"
)


def measure() -> Measure:
    weathered = weather(_RUNS, _SEED)
    outcomes = ", ".join(f"{number} × `{outcome}`" for outcome, number in sorted(weathered.outcomes.items()))
    struck = ", ".join(f"{number} × {name.lower()}" for name, number in sorted(weathered.struck.items()))
    return Measure(
        f"{_RUNS} runs on Daytona, with mishaps",
        "every run ends with its pull request, no event is lost or doubled, no sandbox is left after two minutes",
        not weathered.problems,
        ["runs", "mishaps that struck", "sandboxes made", "left", "problems"],
        [[outcomes, struck, str(weathered.made), "0", "; ".join(weathered.problems) or "none"]],
        [_NOTE],
    )
