"""Runs that have happened before Backspace starts, written by its own store into its own database."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import sqlalchemy as sa

from bot import events as ev
from bot.model import (
    Actor,
    InstallationId,
    Issue,
    Outcome,
    Repo,
    RunId,
    RunRequest,
    Stage,
    TriggerKind,
    Usage,
    When,
)
from bot.runs import database
from bot.runs.lifecycle import NewRun, Terms
from bot.runs.store import Store
from bot.runs.tables import Tables
from tests.deployment import Deployment

MANY = 5000
LATEST = datetime.now(UTC).replace(minute=0) - timedelta(hours=1)  # noqa: TID251 -- a running server's clock decides
"""Before all that the tests start, and on the chart."""
_SECONDS_APART = timedelta(seconds=7)
_CHECK = "python3 -m unittest -q"
_PATCH = """\
diff --git a/calc.py b/calc.py
index 5f1c2a1..9c0d3b7 100644
--- a/calc.py
+++ b/calc.py
@@ -1,2 +1,3 @@
 def add(a, b):
-    return a - b
+    \"\"\"The sum, of numbers < 10 & > 10 alike.\"\"\"
+    return a + b
"""


@dataclass(frozen=True)
class Past:
    """A run and how it ended."""

    name: str
    title: str
    events: Sequence[ev.Event]
    outcome: Outcome
    days_ago: float = 0.0
    cost_usd: float = 0.42
    actor: str = "octo"
    patch: str = ""

    @property
    def id(self) -> RunId:
        return RunId(str(uuid5(NAMESPACE_URL, self.name)))


def _reached(stage: Stage, message: str, percentage: int) -> ev.Progress:
    return ev.Progress(stage, message, percentage)


_TODO = ("Read calc.py", "Fix add", "Run the tests")


def _todo(done: int) -> ev.Todo:
    states = ["completed"] * done + ["in_progress"] + ["pending"] * len(_TODO)
    return ev.Todo(tuple(ev.TodoItem(text, state) for text, state in zip(_TODO, states, strict=False)))


_BEGINNING: Sequence[ev.Event] = (
    _reached(Stage.AUTHORIZING, "Asking GitHub who may ask", 2),
    _reached(Stage.CLONING, "Cloning acme/calc", 5),
    _reached(Stage.ANALYZING, "Preparing the sandbox", 12),
    ev.Check(_CHECK, 1, 0.4, When.BEFORE, "F\nAssertionError: -1 != 5\n"),
    _reached(Stage.CODING, "The agent is at work", 20),
    ev.AiMessage("The test names the expected sum, so I look at add first.", thinking=True),
    ev.AiMessage(
        "I'll look at `calc.py`.\n\n1. read it\n2. **mend** it\n\n```python\nassert add(2, 3) == 5\n```\n\n"
        "<script>alert('a page that believes what agents write')</script>\n\n"
        "| case | gives |\n|---|---|\n| `add(2, 3)` | -1 |"
    ),
    _todo(0),
    ev.ToolRead("calc.py"),
    ev.ToolOther("Grep", '{"pattern": "def add", "output_mode": "content"}'),
    _todo(1),
    ev.ToolEdit("calc.py", "    return a - b\n", '    """The sum."""\n    return a + b\n'),
    ev.ToolWrite("docs/a/rather/deep/path/that-does-not-fit-on-a-telephone/notes.md", "# Notes\n\nadd adds now.\n"),
    _todo(2),
    ev.ToolBash(_CHECK, "." * 300 + "\n" + "-" * 70 + "\nRan 300 tests in 0.010s\n\nOK\n", 0),
    ev.ToolBash("npm test", "sh: 1: npm: not found\n", 127),
    ev.UsageReport(12_400, 1_830, 88_000, 4_100, 0.42),
)
WHOLE = Past(
    "whole",
    "add() subtracts",
    (
        *_BEGINNING,
        ev.ErrorReport("overloaded", "The model was overloaded; tried again after 4 s.", recoverable=True),
        _reached(Stage.VERIFYING, "Running the checks on the final tree", 75),
        ev.Check(_CHECK, 0, 0.4, When.AFTER, "OK\n"),
        ev.Check("ruff check .", 0, 0.1, When.AFTER, "All checks passed!\n"),
        _reached(Stage.COMMITTING, "Committing", 85),
        _reached(Stage.PUSHING, "Pushing", 90),
        _reached(Stage.PR_CREATION, "Opening the pull request", 95),
    ),
    Outcome.PULL_REQUEST,
    patch=_PATCH,
)
BROKEN = Past(
    "broken",
    "Make the parser accept tabs " + "and_a_word_without_any_place_to_break_it_" * 3,
    (
        *_BEGINNING,
        ev.ErrorReport("agent-failed", "The agent ended with exit code 1: out of memory.", recoverable=False),
    ),
    Outcome.FAILED,
    days_ago=1,
    patch=_PATCH,
)
LONG = Past(
    "long",
    "A run that takes its time",
    (
        *_BEGINNING,
        *(
            event
            for number in range((MANY - len(_BEGINNING)) // 2)
            for event in (
                ev.AiMessage(f"Step {number} of many."),
                ev.ToolBash(f"grep -rn step-{number} .", f"calc.py:{number}: step {number}\n" * 5, 0),
            )
        ),
    ),
    Outcome.NO_CHANGES,
    days_ago=2,
)
_ENDS = [Outcome.PULL_REQUEST, Outcome.NO_CHANGES, Outcome.STOPPED, Outcome.NEEDS_INPUT, Outcome.BUDGET_EXCEEDED]
OLDER = [
    Past(
        f"old{number:03}",
        f"Request number {number}",
        (),
        _ENDS[number % 5],
        days_ago=3 + number / 4,
        cost_usd=number / 20,
    )
    for number in range(60)
]


class _NoEngine:
    """Nothing is to be done for runs that are over."""

    def submit(self, connection: sa.Connection, queue: str, run_id: RunId, tenant: InstallationId) -> None: ...
    def submit_errand(self, connection: sa.Connection, guid: str, errand: dict[str, Any]) -> None: ...
    def ring(self) -> None: ...


def write(deployment: Deployment, runs: Sequence[Past]) -> None:
    """Into the database of a Backspace that has not been started yet."""
    folder = deployment.backspace.home / "data"
    folder.mkdir(mode=0o711, exist_ok=True)
    # The browser's driver keeps a loop running in this thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, _write(folder / "backspace.db", deployment, runs)).result()


async def _write(path: Path, deployment: Deployment, runs: Sequence[Past]) -> None:
    writing = database.open_engine(f"sqlite:///{path}", pool_size=1, isolation=None)
    reading = database.open_engine(f"sqlite:///{path}", pool_size=1)
    database.migrate(writing)
    tables = Tables(writing, reading)
    store = Store(tables, _NoEngine(), lambda text: text)
    try:
        for number, run in enumerate(runs):
            await _write_one(store, deployment, run, number)
    finally:
        tables.close()
        writing.dispose()
        reading.dispose()


async def _write_one(store: Store, deployment: Deployment, run: Past, number: int) -> None:
    repository = deployment.repository
    begun = LATEST - timedelta(days=run.days_ago)
    person = Actor(deployment.github.user(run.actor).id, run.actor)
    request = RunRequest(
        repo=Repo(repository.id, repository.full_name, "main", private=True),
        installation_id=InstallationId(deployment.installation),
        trigger=TriggerKind.COMMENT,
        actor=person,
        prompt=f"Please see to it: {run.title}",
        issue=Issue(1000 + number, run.title, "", person, is_pull_request=False),
        comment_id=None,
        triggered_at=begun,
    )
    await store.start(NewRun(run.id, request, f"past-{run.name}"), begun)
    await store.admit(run.id, Terms("claude-sonnet-4-5", 5.0, f"backspace/{run.name}"))
    await store.begin(run.id, begun)
    await store.append(run.id, run.events, begun + _SECONDS_APART)
    await store.add_usage(run.id, Usage(12_400, 1_830, 88_000, 4_100, run.cost_usd))
    if run.patch:
        await store.save(run.id, "patch", run.patch.encode(), begun)
    pr_url = None
    ended = begun + _SECONDS_APART * 60
    if run.outcome is Outcome.PULL_REQUEST:
        pr_url = f"{deployment.github.web_url}/{repository.full_name}/pull/{2000 + number}"
        created = ev.PrCreated(pr_url, 2000 + number, f"backspace/{run.name}", 1, 2, 1, "`add` adds.")
        await store.append(run.id, [created], ended)
    await store.finish(run.id, ev.Complete(run.outcome, f"{run.title}: this is how it went.", 0, 0, pr_url), ended)
