"""One conversation with the agent: launched or resumed, its events logged, ended when asked or out of time."""

import asyncio
import contextlib
from datetime import timedelta

from bot.agent import claude
from bot.agent.claude import Patience
from bot.agent.command import Order
from bot.agent.endings import Code, Ending
from bot.events import Todo
from bot.pipeline.job import Job, Journal, Tools
from bot.pipeline.steering import hand_over
from bot.pipeline.workplace import Workplace
from bot.runs.store import Store
from bot.sandbox import Handle, SandboxLost

_STOP_POLL_SECONDS = 1.0
_LEAST_SECONDS = 1.0


async def converse(job: Job, tools: Tools, place: Workplace, *, anew: str, going_on: str) -> Ending:
    """Speak to the agent and follow it to its end: `going_on` in a session that has begun, else `anew`.

    To one that was at work all the while that we were away nothing is said.
    """
    if not place.session.begun:
        return await _one_process(job, tools, place, anew)
    agent = await _still_there(job, tools, place)
    if agent is not None:
        ending = await _follow(job, tools, place, agent)
    else:
        ending = await _one_process(job, tools, place, going_on)
    if ending.code is not Code.SESSION_UNKNOWN:
        return ending
    # A killed program may not have written its transcript yet: nothing was said that could be resumed.
    place.session.begun = False
    return await _one_process(job, tools, place, anew)


async def _still_there(job: Job, tools: Tools, place: Workplace) -> claude.Agent | None:
    """The agent that lived on, if one did. One that may not have heard its prompt is ended: None."""
    working, place.session.working = place.session.working, None
    if working is None:
        return None
    handle = Handle(place.sandbox, working.job)
    if not working.told:
        with contextlib.suppress(SandboxLost):
            await tools.sandbox.kill(handle)
        return None
    return claude.attach(
        tools.sandbox,
        handle,
        _patience(job, tools),
        offset=working.offset,
        clock=tools.monotonic,
        todo=await _todo(job, tools),
    )


def _patience(job: Job, tools: Tools) -> Patience:
    return Patience(wall_seconds=max(_LEAST_SECONDS, _left(job, tools).total_seconds()))


async def _one_process(job: Job, tools: Tools, place: Workplace, prompt: str) -> Ending:
    order = Order(
        prompt=prompt,
        model=job.run.model or tools.limits.model,
        session_id=place.session.id,
        access=tools.model_access(place.token),
        resume=place.session.begun,
    )
    name = f"agent-{tools.new_id()}"
    await tools.sandboxes.launching(job.id, name)
    agent = await claude.launch(
        tools.sandbox,
        place.sandbox,
        order,
        _patience(job, tools),
        name=name,
        clock=tools.monotonic,
        todo=await _todo(job, tools) if order.resume else None,
    )
    await tools.sandboxes.told(job.id)
    return await _follow(job, tools, place, agent)


async def _follow(job: Job, tools: Tools, place: Workplace, agent: claude.Agent) -> Ending:
    place.session.begun = True
    place.session.earlier = False
    journal = Journal(job.id, tools)
    beside = [
        asyncio.create_task(_interrupt_when_asked(agent, job, tools.store)),
        asyncio.create_task(hand_over(agent, job, tools)),
    ]
    try:
        async for batch in agent.follow():
            place.spoken.set()
            await journal.write(*batch.events, offset=batch.offset)
    finally:
        place.spoken.set()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    assert agent.report is not None
    return agent.report.ending


async def _todo(job: Job, tools: Tools) -> Todo | None:
    """The agent's list as it was last shown; a resumed session goes on with it."""
    events = [stored.event for stored in await tools.store.all_events(job.id)]
    return next((event for event in reversed(events) if isinstance(event, Todo)), None)


def _left(job: Job, tools: Tools) -> timedelta:
    """Of the run's own time limit, which counts from when work began."""
    minutes = min(job.config.timeout_minutes or tools.limits.run_timeout_minutes, tools.limits.run_timeout_minutes)
    began = job.run.started_at or job.run.created_at
    return began + timedelta(minutes=minutes) - tools.clock()


async def _interrupt_when_asked(agent: claude.Agent, job: Job, store: Store) -> None:
    await asked_to_stop(job, store)
    agent.interrupt()


async def asked_to_stop(job: Job, store: Store) -> None:
    """Returns when somebody has asked the run to stop."""
    with store.changes.of(job.id) as news:
        while True:
            news.clear()
            run = await store.run(job.id)
            if run is not None and run.stop_requested:
                return
            try:
                async with asyncio.timeout(_STOP_POLL_SECONDS):
                    await news.wait()
            except TimeoutError:
                continue
