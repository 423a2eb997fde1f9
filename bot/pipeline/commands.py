"""What people say to a run in its thread: stop, retry, status, help. Each is answered where it was said."""

from dataclasses import replace

import structlog

from bot.github.answers import At
from bot.intake.access import Allowed
from bot.intake.commands import Word
from bot.intake.triggers import Command
from bot.model import ReviewPlace, RunId, RunState, TriggerKind
from bot.pipeline import again, answering
from bot.pipeline.answering import Said
from bot.pipeline.job import Tools
from bot.runs.lifecycle import NewRun
from bot.runs.records import Run, Stopped
from bot.runs.view import view_of
from bot.wording import replies

log = structlog.get_logger("bot.pipeline.commands")


async def run(said: Command, tools: Tools) -> None:
    """Act on it and say so in the thread. Safe to run twice."""
    place = _place(said)
    answer = await answering.may_ask(place, tools)
    if not isinstance(answer, Allowed) and not await _stops_own(said, tools):
        await answering.refuse(place, answer, tools)
        return
    await answering.acknowledge(place, answering.CONFUSED if said.mistake else answering.THUMBS_UP, tools)
    words = replies.mistake(said.mistake, tools.command) if said.mistake else await _act(said, tools)
    log.info("command.answered", repo=said.repo.full_name, issue=said.issue.number, word=said.word)
    if words:
        await answering.reply(place, words, tools)


def _place(said: Command) -> Said:
    at = At(said.installation_id, said.repo, on_pull_request=said.issue.is_pull_request)
    return Said(at, said.thread, said.issue.number, said.actor, said.comment_id, said.in_review, _key(said))


def _key(said: Command) -> int:
    return said.comment_id or said.review_id


async def _stops_own(said: Command, tools: Tools) -> bool:
    """Who asked for a run may stop it also when he may ask for no other."""
    latest = await tools.store.latest(said.thread) if said.word is Word.STOP else None
    return latest is not None and latest.request.actor.id == said.actor.id


async def _act(said: Command, tools: Tools) -> str:
    """What is said in answer; empty when the thread shows it anyway."""
    if said.word is Word.HELP:
        return replies.help_text(tools.command, tools.label)
    latest = await tools.store.latest(said.thread)
    if latest is None:
        return replies.no_run(tools.command)
    match said.word:
        case Word.STOP:
            return await _stop(latest, tools)
        case Word.STATUS:
            view = view_of(await tools.store.all_events(latest.id))
            waits = latest.state in {RunState.WAITING, RunState.QUEUED}
            ahead = (await tools.store.place(latest.id)).ahead if waits else None
            url = f"{tools.public_url}/runs/{latest.id}"
            return replies.status(latest.id, view, url, tools.clock(), ahead=ahead)
        case Word.RETRY:
            return await _retry(said, latest, tools)


async def _stop(latest: Run, tools: Tools) -> str:
    match await again.stop(latest.id, tools.store, tools.clock()):
        case Stopped.BEFORE:
            return replies.already_ended(latest.id, tools.command)
        case Stopped.AT_ONCE | Stopped.SOON:
            # The run's own comment says it; one more would be noise.
            return ""


async def _retry(said: Command, latest: Run, tools: Tools) -> str:
    """A new run of the same request by who says so now."""
    if latest.outcome is None:
        return replies.still_running(latest.id)
    context = latest.request.review
    here = said.comment_id if said.in_review else 0
    if said.in_review and context is None:
        context = ReviewPlace(here, "", None, "", here)
    wish = replace(
        latest.request,
        actor=said.actor,
        comment_id=None if said.in_review else said.comment_id,
        review=replace(context, comment_id=here) if context else None,
        trigger=TriggerKind.COMMENT,
        repo=said.repo,
        head_seen=None,
    )
    new = NewRun(RunId(tools.new_id()), wish, f"{said.repo.id}:comment:{_key(said)}")
    await again.retry(latest, new, tools.store, tools.clock())
    return ""
