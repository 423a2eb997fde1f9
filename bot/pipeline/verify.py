"""Fourth stage: the repository's own checks on a fresh copy of the final commit, and repair of what is newly broken."""

import asyncio
from dataclasses import replace

from bot.agent import prompt
from bot.model import Stage
from bot.pipeline.job import Job, Journal, Tools
from bot.pipeline.outputs import Ended, Verified, Worked, new_failures
from bot.pipeline.prepare import PROMPT_ARTEFACT
from bot.pipeline.session import asked_to_stop, converse
from bot.pipeline.work import keep
from bot.pipeline.workplace import BUNDLE_ARTEFACT, Workplaces

_REPAIR_ROUNDS = 2


async def run(job: Job, worked: Worked, tools: Tools, workplaces: Workplaces) -> Verified:
    """Evidence for what the agent left; new failures go back to the agent, twice at most."""
    if not worked.changed:
        return Verified((), (), "nothing was changed")
    if worked.ended is not Ended.DONE:
        return Verified((), (), "the run ended before the agent was done")
    if not job.config.checks:
        return Verified((), (), "the repository names no `checks` in `.github/backspace.yml`")
    evidence = asyncio.create_task(_gather(job, tools, workplaces))
    stop = asyncio.create_task(asked_to_stop(job, tools.store))
    try:
        await asyncio.wait({evidence, stop}, return_when=asyncio.FIRST_COMPLETED)
        if evidence.done():
            return await evidence
        return Verified((), (), "the run was stopped", worked=replace(worked, ended=Ended.STOPPED))
    finally:
        stop.cancel()
        evidence.cancel()
        await asyncio.gather(stop, evidence, return_exceptions=True)


async def _gather(job: Job, tools: Tools, workplaces: Workplaces) -> Verified:
    journal = Journal(job.id, tools)
    await journal.reach(Stage.VERIFYING, "Running the repository's checks on the result")
    place = await workplaces.ensure(job)
    bundle = await tools.store.saved(job.id, BUNDLE_ARTEFACT)
    assert bundle, "the work stage saved it"
    after = tuple(await workplaces.checks_after(job, place, bundle))
    before = tuple(await workplaces.checks_before(job, place))
    repairs = 0
    latest: Worked | None = None
    while (broken := new_failures(before, after)) and repairs < _REPAIR_ROUNDS:
        repairs += 1
        await journal.reach(Stage.VERIFYING, f"{len(broken)} newly failing; the agent mends, round {repairs}")
        mend = prompt.repair_prompt(broken)
        task = await tools.store.saved(job.id, PROMPT_ARTEFACT) or b""
        ending = await converse(job, tools, place, anew=f"{task.decode()}\n\n{mend}", going_on=mend)
        latest = await keep(job, tools, workplaces, place, ending)
        bundle = await tools.store.saved(job.id, BUNDLE_ARTEFACT)
        if latest.ended is not Ended.DONE or not bundle:
            break
        after = tuple(await workplaces.checks_after(job, place, bundle))
    return Verified(before, after, "", repairs, latest)
