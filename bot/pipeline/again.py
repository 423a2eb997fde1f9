"""What people do with a run that they have: stop it, or begin it again; wherever they say so."""

from datetime import datetime

from bot import events as ev
from bot.model import Outcome, RunId
from bot.pipeline.workplace import BUNDLE_ARTEFACT, SESSION_ARTEFACT
from bot.runs.lifecycle import NewRun
from bot.runs.records import Accepted, Duplicate, Run, Stopped
from bot.runs.store import Store

STOPPED_EARLY = "Stopped before the work began."
_UNFINISHED = frozenset(
    {Outcome.STOPPED, Outcome.BUDGET_EXCEEDED, Outcome.TIMED_OUT, Outcome.FAILED, Outcome.NEEDS_INPUT}
)


async def stop(run_id: RunId, store: Store, now: datetime) -> Stopped:
    return await store.stop(run_id, ev.Complete(Outcome.STOPPED, STOPPED_EARLY, 0, 0), now)


async def retry(earlier: Run, new: NewRun, store: Store, now: datetime) -> Accepted | Duplicate:
    """`new`, which goes on from what an ended run has left unfinished."""
    carry = (BUNDLE_ARTEFACT, SESSION_ARTEFACT) if earlier.outcome in _UNFINISHED else ()
    return await store.retry(earlier.id, new, now, carry=carry)
