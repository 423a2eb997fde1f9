"""Which commit a run starts from and which branch its commits go to, settled when its turn has come."""

from dataclasses import replace

from bot.errors import StageFailed
from bot.github.answers import Pull
from bot.intake.access import Denial
from bot.model import Repo, TriggerKind
from bot.pipeline.job import Job, Tools
from bot.pipeline.workplace import BUNDLE_ARTEFACT, EARLIER_SESSION_ARTEFACT, SESSION_ARTEFACT
from bot.runs.records import PullState
from bot.wording import refusals


def unusable(pull: Pull | None, repo: Repo) -> Denial | None:
    """Why no commit of ours may go to this pull request's branch."""
    if pull is None or not pull.is_open:
        return Denial.PULL_REQUEST_CLOSED
    if pull.head_repo_id != repo.id:
        return Denial.FORK_BRANCH
    if pull.head_ref == repo.default_branch:
        return Denial.DEFAULT_BRANCH
    return None


async def settle(job: Job, tools: Tools) -> Job:
    """Pin the head of the pull request that the run goes on with: its thread's, or the one its issue has already.

    While the run waited for its turn the branch may have moved, by a run before it or by a person who may write.
    Raises StageFailed when the thread's pull request cannot be worked on any more.
    """
    issue = job.request.issue
    if issue is None:
        return job
    if not issue.is_pull_request:
        return await _settle_issue(job, tools)
    pull = await tools.github.pull(job.at, issue.number)
    denial = unusable(pull, job.request.repo)
    if denial is not None or pull is None:
        code = denial or Denial.PULL_REQUEST_CLOSED
        raise StageFailed(code, refusals.sentence(code))
    if job.request.trigger is TriggerKind.CHECKS and pull.head_sha != job.request.head_seen:
        raise StageFailed("check-outdated", "The branch has moved on since the check failed, so nothing was done.")
    return await _onto(job, pull, tools)


async def _settle_issue(job: Job, tools: Tools) -> Job:
    """One open pull request an issue: a further request goes on with it."""
    earlier = await tools.store.with_open_pull(job.request.thread)
    if earlier is None or earlier.pull_number is None:
        return job
    pull = await tools.github.pull(job.at, earlier.pull_number)
    if pull is None or not pull.is_open:
        state = PullState.MERGED if pull is not None and pull.merged else PullState.CLOSED
        await tools.store.pull_ended(job.request.repo.id, earlier.pull_number, state)
        return job
    if unusable(pull, job.request.repo) or job.request.options.base not in ("", pull.base_ref):
        return job
    return await _onto(job, pull, tools)


async def _onto(job: Job, pull: Pull, tools: Tools) -> Job:
    store = tools.store
    if job.run.base_sha not in (None, pull.head_sha) and await store.saved(job.id, BUNDLE_ARTEFACT):
        # Work of an earlier try lies on a head that has moved on: the agent does it anew, and knows what it did.
        await store.lend_session(job.id, job.id, SESSION_ARTEFACT, EARLIER_SESSION_ARTEFACT)
        await store.drop(job.id, BUNDLE_ARTEFACT, SESSION_ARTEFACT)
    elif not await store.saved(job.id, SESSION_ARTEFACT):
        earlier = await store.on_pull(job.request.repo.id, pull.number, before=job.id)
        if earlier is not None:
            await store.lend_session(earlier.id, job.id, SESSION_ARTEFACT, EARLIER_SESSION_ARTEFACT)
    run = await store.go_on_with(job.id, branch=pull.head_ref, base_sha=pull.head_sha, pull_number=pull.number)
    return replace(job, run=run, base_sha=pull.head_sha)
