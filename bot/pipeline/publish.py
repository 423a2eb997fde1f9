"""Fifth stage: the work leaves the sandbox through quarantine and gates, and becomes a branch and a pull request."""

import asyncio
from dataclasses import dataclass

from bot import events as ev
from bot.errors import StageFailed
from bot.github import gates, secrets
from bot.github.diff import Diff
from bot.github.failures import NothingToMerge
from bot.github.publish import Commit
from bot.github.publish import Published as OnBranch
from bot.github.quarantine import Quarantined
from bot.intake.access import WRITERS
from bot.model import Outcome, Stage
from bot.pipeline.job import Job, Journal, Tools
from bot.pipeline.outputs import Ended, Prepared, Published, Verified, Worked
from bot.pipeline.workplace import BUNDLE_ARTEFACT, WORK_REF, Workplaces
from bot.wording import names, outcomes, pull_request

PATCH_ARTEFACT = "patch"
_OUTCOMES = {
    Ended.NEEDS_INPUT: Outcome.NEEDS_INPUT,
    Ended.STOPPED: Outcome.STOPPED,
    Ended.BUDGET: Outcome.BUDGET_EXCEEDED,
    Ended.TIMED_OUT: Outcome.TIMED_OUT,
    Ended.FAILED: Outcome.FAILED,
}


@dataclass(frozen=True)
class Story:
    """What the earlier stages say."""

    prepared: Prepared
    worked: Worked
    verified: Verified

    @property
    def final(self) -> Worked:
        """How the agent's last part ended."""
        return self.verified.worked or self.worked


async def run(job: Job, story: Story, tools: Tools, workplaces: Workplaces) -> Published:
    """Publish what the gates let pass; what they stop is kept as a patch. Safe to run twice."""
    journal = Journal(job.id, tools)
    final = story.final
    if final.ended is Ended.FAILED:
        await journal.write(ev.ErrorReport(final.code, f"{final.public} {final.next_step}".strip(), recoverable=False))
    bundle = await tools.store.saved(job.id, BUNDLE_ARTEFACT) if final.changed else None
    if not bundle:
        return _without_changes(final)
    await journal.reach(Stage.COMMITTING, "Looking through the changes")
    work, diff = await _quarantine(job, bundle, tools, workplaces)
    if diff.patch_complete:
        await tools.store.save(job.id, PATCH_ARTEFACT, diff.patch, tools.clock())
    rules = gates.Rules(
        protected_paths=job.config.protected_paths,
        max_changed_files=job.config.max_changed_files,
        max_diff_bytes=job.config.max_diff_kb * 1024,
    )
    found = await asyncio.to_thread(secrets.scan, diff.patch)
    verdict = gates.judge(diff, rules, found)
    if isinstance(verdict, gates.Refused):
        words = outcomes.gates_refused(verdict.violations, kept=diff.patch_complete)
        await journal.write(ev.ErrorReport("gate-refused", words, recoverable=False))
        # Work that ended early keeps the outcome that ended it; the patch is there either way.
        return Published(_OUTCOMES.get(final.ended, Outcome.REFUSED), words)
    await _ask_again(job, tools)
    return await _publish(job, story, tools, work=work, diff=diff)


def _without_changes(final: Worked) -> Published:
    if final.ended is Ended.DONE:
        return Published(Outcome.NO_CHANGES, outcomes.no_changes(final.answer))
    return Published(_OUTCOMES[final.ended], outcomes.ended(final.ended, final.answer, final.public, final.next_step))


async def _quarantine(job: Job, bundle: bytes, tools: Tools, workplaces: Workplaces) -> tuple[Quarantined, Diff]:
    clone = await workplaces.clone(job)
    work = await tools.quarantine.take(
        bundle,
        base=clone.base_sha,
        pristine=clone.pristine,
        into=tools.checkouts / f"{job.id}-quarantine",
        ref=WORK_REF,
    )
    return work, await tools.quarantine.changes(work)


async def _ask_again(job: Job, tools: Tools) -> None:
    """Permission may be gone since the run began."""
    permission = await tools.github.permission(job.at, job.request.actor)
    if permission is None or permission.user_id != job.request.actor.id or permission.level not in WRITERS:
        raise StageFailed(
            "not-authorised",
            f"@{job.request.actor.login} may no longer write to this repository, so nothing was pushed.",
            "The work is kept as a patch.",
        )


async def _publish(job: Job, story: Story, tools: Tools, *, work: Quarantined, diff: Diff) -> Published:
    journal = Journal(job.id, tools)
    run, request, final = job.run, job.request, story.final
    assert run.branch is not None
    await journal.reach(Stage.PUSHING, f"Pushing {len(diff.changes)} changed file(s) to {run.branch}")
    issue = request.issue.number if request.issue else None
    title = pull_request.title(request.issue.title if request.issue else request.prompt, issue)
    commit = await tools.publisher.publish(
        Commit(
            at=job.at,
            run_id=job.id,
            work=work,
            diff=diff,
            branch=run.branch,
            message=names.commit_message(title, final.answer, request.actor, issue),
        )
    )
    if final.ended is not Ended.DONE:
        words = outcomes.ended(final.ended, final.answer, final.public, final.next_step, branch=run.branch)
        return Published(_OUTCOMES[final.ended], words)
    await journal.reach(Stage.PR_CREATION, "Opening the pull request")
    return await _open(job, story, tools, diff=diff, commit=commit, title=title)


async def _open(job: Job, story: Story, tools: Tools, *, diff: Diff, commit: OnBranch, title: str) -> Published:
    run, request, final = job.run, job.request, story.final
    assert run.branch is not None
    draft = story.verified.failing if job.config.draft == "on_failing_checks" else bool(job.config.draft)
    latest = await tools.store.run(job.id)
    assert latest is not None
    unsigned = "" if commit.verified else commit.reason
    body = pull_request.body(
        pull_request.Facts(
            run_id=job.id,
            run_url=f"{tools.public_url}/runs/{job.id}",
            request=request,
            answer=final.answer,
            before=story.verified.before,
            after=story.verified.after,
            not_run=story.verified.not_run,
            comments_shown=story.prepared.comments_shown,
            withheld=story.prepared.withheld,
            instruction_files=story.prepared.instructions,
            config_file=job.has_config,
            unsigned_reason=unsigned,
            usage=latest.usage,
            budget_usd=run.budget_usd,
            model=run.model or "",
            seconds=(tools.clock() - run.created_at).total_seconds(),
            events=await tools.store.all_events(job.id),
        )
    )
    base = job.config.base or request.repo.default_branch
    try:
        pull = await tools.github.open_pull(job.at, branch=run.branch, base=base, title=title, body=body, draft=draft)
    except NothingToMerge:
        return Published(Outcome.NO_CHANGES, outcomes.merged_already(base))
    await Journal(job.id, tools).write(
        ev.PrCreated(
            pr_url=pull.url,
            pr_number=pull.number,
            branch_name=run.branch,
            files_changed=len(diff.changes),
            additions=diff.additions,
            deletions=diff.deletions,
            summary=final.answer,
        )
    )
    return Published(Outcome.PULL_REQUEST, outcomes.opened(final.answer, unsigned), pull.url)
