"""First stage, on the queue of answers: may this person ask, and can it be done here? Answers in the thread."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time

from bot import events as ev
from bot.github import failures
from bot.github.answers import At, target_of, where
from bot.intake import access, repo_config
from bot.intake.access import Allowed, Denial, Denied, Facts, RepoState
from bot.intake.repo_config import ConfigInvalid, RepoConfig
from bot.model import Issue, Options, Outcome, RunRequest, RunState, Stage, TriggerKind
from bot.pipeline import resolve
from bot.pipeline.heads import unusable
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


@dataclass(frozen=True)
class _Unfit:
    """Admitted by who asks, refused for what is asked."""

    code: str
    words: str


async def run(asked: Run, tools: Tools) -> Admitted | Refused:
    """Admit the run to the queue of runs or refuse it; either way somebody who may ask sees an answer."""
    if asked.state is not RunState.ACCEPTED:
        return Admitted(ahead=0)
    journal = Journal(asked.id, tools)
    await journal.reach(Stage.AUTHORIZING, f"Checking what {asked.request.actor.login} may do")
    found = await resolve.run(asked, tools)
    if isinstance(found, resolve.Unreachable):
        return await _end(journal, tools, found.code, found.words)
    asked, request = found, found.request
    at = where(request)
    answer = await _may_ask(asked, at, tools)
    if isinstance(answer, Denied):
        return await _refuse(asked, at, answer, tools)
    # A label is asked about first, for silence may be the answer; else the greeting comes first, and not beside
    # anything: when many ask at once, what is not yet an answer would hold up those that are.
    by_label = request.trigger is TriggerKind.LABEL
    content = await tools.github.config_file(at) or b"" if by_label else None
    if content is not None and _another_label(request, content):
        return await _end(journal, tools, "label-not-used", "This repository starts runs by another label.")
    await _greet(asked, at, tools)
    if content is None:
        content = await tools.github.config_file(at) or b""
    terms = await _terms(asked, at, content, tools)
    if isinstance(terms, _Unfit):
        return await _end(journal, tools, terms.code, terms.words)
    await tools.store.save(asked.id, CONFIG_ARTEFACT, content, tools.clock())
    place = await tools.store.admit(asked.id, terms)
    return Admitted(place.ahead)


def _another_label(request: RunRequest, content: bytes) -> bool:
    """Whether the repository starts runs by a label of its own, which was not the one that was put on."""
    config = repo_config.parse(content) if content else repo_config.DEFAULTS
    own = config.label if isinstance(config, RepoConfig) else None
    return own is not None and own.casefold() != request.label.casefold()


async def _terms(asked: Run, at: At, content: bytes, tools: Tools) -> Terms | _Unfit:
    """What the repository's file and the options of the comment come to, or why they cannot be had."""
    config = repo_config.parse(content) if content else repo_config.DEFAULTS
    if isinstance(config, ConfigInvalid):
        return _Unfit("config-invalid", refusals.config_problems(config))
    if await _budget_left(asked, tools) <= 0:
        return _Unfit(Denial.BUDGET_USED_UP, refusals.budget_used_up(tools.limits.daily_budget_usd))
    request = asked.request
    model = request.options.model or config.model or tools.limits.model
    if request.options.model and model not in tools.limits.models | {config.model}:
        return _Unfit(Denial.MODEL_UNKNOWN, refusals.model_unknown(model, sorted(tools.limits.models)))
    terms = Terms(model, budget(config, tools.limits, request.options), own_branch(asked))
    if request.issue is not None and request.issue.is_pull_request:
        return await _onto_pull(asked, at, request.issue, terms, tools)
    return terms


async def _onto_pull(asked: Run, at: At, thread: Issue, terms: Terms, tools: Tools) -> Terms | _Unfit:
    request = asked.request
    if request.options.base or request.options.draft:
        return _Unfit(Denial.OPTION_UNUSABLE, refusals.sentence(Denial.OPTION_UNUSABLE))
    pull = await tools.github.pull(at, thread.number)
    denial = unusable(pull, request.repo)
    if denial is not None or pull is None:
        code = denial or Denial.PULL_REQUEST_CLOSED
        return _Unfit(code, refusals.sentence(code))
    # Work that a retry goes on from lies on the head of its own time.
    head = asked.base_sha or request.head_seen or pull.head_sha
    return replace(terms, branch=pull.head_ref, base_sha=head, continues_pull=pull.number)


def own_branch(run: Run) -> str:
    """A branch that is this run's alone."""
    issue = run.request.issue
    return names.branch_name(issue.number if issue else None, issue.title if issue else run.request.prompt, run.id)


def budget(config: RepoConfig, limits: Limits, options: Options) -> float:
    """US dollars that the run may cost: the repository's file and the comment can only lower the deployment's limit."""
    wished = (options.budget_usd, config.budget_usd, limits.run_budget_usd)
    return min(dollars for dollars in wished if dollars is not None)


def by_key(request: RunRequest) -> bool:
    """Whether it was not a person who asked: what a key may do was seen at the door."""
    return request.asked_by != "" and not request.asked_by.startswith("user:")


async def _may_ask(asked: Run, at: At, tools: Tools) -> Allowed | Denied:
    repo = asked.request.repo
    state = RepoState(repo.archived, repo.disabled)
    if by_key(asked.request):
        return access.decide_for_key(state)
    try:
        permission = await tools.github.permission(at, asked.request.actor)
    except failures.InstallationSuspended:
        return Denied(Denial.INSTALLATION_SUSPENDED, visible=False)
    except (failures.InstallationGone, failures.RepositoryNotInstalled):
        return Denied(Denial.REPOSITORY_GONE, visible=False)
    return access.decide(Facts(asked.request.actor, permission, state))


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
    place = target_of(request)
    stored = await tools.store.events_after(asked.id, 0)
    words = comment.first_comment(
        asked.id,
        stored,
        run_url=run_url(asked, tools),
        command=tools.command,
        checks_round=request.checks_round,
        now=tools.clock(),
    )
    try:
        _, posted = await asyncio.gather(
            tools.github.react(at, place, EYES) if place else asyncio.sleep(0),
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


def run_url(asked: Run, tools: Tools) -> str:
    return f"{tools.public_url}/runs/{asked.id}"


async def _budget_left(asked: Run, tools: Tools) -> float:
    if tools.limits.daily_budget_usd is None:
        return float("inf")
    midnight = datetime.combine(tools.clock().date(), time.min, UTC)
    spent = await tools.store.spent_since(asked.request.installation_id, midnight)
    return tools.limits.daily_budget_usd - spent
