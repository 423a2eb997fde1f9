"""A measure's numbers against its aim, as a Markdown table. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    title: str
    aim: str
    met: bool
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        table = [list(self.heads), ["---"] * len(self.heads), *(list(row) for row in self.rows)]
        lines = [f"| {' | '.join(row)} |" for row in table]
        verdict = "met" if self.met else "MISSED"
        return "\n".join([f"## {self.title}", "", *lines, "", *self.notes, f"Aim: {self.aim}: **{verdict}**.", ""])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"
