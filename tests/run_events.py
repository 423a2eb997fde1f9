"""A run's log made by hand: event after event, some seconds apart."""

from datetime import UTC, datetime, timedelta

from bot import events as ev
from bot.model import Outcome, RunId, Stage, TriggerKind, When

RUN_ID = RunId("0f1e2d3c-4b5a-4678-9abc-def012345678")
START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
BEGUN = ev.Start("octo/here", "Fix the crash", TriggerKind.COMMENT, "octocat")


def stored(*events: ev.Event, every_seconds: int = 10) -> list[ev.StoredEvent]:
    return [
        ev.StoredEvent(seq, RUN_ID, START + timedelta(seconds=every_seconds * (seq - 1)), event)
        for seq, event in enumerate(events, start=1)
    ]


def reached(stage: Stage, message: str = "", percentage: int = 0) -> ev.Progress:
    return ev.Progress(stage, message, percentage)


def check(command: str, exit_code: int, when: When, output: str = "") -> ev.Check:
    return ev.Check(command, exit_code, 3.25, when, output)


def complete(outcome: Outcome, summary: str = "", pr_url: str | None = None) -> ev.Complete:
    return ev.Complete(outcome, summary, 372.0, 0.84, pr_url)
