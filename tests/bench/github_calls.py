"""How many calls to GitHub a run makes that ends in a pull request."""

from collections import Counter

from tests.bench.report import Measure
from tests.deployment import deployed
from tests.journeys.test_github_calls import LIMIT, calls_of_a_run


def measure() -> Measure:
    with deployed(described=False) as deployment:
        calls = calls_of_a_run(deployment)
    counted = Counter(calls)
    return Measure(
        "GitHub calls on the happy path, edits of the comment aside",
        f"at most {LIMIT}",
        len(calls) <= LIMIT,
        ["call", "times"],
        [*([f"`{call}`", str(times)] for call, times in counted.items()), ["all", str(len(calls))]],
    )
