"""More words for a run that is at work: stored for it, given to its agent, and said so where they were said."""

import asyncio

import structlog

from bot.agent.claude import Agent
from bot.agent.prompt import further
from bot.github.answers import where
from bot.github.failures import GitHubFailed
from bot.intake.access import Allowed
from bot.intake.triggers import Further
from bot.model import RunId, RunRequest, Stage, TriggerKind
from bot.pipeline import answering
from bot.pipeline.answering import Said
from bot.pipeline.job import Job, Journal, Tools
from bot.runs.lifecycle import NewRun
from bot.runs.records import Message
from bot.wording import replies

_EYES = "eyes"
_LOOK_SECONDS = 5.0
log = structlog.get_logger("bot.pipeline.steering")


async def run(errand: Further, tools: Tools) -> None:
    """Keep the words for the run at work on the thread; without one they are a run of their own."""
    said = _said(errand.request, errand.intent)
    answer = await answering.may_ask(said, tools)
    if not isinstance(answer, Allowed):
        await answering.refuse(said, answer, tools)
        return
    new = NewRun(RunId(tools.new_id()), errand.request, errand.intent)
    working, _ = await tools.store.steer(new, tools.clock())
    if working is not None:
        await answering.acknowledge(said, _EYES, tools)


async def hand_over(agent: Agent, job: Job, tools: Tools) -> None:
    """Give the agent what is said while it works, until it has had its last word."""
    with tools.store.changes.of(job.id) as news:
        while True:
            news.clear()
            for message in await tools.store.messages(job.id):
                if not await agent.steer(further(message.request)):
                    return  # too late; it becomes a run of its own
                await given(message, job, tools, Stage.CODING)
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await news.wait()
            except TimeoutError:
                continue


async def given(message: Message, job: Job, tools: Tools, stage: Stage) -> None:
    """The agent has it: say so where it was said. `stage`: the one that the run is in."""
    await tools.store.gave(message.key, tools.clock())
    request = message.request
    log.info("run.steered", run=job.id, actor=request.actor.login)
    if request.trigger is TriggerKind.CHECKS:
        return
    await Journal(job.id, tools).reach(stage, f"The agent was handed more words by @{request.actor.login}")
    said = _said(request, message.key)
    try:
        await answering.acknowledge(said, answering.THUMBS_UP, tools)
        if request.review is None:
            words = replies.handed_over(job.id, f"{tools.public_url}/runs/{job.id}")
            await answering.reply(said, words, tools)
    except GitHubFailed as error:
        # The agent has the words, and the run's comment says so; no more of it may keep others from being heard.
        log.warning("run.steering_not_acknowledged", run=job.id, error=str(error))


def _said(request: RunRequest, intent: str) -> Said:
    assert request.issue is not None, "only said in a thread"
    in_review = request.review is not None
    comment_id = request.review.comment_id if request.review else request.comment_id or 0
    key = comment_id or int(intent.rpartition(":")[2])
    return Said(where(request), request.thread, request.issue.number, request.actor, comment_id, in_review, key)
