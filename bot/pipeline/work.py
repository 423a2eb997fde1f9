"""Third stage: the agent works until it is done, stopped or out of its limits; what it did is kept."""

import asyncio
import contextlib

import structlog

from bot.agent import claude
from bot.agent.endings import Code, Ending
from bot.agent.prompt import RESUME_PROMPT
from bot.errors import StageFailed
from bot.model import Stage
from bot.pipeline.job import Job, Journal, Tools
from bot.pipeline.outputs import Ended, Worked
from bot.pipeline.prepare import PROMPT_ARTEFACT
from bot.pipeline.session import converse
from bot.pipeline.workplace import BUNDLE_ARTEFACT, SESSION_ARTEFACT, Workplace, Workplaces
from bot.sandbox import SandboxFailed

_SAVE_EVERY_SECONDS = 60.0
_ENDED = {
    Code.DONE: Ended.DONE,
    Code.NEEDS_INPUT: Ended.NEEDS_INPUT,
    Code.INTERRUPTED: Ended.STOPPED,
    Code.CANCELLED: Ended.STOPPED,
    Code.BUDGET: Ended.BUDGET,
    Code.TIMED_OUT: Ended.TIMED_OUT,
}
log = structlog.get_logger("bot.pipeline.work")


async def run(job: Job, tools: Tools, workplaces: Workplaces) -> Worked:
    """Let the agent work on what was asked, from where an earlier try left off."""
    if job.run.stop_requested:
        return Worked(Ended.STOPPED, "", changed=False)
    place = await workplaces.ensure(job)
    workplaces.start_checks_before(job, place)
    await Journal(job.id, tools).reach(Stage.CODING, "The agent is at work")
    prompt = await tools.store.saved(job.id, PROMPT_ARTEFACT)
    assert prompt is not None
    saving = asyncio.create_task(_save_now_and_then(job, tools, workplaces, place))
    try:
        task = prompt.decode()
        going_on = task if place.session.earlier else RESUME_PROMPT
        ending = await converse(job, tools, place, anew=task, going_on=going_on)
    finally:
        saving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await saving
    return await keep(job, tools, workplaces, place, ending)


async def keep(job: Job, tools: Tools, workplaces: Workplaces, place: Workplace, ending: Ending) -> Worked:
    """Save the tree and the session, then say how it ended."""
    changed = await _save(job, tools, workplaces, place)
    await tools.sandboxes.done(job.id)
    ended = _ENDED.get(ending.code, Ended.FAILED)
    if ended is Ended.FAILED:
        log.warning("agent.failed", run=job.id, code=ending.code, detail=ending.detail[:2000])
    return Worked(ended, ending.answer, changed, ending.code, ending.public, ending.next_step)


async def _save(job: Job, tools: Tools, workplaces: Workplaces, place: Workplace) -> bool:
    """Whether the tree differs from the base."""
    bundle = await workplaces.harvest(place)
    await tools.store.save(job.id, BUNDLE_ARTEFACT, bundle or b"", tools.clock())
    archive = await claude.save_session(tools.sandbox, place.sandbox, place.session.id)
    if archive is not None:
        await tools.store.save(job.id, SESSION_ARTEFACT, archive, tools.clock())
    return bundle is not None


async def _save_now_and_then(job: Job, tools: Tools, workplaces: Workplaces, place: Workplace) -> None:
    """So that a run that is resumed elsewhere loses a minute, not an hour."""
    while True:
        await tools.sleep(_SAVE_EVERY_SECONDS)
        try:
            await _save(job, tools, workplaces, place)
        except (SandboxFailed, StageFailed) as error:
            # The tree may be half-written just now; the next time it is saved again.
            log.info("work.not_saved", run=job.id, error=str(error))
