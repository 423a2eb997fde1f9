"""Runs and their events as pages show them: words, lines, bars."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from markupsafe import Markup
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers.diff import DiffLexer

from bot.events import AiMessage, StoredEvent, ToolEdit, UsageReport, encode
from bot.markdown.page_html import page_html
from bot.runs.listing import Cost
from bot.runs.records import Run

ENTRIES_SHOWN = 250
"""Of a run's log at once; who wants more follows the link."""

_TITLE_CHARACTERS = 100
_DIFF_CHARACTERS = 200_000
_CHART_DAYS = 14
_CHART_WIDTH, _CHART_HEIGHT = 560, 96
_DIFF_FORMAT: HtmlFormatter[str] = HtmlFormatter(nowrap=True)


@dataclass(frozen=True)
class Line:
    """Of an edit: what it took away, what it added, what is around."""

    kind: str
    text: str


@dataclass(frozen=True)
class Entry:
    """One event of the log."""

    seq: int
    stamp: str
    clock: str
    event: dict[str, Any]
    words: Markup | None = None
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Bar:
    """A day of the chart, in its units."""

    day: date
    x: float
    y: float
    width: float
    height: float
    cost_usd: float
    runs: int


def title_of(run: Run) -> str:
    """What a run is about, in a line."""
    issue = run.request.issue
    said = issue.title if issue and issue.title else run.request.prompt
    line = " ".join(said.split())
    return line if len(line) <= _TITLE_CHARACTERS else f"{line[: _TITLE_CHARACTERS - 1]}…"


def entries(events: Sequence[StoredEvent]) -> list[Entry]:
    """Those that say something of their own; what was used stands in the page's head."""
    return [_entry(stored) for stored in events if not isinstance(stored.event, UsageReport)]


def _entry(stored: StoredEvent) -> Entry:
    event = stored.event
    words = Markup(page_html(event.message)) if isinstance(event, AiMessage) else None  # noqa: S704 -- made safe there
    lines = _changed(event.old_str, event.new_str) if isinstance(event, ToolEdit) else ()
    at = stored.timestamp
    return Entry(stored.seq, at.isoformat(), f"{at:%H:%M:%S}", encode(event), words, lines)


def _changed(old: str, new: str) -> tuple[Line, ...]:
    kinds = {"+ ": "added", "- ": "removed", "  ": "same"}
    compared = difflib.ndiff(old.splitlines(), new.splitlines())
    return tuple(Line(kinds[line[:2]], line[2:]) for line in compared if line[:2] in kinds)


def coloured(patch: bytes) -> Markup:
    """A diff as HTML, of which only the classes `gi`, `gd`, `gu` and the like are ours to colour."""
    text = patch.decode("utf-8", "replace")
    cut = "" if len(text) <= _DIFF_CHARACTERS else "\n[cut: download the patch to see the rest]\n"
    return Markup(highlight(text[:_DIFF_CHARACTERS] + cut, DiffLexer(), _DIFF_FORMAT))  # noqa: S704 -- pygments escapes


def bars(costs: Sequence[Cost], today: date) -> list[Bar]:
    """The last days' cost, oldest first; a day without runs has a bar of no height."""
    days = [today - timedelta(days=back) for back in reversed(range(_CHART_DAYS))]
    spent = {day: sum(cost.cost_usd for cost in costs if cost.day == day) for day in days}
    runs = {day: sum(cost.runs for cost in costs if cost.day == day) for day in days}
    most = max([*spent.values(), 0.01])
    step = _CHART_WIDTH / _CHART_DAYS
    found = []
    for number, day in enumerate(days):
        height = round(_CHART_HEIGHT * spent[day] / most, 1)
        x = round(number * step + 3, 1)
        found.append(Bar(day, x, _CHART_HEIGHT - height, round(step - 6, 1), height, spent[day], runs[day]))
    return found


def by_repository(costs: Sequence[Cost]) -> list[tuple[str, float, int]]:
    """Dearest first."""
    repos = {cost.repo for cost in costs}
    sums = [
        (
            repo,
            sum(cost.cost_usd for cost in costs if cost.repo == repo),
            sum(cost.runs for cost in costs if cost.repo == repo),
        )
        for repo in repos
    ]
    return sorted(sums, key=lambda row: (-row[1], row[0]))
