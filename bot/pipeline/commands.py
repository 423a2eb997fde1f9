"""What people say to a run in its thread: stop, retry, status, help. Each is answered where it was said."""

from dataclasses import replace

import structlog

from bot import events as ev
from bot.github.answers import At, OnComment
from bot.intake import access
from bot.intake.access import Allowed, Facts, RepoState
from bot.intake.commands import Word
from bot.intake.triggers import Command
from bot.model import Outcome, RunId, TriggerKind
from bot.pipeline.job import Tools
from bot.pipeline.workplace import BUNDLE_ARTEFACT, SESSION_ARTEFACT
from bot.runs.lifecycle import NewRun
from bot.runs.records import Run, Stopped
from bot.runs.view import view_of
from bot.wording import refusals, replies

_THUMBS_UP = "+1"
_STOPPED_EARLY = "Stopped before the work began."
_UNFINISHED = frozenset(
    {Outcome.STOPPED, Outcome.BUDGET_EXCEEDED, Outcome.TIMED_OUT, Outcome.FAILED, Outcome.NEEDS_INPUT}
)
log = structlog.get_logger("bot.pipeline.commands")


async def run(said: Command, tools: Tools) -> None:
    """Act on it and say so in the thread. Safe to run twice."""
    at = At(said.installation_id, said.repo, on_pull_request=said.issue.is_pull_request)
    permission = await tools.github.permission(at, said.actor)
    denied = access.decide(Facts(said.actor, permission, RepoState()))
    if not isinstance(denied, Allowed):
        await _refuse(said, at, denied, tools)
        return
    await tools.github.react(at, OnComment(said.comment_id), _THUMBS_UP)
    words = await _act(said, tools)
    log.info("command.answered", repo=said.repo.full_name, issue=said.issue.number, word=said.word)
    if words:
        await _reply(said, at, words, tools)


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
            return replies.status(latest.id, view, f"{tools.public_url}/runs/{latest.id}", tools.clock())
        case Word.RETRY:
            return await _retry(said, latest, tools)


async def _stop(latest: Run, tools: Tools) -> str:
    early = ev.Complete(Outcome.STOPPED, _STOPPED_EARLY, 0, 0)
    match await tools.store.stop(latest.id, early, tools.clock()):
        case Stopped.BEFORE:
            return replies.already_ended(latest.id, tools.command)
        case Stopped.AT_ONCE | Stopped.SOON:
            # The run's own comment says it; one more would be noise.
            return ""


async def _retry(said: Command, latest: Run, tools: Tools) -> str:
    """A new run of the same request by who says so now; it goes on from work that was left unfinished."""
    if latest.outcome is None:
        return replies.still_running(latest.id)
    again = replace(
        latest.request, actor=said.actor, comment_id=said.comment_id, trigger=TriggerKind.COMMENT, repo=said.repo
    )
    carry = (BUNDLE_ARTEFACT, SESSION_ARTEFACT) if latest.outcome in _UNFINISHED else ()
    new = NewRun(RunId(tools.new_id()), again, f"{said.repo.id}:comment:{said.comment_id}")
    await tools.store.retry(latest.id, new, tools.clock(), carry=carry)
    return ""


async def _refuse(said: Command, at: At, denied: access.Denied, tools: Tools) -> None:
    key = RunId(f"comment-{said.comment_id}")
    first = denied.visible and await tools.store.may_refuse(
        key, day=tools.clock().date().isoformat(), thread=said.thread, actor_id=said.actor.id
    )
    if first:
        await _reply(said, at, refusals.refusal(denied.code, run_id=key, actor=said.actor.login), tools)


async def _reply(said: Command, at: At, words: str, tools: Tools) -> None:
    """Once for each command, also when this is its second try."""
    mark = replies.reply_marker(said.comment_id)
    if await tools.github.find_comment(at, said.issue.number, mark) is None:
        await tools.github.post_comment(at, said.issue.number, replies.marked(words, said.comment_id), mark)
