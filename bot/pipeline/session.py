"""One conversation with the agent: launched or resumed, its events logged, ended when asked or out of time."""

import asyncio
from datetime import timedelta

from bot.agent import claude
from bot.agent.claude import Patience
from bot.agent.command import ModelAccess, Order
from bot.agent.endings import Code, Ending
from bot.events import Todo
from bot.pipeline.job import Job, Journal, Tools
from bot.pipeline.steering import hand_over
from bot.pipeline.workplace import Workplace
from bot.runs.store import Store

_STOP_POLL_SECONDS = 1.0
_LEAST_SECONDS = 1.0


async def converse(job: Job, tools: Tools, place: Workplace, *, anew: str, going_on: str) -> Ending:
    """Speak to the agent and follow it to its end: `going_on` in a session that has begun, else `anew`."""
    if not place.session.begun:
        return await _one_process(job, tools, place, anew)
    ending = await _one_process(job, tools, place, going_on)
    if ending.code is not Code.SESSION_UNKNOWN:
        return ending
    # A killed program may not have written its transcript yet: nothing was said that could be resumed.
    place.session.begun = False
    return await _one_process(job, tools, place, anew)


async def _one_process(job: Job, tools: Tools, place: Workplace, prompt: str) -> Ending:
    order = Order(
        prompt=prompt,
        model=job.run.model or tools.limits.model,
        session_id=place.session.id,
        access=ModelAccess(place.token),
        resume=place.session.begun,
    )
    patience = Patience(wall_seconds=max(_LEAST_SECONDS, _left(job, tools).total_seconds()))
    agent = await claude.launch(
        tools.sandbox,
        place.sandbox,
        order,
        patience,
        name=f"agent-{tools.new_id()}",
        clock=tools.monotonic,
        todo=await _todo(job, tools) if order.resume else None,
    )
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
            await journal.write(*batch.events)
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
