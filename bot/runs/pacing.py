"""When a run's comment has something to say that is worth an edit. No I/O."""

from dataclasses import dataclass, field
from datetime import datetime

from bot.model import RunState, Stage
from bot.runs.records import Run
from bot.runs.view import RunView
from bot.wording.comment import Frame, progress_comment

_MIN_INTERVAL_SECONDS = 5.0
_MAX_INTERVAL_SECONDS = 60.0

_MOVED_SECONDS = 1.0
"""A change of stage is told after so long: some last no longer than the edit takes."""
_QUEUE_SECONDS_A_RUN = 1.5
_MAX_QUEUE_SECONDS = 30.0
"""Where many wait in a thread they all move up together: the more there are, the less often each says so."""
_PROGRESS_PER_MINUTE = 30
_AGE_SHARE = 1 / 20
"""A comment is edited the less often the older it is: after ten minutes every 30 s."""
_CLOCK_SECONDS = 60.0
"""So old may the elapsed time in a comment become while nothing else in it changes."""
_WAITING_CLOCK_SECONDS = 600.0
"""As long as the run waits for its turn."""


@dataclass
class Told:
    """What this process knows of one run's comment. After a restart it is read again from the events."""

    view: RunView = field(default_factory=RunView)
    text: str = ""
    at: datetime | None = None
    """When `text` was written."""
    seq: int = 0
    """The last event that `text` tells."""
    shape: "Shape | None" = None
    edited_at: datetime | None = None
    failures: int = 0
    not_before: datetime | None = None
    muted: bool = False
    """Nothing but the outcome is worth another try."""
    gone: bool = False
    """The comment was deleted again and again: somebody does not want it."""


@dataclass(frozen=True)
class Shape:
    """What a comment says at a glance."""

    stage: Stage | None
    ahead: int | None
    """The place in the queue; None when it does not wait."""

    def moved_from(self, told: "Shape | None") -> bool:
        """Whether more has changed than how many are ahead."""
        return told is None or self.stage is not told.stage or (self.ahead is None) != (told.ahead is None)


def may_speak(run: Run, told: Told, siblings: int, now: datetime) -> bool:
    """Whether progress may be worth telling, as far as that is known without another look at the store."""
    if told.muted or run.state is RunState.ACCEPTED:
        # What was posted a moment ago says all there is to say until it is admitted.
        return False
    waits = run.state is RunState.WAITING and told.shape is not None and told.shape.ahead is not None
    pause = max(_MIN_INTERVAL_SECONDS, min(_MAX_QUEUE_SECONDS, siblings * _QUEUE_SECONDS_A_RUN))
    return not waits or _since(told.edited_at, now) >= pause


def is_news(told: Told, shape: Shape, frame: Frame, now: datetime) -> bool:
    """Whether more than the clock has changed, or the clock in the comment is old."""
    if _since(told.at, now) >= (_CLOCK_SECONDS if shape.ahead is None else _WAITING_CLOCK_SECONDS) or told.at is None:
        return True
    if shape == told.shape and told.view.last_seq == told.seq:
        return False
    return progress_comment(told.view, frame, told.at) != told.text


def is_time(told: Told, shape: Shape, siblings: int, now: datetime) -> bool:
    """Comments of one installation share its edits; an old run's comment is edited less often."""
    if shape.moved_from(told.shape):
        return _since(told.edited_at, now) >= _MOVED_SECONDS
    if shape.ahead is not None:
        return True
    aged = min(_MAX_INTERVAL_SECONDS, told.view.elapsed_seconds(now) * _AGE_SHARE)
    shared = siblings * 60 / _PROGRESS_PER_MINUTE
    return _since(told.edited_at, now) >= max(_MIN_INTERVAL_SECONDS, aged, shared)


def _since(moment: datetime | None, now: datetime) -> float:
    """Seconds; endless when there was no such moment."""
    return (now - moment).total_seconds() if moment else float("inf")
