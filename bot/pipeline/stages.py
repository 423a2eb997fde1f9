"""Hands the engine's steps to the stages, and ends every run, however it went: the pipeline's one catch site."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from bot import events as ev
from bot.errors import StageFailed
from bot.github.answers import where
from bot.github.failures import CheckoutFailed, GitHubFailed
from bot.intake import errands as waiting
from bot.intake import repo_config
from bot.intake.repo_config import ConfigInvalid, RepoConfig
from bot.model import Outcome, RunId, RunState
from bot.pipeline import again, authorize, errands, prepare, publish, verify, work
from bot.pipeline.job import Job, Journal, Tools
from bot.pipeline.outputs import Prepared, Published, Verified, Worked, dump, load
from bot.pipeline.session import asked_to_stop
from bot.pipeline.workplace import BUNDLE_ARTEFACT, Workplaces
from bot.runs.records import Run
from bot.sandbox import SandboxFailed, SandboxLost
from bot.sandbox.installation import SandboxUnavailable
from bot.wording import outcomes

_SANDBOXES_A_STAGE = 3
log = structlog.get_logger("bot.pipeline.stages")


class Pipeline:
    """Implements `runs.workflows.Stages`."""

    def __init__(self, tools: Tools, finished: Callable[[Outcome], None]) -> None:
        """`finished` is told how each run ended."""
        self._tools = tools
        self._finished = finished
        self._workplaces = Workplaces(tools)

    async def expect_back(self) -> None:
        """Before anything is taken up again: agents that lived on ask for the model before their runs are."""
        for run in await self._tools.store.unfinished():
            self._tools.broker.expect(run.id, self._tools.token_of(run.id))

    async def errand(self, errand: dict[str, Any]) -> None:
        await errands.run(waiting.load(errand), self._tools)

    async def answer(self, run_id: RunId) -> None:
        run = await self._run(run_id)
        decision = await authorize.run(run, self._tools)
        log.info("run.answered", run=run_id, repo=run.request.repo.full_name, decision=repr(decision))

    async def prepare(self, run_id: RunId) -> dict[str, Any]:
        await self._tools.store.begin(run_id, self._tools.clock())
        if (await self._run(run_id)).state is RunState.FINISHED:
            return {"over": True}  # stopped while it waited for its turn
        job = await self._job(run_id, {})

        async def once() -> dict[str, Any]:
            return dump(await prepare.run(job, self._tools, self._workplaces))

        preparing = asyncio.create_task(self._in_a_sandbox(run_id, once))
        stop = asyncio.create_task(asked_to_stop(job, self._tools.store))
        try:
            await asyncio.wait({preparing, stop}, return_when=asyncio.FIRST_COMPLETED)
            if preparing.done():
                return await preparing
        finally:
            stop.cancel()
            preparing.cancel()
            await asyncio.gather(stop, preparing, return_exceptions=True)
        words = (await self._run(run_id)).stop_reason or again.STOPPED_EARLY
        await self._end(run_id, Outcome.STOPPED, words, None)
        return {"over": True}

    async def work(self, run_id: RunId, outputs: dict[str, Any]) -> dict[str, Any]:
        async def once() -> dict[str, Any]:
            return dump(await work.run(await self._job(run_id, outputs), self._tools, self._workplaces))

        return await self._in_a_sandbox(run_id, once)

    async def verify(self, run_id: RunId, outputs: dict[str, Any]) -> dict[str, Any]:
        worked = load(Worked, outputs, "work")

        async def once() -> dict[str, Any]:
            return dump(await verify.run(await self._job(run_id, outputs), worked, self._tools, self._workplaces))

        return await self._in_a_sandbox(run_id, once)

    async def _in_a_sandbox(self, run_id: RunId, stage: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """A stage whose sandbox is lost goes on in a new one, from what was saved last; a few times."""
        for left in reversed(range(_SANDBOXES_A_STAGE)):
            try:
                return await stage()
            except SandboxLost as error:
                if not left:
                    raise
                log.warning("run.sandbox_lost", run=run_id, error=str(error))
                await self._workplaces.lost(run_id)
        raise AssertionError  # the last try returned or raised

    async def publish(self, run_id: RunId, outputs: dict[str, Any]) -> dict[str, Any]:
        job = await self._job(run_id, outputs)
        story = publish.Story(
            load(Prepared, outputs, "prepare"), load(Worked, outputs, "work"), load(Verified, outputs, "verify")
        )
        return dump(await publish.run(job, story, self._tools, self._workplaces))

    async def finish(self, run_id: RunId, outputs: dict[str, Any]) -> None:
        published = load(Published, outputs, "publish")
        summary = published.summary
        if published.outcome is Outcome.STOPPED and (reason := (await self._run(run_id)).stop_reason):
            summary = "\n\n".join(filter(None, [reason, summary]))
        await self._end(run_id, published.outcome, summary, published.pr_url)

    async def abandon(self, run_id: RunId, stage: str, error: Exception | None) -> None:
        """A stage raised: what is known of why goes to the people, the rest to the log."""
        run = await self._run(run_id)
        if run.stop_reason is not None:
            log.info("run.shut_out", run=run_id, stage=stage, error=repr(error))
            kept = await self._kept(run)
            return await self._end(run_id, Outcome.STOPPED, "\n\n".join(filter(None, [run.stop_reason, kept])), None)
        failure = in_words(stage, error)
        log.warning("run.failed", run=run_id, stage=stage, code=failure.code, error=repr(error), exc_info=error)
        journal = Journal(run_id, self._tools)
        words = f"{failure.public} {failure.next_step}".strip()
        await journal.write(ev.ErrorReport(failure.code, words, recoverable=False))
        kept = await self._kept(run)
        await self._end(run_id, Outcome.FAILED, "\n\n".join(filter(None, [words, kept])), None)
        return None

    async def _kept(self, run: Run) -> str:
        """Where the work is that a failure kept from becoming what was asked for; empty when there is none."""
        tools = self._tools
        if run.head_sha is not None and run.branch is not None and run.continues_pull is None:
            return outcomes.kept_on_branch(run.branch, tools.github.branch_url(where(run.request), run.branch))
        if await tools.store.saved(run.id, publish.PATCH_ARTEFACT):
            return outcomes.kept_as_patch(f"{tools.public_url}/api/runs/{run.id}/patch")
        return outcomes.kept_for_retry() if await tools.store.saved(run.id, BUNDLE_ARTEFACT) else ""

    async def _end(self, run_id: RunId, outcome: Outcome, summary: str, pr_url: str | None) -> None:
        await self._tools.broker.close(run_id)
        await self._workplaces.close(run_id)
        await self._tools.store.finish(run_id, ev.Complete(outcome, summary, 0, 0, pr_url), self._tools.clock())
        self._finished(outcome)
        log.info("run.finished", run=run_id, outcome=outcome)

    async def _run(self, run_id: RunId) -> Run:
        run = await self._tools.store.run(run_id)
        if run is None:
            raise StageFailed("run-unknown", "This run is not known any more.")
        return run

    async def _job(self, run_id: RunId, outputs: dict[str, Any]) -> Job:
        run, content = await asyncio.gather(
            self._run(run_id), self._tools.store.saved(run_id, authorize.CONFIG_ARTEFACT)
        )
        base_sha = load(Prepared, outputs, "prepare").base_sha if "prepare" in outputs else run.base_sha
        return Job(run, _config(content), bool(content), base_sha)


def _config(content: bytes | None) -> RepoConfig:
    if not content:
        return repo_config.DEFAULTS
    config = repo_config.parse(content)
    assert not isinstance(config, ConfigInvalid), "it was valid when the run was admitted"
    return config


def in_words(stage: str, error: Exception | None) -> StageFailed:
    """What people are told about a failure: never an exception's own text, unless it was written for them."""
    match error:
        case StageFailed():
            return error
        case GitHubFailed() | CheckoutFailed():
            return StageFailed(error.code, (type(error).__doc__ or "").strip(), error.next_step)
        case SandboxLost():
            return StageFailed("sandbox-lost", "The sandbox was lost.", "Ask again.")
        case SandboxUnavailable():
            return StageFailed(error.code, f"This server cannot make sandboxes: {error.problem}.", error.remedy)
        case SandboxFailed():
            words = error.public or "The sandbox could not be made or used."
            return StageFailed(error.code, words, "" if error.public else "The server's log says why.")
        case _:
            return StageFailed(
                "internal-error", f"Something went wrong here, in {stage}.", "The server's log says what."
            )
