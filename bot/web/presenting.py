"""Runs and their events as pages show them: words, lines, bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup

from bot.events import AiMessage, StoredEvent, ToolEdit, UsageReport, encode
from bot.markdown.page_html import page_html
from bot.runs.listing import Cost
from bot.runs.records import Run
from bot.web.patch_html import edit_html

EVENTS_SHOWN = 250
"""Of a run's log at once; who wants more follows the link."""

_TITLE_CHARACTERS = 100
_MOST_COLOURED_CHARACTERS = 50_000
"""Of a page's edits; the others are plain."""
_REPOSITORIES_APART = 4
"""In the chart; the others are one colour."""
_CHART_DAYS = 14
_CHART_WIDTH, _CHART_HEIGHT = 560, 96


@dataclass(frozen=True)
class Entry:
    """One event of the log."""

    seq: int
    stamp: str
    clock: str
    event: dict[str, Any]
    words: Markup | None = None
    """Of a message and of an edit."""


@dataclass(frozen=True)
class Part:
    """Of a bar: what one repository cost that day."""

    y: float
    height: float
    colour: int


@dataclass(frozen=True)
class Bar:
    """A day of the chart, in its units."""

    day: date
    x: float
    width: float
    parts: tuple[Part, ...]
    cost_usd: float
    runs: int


@dataclass(frozen=True)
class RepositoryCost:
    repo: str
    cost_usd: float
    runs: int
    colour: int


def title_of(run: Run) -> str:
    """What a run is about, in a line."""
    issue = run.request.issue
    said = issue.title if issue and issue.title else run.request.prompt
    line = " ".join(said.split())
    return line if len(line) <= _TITLE_CHARACTERS else f"{line[: _TITLE_CHARACTERS - 1]}…"


def entries(events: Sequence[StoredEvent]) -> list[Entry]:
    """Those that say something of their own; what was used stands in the page's head."""
    left = _MOST_COLOURED_CHARACTERS
    found = []
    for stored in events:
        event, at = stored.event, stored.timestamp
        words = None
        if isinstance(event, UsageReport):
            continue
        if isinstance(event, AiMessage):
            words = Markup(page_html(event.message))  # noqa: S704 -- made safe there
        elif isinstance(event, ToolEdit):
            left -= len(event.old_str) + len(event.new_str)
            words = edit_html(event.filepath, event.old_str, event.new_str, coloured=left >= 0)
        found.append(Entry(stored.seq, at.isoformat(), f"{at:%H:%M:%S}", encode(event), words))
    return found


def by_repository(costs: Sequence[Cost]) -> list[RepositoryCost]:
    """Dearest first."""
    spent: dict[str, float] = {}
    runs: dict[str, int] = {}
    for cost in costs:
        spent[cost.repo] = spent.get(cost.repo, 0.0) + cost.cost_usd
        runs[cost.repo] = runs.get(cost.repo, 0) + cost.runs
    dearest = sorted(spent, key=lambda repo: (-spent[repo], repo))
    return [
        RepositoryCost(repo, spent[repo], runs[repo], min(place, _REPOSITORIES_APART))
        for place, repo in enumerate(dearest)
    ]


def bars(costs: Sequence[Cost], today: date) -> list[Bar]:
    """The last days' cost, oldest first, the dearest repository at the bottom of each."""
    days = [today - timedelta(days=back) for back in reversed(range(_CHART_DAYS))]
    spent = {day: sum(cost.cost_usd for cost in costs if cost.day == day) for day in days}
    most = max([*spent.values(), 0.01])
    step = _CHART_WIDTH / _CHART_DAYS
    colours = {of.repo: (place, of.colour) for place, of in enumerate(by_repository(costs))}
    found = []
    for number, day in enumerate(days):
        y = float(_CHART_HEIGHT)
        parts = []
        that_day = sorted((cost for cost in costs if cost.day == day), key=lambda cost: colours[cost.repo])
        for cost in that_day:
            height = _CHART_HEIGHT * cost.cost_usd / most
            y -= height
            parts.append(Part(round(y, 1), round(height, 1), colours[cost.repo][1]))
        runs = sum(cost.runs for cost in that_day)
        found.append(Bar(day, round(number * step + 3, 1), round(step - 6, 1), tuple(parts), spent[day], runs))
    return found
