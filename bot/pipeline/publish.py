"""Fifth stage: the work leaves the sandbox through quarantine and gates, and becomes a branch and a pull request."""

import asyncio
from dataclasses import dataclass, replace

from bot import events as ev
from bot.errors import StageFailed
from bot.github import gates, secrets
from bot.github.diff import Diff
from bot.github.failures import BranchTaken, NothingToMerge
from bot.github.publish import Commit
from bot.github.publish import Published as OnBranch
from bot.github.quarantine import Quarantined
from bot.intake.access import WRITERS
from bot.model import Outcome, Stage
from bot.pipeline.authorize import by_key, own_branch
from bot.pipeline.job import Job, Journal, Tools
from bot.pipeline.outputs import Ended, Prepared, Published, Verified, Worked
from bot.pipeline.tree_scripts import WORK_REF
from bot.pipeline.workplace import BUNDLE_ARTEFACT, Workplaces
from bot.wording import names, outcomes, pull_request, refusals

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
    if by_key(job.request):
        key_id = job.request.asked_by.removeprefix("key:")
        if not job.request.asked_by.startswith("key:") or await tools.keys.good(key_id, job.request.repo.full_name):
            return
        raise StageFailed(
            "not-authorised",
            "The key that asked for this was revoked, so nothing was pushed.",
            "The work is kept as a patch.",
        )
    permission = await tools.github.permission(job.at, job.request.actor)
    if permission is None or permission.user_id != job.request.actor.id or permission.level not in WRITERS:
        raise StageFailed(
            "not-authorised",
            f"@{job.request.actor.login} may no longer write to this repository, so nothing was pushed.",
            "The work is kept as a patch.",
        )


async def _publish(job: Job, story: Story, tools: Tools, *, work: Quarantined, diff: Diff) -> Published:
    """Finished work goes where it was asked to; what ended early is kept on a branch of the run's own."""
    request, final = job.request, story.final
    onto = job.run.continues_pull if final.ended is Ended.DONE else None
    subject = request.prompt if onto or not request.issue else request.issue.title
    issue = request.issue.number if request.issue else None
    branch = job.run.branch if onto or not job.run.continues_pull else own_branch(job.run)
    assert branch is not None
    commit = Commit(
        at=job.at,
        run_id=job.id,
        work=work,
        diff=diff,
        branch=branch,
        message=names.commit_message(pull_request.title(subject, issue), final.answer, request.actor, issue),
        new_branch=onto is None,
    )
    await Journal(job.id, tools).reach(Stage.PUSHING, f"Pushing {len(diff.changes)} changed file(s) to {branch}")
    try:
        there = await tools.publisher.publish(commit)
    except BranchTaken:
        if onto is None:
            raise
        return await _keep_aside(job, commit, final, tools)
    await tools.store.published(job.id, there.sha, None)
    url = tools.github.branch_url(job.at, branch)
    if final.ended is not Ended.DONE:
        words = outcomes.ended(final.ended, final.answer, final.public, final.next_step, branch=branch, branch_url=url)
        return Published(_OUTCOMES[final.ended], words)
    if onto is not None:
        return await _pushed(job, story, tools, diff=diff, commit=there, number=onto)
    await Journal(job.id, tools).reach(Stage.PR_CREATION, f"Opening the pull request from {url}")
    return await _open(job, story, tools, diff=diff, commit=there, title=pull_request.title(subject, issue))


async def _keep_aside(job: Job, commit: Commit, final: Worked, tools: Tools) -> Published:
    """The branch has moved while the run worked: its new commits are not overwritten, and the work is not lost."""
    aside = replace(commit, branch=own_branch(job.run), new_branch=True)
    there = await tools.publisher.publish(aside)
    await tools.store.published(job.id, there.sha, None)
    words = refusals.sentence("branch-moved")
    await Journal(job.id, tools).write(ev.ErrorReport("branch-moved", words, recoverable=False))
    url = tools.github.branch_url(job.at, aside.branch)
    said = outcomes.ended("failed", final.answer, words, "", branch=aside.branch, branch_url=url)
    return Published(Outcome.FAILED, said)


async def _pushed(job: Job, story: Story, tools: Tools, *, diff: Diff, commit: OnBranch, number: int) -> Published:
    await tools.store.published(job.id, commit.sha, number)
    assert job.run.branch is not None
    summary = outcomes.pushed(
        story.final.answer,
        "" if commit.verified else commit.reason,
        branch=job.run.branch,
        files=len(diff.changes),
        additions=diff.additions,
        deletions=diff.deletions,
        saw=pull_request.saw_list(await _facts(job, story, tools, commit)),
    )
    return Published(Outcome.COMMITS_PUSHED, summary, tools.github.pull_url(job.at, number))


async def _open(job: Job, story: Story, tools: Tools, *, diff: Diff, commit: OnBranch, title: str) -> Published:
    run, answer = job.run, story.final.answer
    assert run.branch is not None
    draft = story.verified.failing if job.config.draft == "on_failing_checks" else bool(job.config.draft)
    facts = await _facts(job, story, tools, commit)
    try:
        pull = await tools.github.open_pull(
            job.at,
            branch=run.branch,
            base=job.base,
            title=title,
            body=pull_request.body(facts),
            draft=draft or job.request.options.draft,
        )
    except NothingToMerge:
        return Published(Outcome.NO_CHANGES, outcomes.merged_already(job.base))
    await tools.store.published(job.id, commit.sha, pull.number)
    await Journal(job.id, tools).write(
        ev.PrCreated(
            pr_url=pull.url,
            pr_number=pull.number,
            branch_name=run.branch,
            files_changed=len(diff.changes),
            additions=diff.additions,
            deletions=diff.deletions,
            summary=answer,
        )
    )
    return Published(Outcome.PULL_REQUEST, outcomes.opened(answer, facts.unsigned_reason), pull.url)


async def _facts(job: Job, story: Story, tools: Tools, commit: OnBranch) -> pull_request.Facts:
    latest = await tools.store.run(job.id)
    assert latest is not None
    return pull_request.Facts(
        run_id=job.id,
        run_url=f"{tools.public_url}/runs/{job.id}",
        request=job.request,
        answer=story.final.answer,
        before=story.verified.before,
        after=story.verified.after,
        not_run=story.verified.not_run,
        seen=story.prepared.seen,
        config_file=job.has_config,
        unsigned_reason="" if commit.verified else commit.reason,
        usage=latest.usage,
        budget_usd=job.run.budget_usd,
        model=job.run.model or "",
        seconds=(tools.clock() - job.run.created_at).total_seconds(),
        events=await tools.store.all_events(job.id),
    )
