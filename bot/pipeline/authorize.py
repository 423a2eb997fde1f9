"""First stage, on the queue of answers: may this person ask, and can it be done here? Answers in the thread."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, time

from bot import events as ev
from bot.github import failures
from bot.github.answers import At, OnComment, OnIssue, Target
from bot.intake import access, repo_config
from bot.intake.access import Allowed, Denial, Denied, Facts, RepoState
from bot.intake.repo_config import ConfigInvalid, RepoConfig
from bot.model import Outcome, RunState, Stage
from bot.pipeline.job import Journal, Limits, Tools
from bot.runs.lifecycle import Terms
from bot.runs.records import Run
from bot.wording import comment, names, refusals
from bot.wording.marker import marker

CONFIG_ARTEFACT = "backspace.yml"
EYES = "eyes"


@dataclass(frozen=True)
class Admitted:
    ahead: int


@dataclass(frozen=True)
class Refused:
    code: str


async def run(asked: Run, tools: Tools) -> Admitted | Refused:
    """Admit the run to the queue of runs or refuse it; either way somebody who may ask sees an answer."""
    if asked.state is not RunState.ACCEPTED:
        return Admitted(ahead=0)
    request = asked.request
    journal = Journal(asked.id, tools)
    at = At(request.installation_id, request.repo)
    await journal.reach(Stage.AUTHORIZING, f"Checking what @{request.actor.login} may do")
    answer = await _may_ask(asked, at, tools)
    if isinstance(answer, Denied):
        return await _refuse(asked, at, answer, tools)
    # Not beside the greeting: when many ask at once, what is not yet an answer would hold up those that are.
    await _greet(asked, at, tools)
    content = await tools.github.config_file(at) or b""
    config = repo_config.parse(content) if content else repo_config.DEFAULTS
    if isinstance(config, ConfigInvalid):
        return await _end(journal, tools, "config-invalid", refusals.config_problems(config))
    if request.issue is not None and request.issue.is_pull_request:
        return await _end(journal, tools, "pull-request-unsupported", refusals.pull_request_unsupported())
    if await _budget_left(asked, tools) <= 0:
        return await _end(journal, tools, Denial.BUDGET_USED_UP, refusals.budget_used_up(tools.limits.daily_budget_usd))
    await tools.store.save(asked.id, CONFIG_ARTEFACT, content, tools.clock())
    branch = names.branch_name(
        request.issue.number if request.issue else None,
        request.issue.title if request.issue else request.prompt,
        asked.id,
    )
    terms = Terms(config.model or tools.limits.model, budget(config, tools.limits), branch)
    place = await tools.store.admit(asked.id, terms)
    return Admitted(place.ahead)


def budget(config: RepoConfig, limits: Limits) -> float:
    """US dollars that the run may cost: the repository's file can only lower the deployment's limit."""
    return min(config.budget_usd or limits.run_budget_usd, limits.run_budget_usd)


async def _may_ask(asked: Run, at: At, tools: Tools) -> Allowed | Denied:
    try:
        permission = await tools.github.permission(at, asked.request.actor)
    except failures.InstallationSuspended:
        return Denied(Denial.INSTALLATION_SUSPENDED, visible=False)
    except (failures.InstallationGone, failures.RepositoryNotInstalled):
        return Denied(Denial.REPOSITORY_GONE, visible=False)
    return access.decide(Facts(asked.request.actor, permission, RepoState()))


async def _refuse(asked: Run, at: At, denied: Denied, tools: Tools) -> Refused:
    """At most one visible refusal a person, thread and day, so that it is no lever for spam."""
    request = asked.request
    now = tools.clock()
    if denied.visible and request.issue is not None:
        first = await tools.store.may_refuse(
            asked.id, day=now.date().isoformat(), thread=request.thread, actor_id=request.actor.id
        )
        if first:
            words = refusals.refusal(denied.code, run_id=asked.id, actor=request.actor.login)
            await _post(asked, at, words, tools)
    return await _end(Journal(asked.id, tools), tools, denied.code, refusals.sentence(denied.code))


async def _end(journal: Journal, tools: Tools, code: str, words: str) -> Refused:
    await journal.write(ev.ErrorReport(code, words, recoverable=False))
    await tools.store.finish(journal.run_id, ev.Complete(Outcome.REFUSED, words, 0, 0), tools.clock())
    return Refused(code)


async def _greet(asked: Run, at: At, tools: Tools) -> None:
    """Eyes on what was said and the one comment of this run, both at once."""
    request = asked.request
    if request.issue is None or asked.comment_id is not None:
        return
    stored = await tools.store.events_after(asked.id, 0)
    words = comment.first_comment(asked.id, stored, run_url=run_url(asked, tools), now=tools.clock())
    try:
        _, posted = await asyncio.gather(
            tools.github.react(at, target(asked), EYES),
            _post(asked, at, words, tools),
        )
    except (failures.ThreadLocked, failures.RepositoryReadOnly):
        return
    await tools.store.commented(asked.id, posted)


async def _post(asked: Run, at: At, words: str, tools: Tools) -> int:
    """The run's comment. A second try looks first: the process may have ended between the post and its answer."""
    assert asked.request.issue is not None
    number, mark = asked.request.issue.number, marker(asked.id)
    stored = await tools.store.events_after(asked.id, 0)
    tries = [e for e in stored if isinstance(e.event, ev.Progress) and e.event.stage is Stage.AUTHORIZING]
    found = await tools.github.find_comment(at, number, mark) if len(tries) > 1 else None
    return found if found is not None else await tools.github.post_comment(at, number, words, mark)


def target(asked: Run) -> Target:
    """What the reactions are put on: the comment that asked, or the issue that was labelled."""
    request = asked.request
    if request.comment_id is not None:
        return OnComment(request.comment_id)
    assert request.issue is not None
    return OnIssue(request.issue.number)


def run_url(asked: Run, tools: Tools) -> str:
    return f"{tools.public_url}/runs/{asked.id}"


async def _budget_left(asked: Run, tools: Tools) -> float:
    if tools.limits.daily_budget_usd is None:
        return float("inf")
    midnight = datetime.combine(tools.clock().date(), time.min, UTC)
    spent = await tools.store.spent_since(asked.request.installation_id, midnight)
    return tools.limits.daily_budget_usd - spent
