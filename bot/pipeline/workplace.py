"""Where a run works: its clone on the host, its sandbox with the tree set up, and an untouched copy of both.

A step's result outlives the process, a workplace does not: every stage that needs one asks for it and gets
the one at hand, or a new one made from the same commit.
"""

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import structlog

from bot import events as ev
from bot.agent.claude import restore_session
from bot.errors import StageFailed
from bot.github.checkout import Clone
from bot.github.failures import RepositoryUnreachable
from bot.github.git import Remote
from bot.model import CheckResult, RunId, Stage, Usage, When
from bot.pipeline import images, tree_scripts
from bot.pipeline.job import Job, Journal, Tools
from bot.runs.sandboxes import Working
from bot.sandbox import REPO, Finished, SandboxFailed, SandboxId, SandboxLost, Spec
from bot.sandbox.egress import Refused
from bot.sandbox.registries import allow_list, client_env

log = structlog.get_logger("bot.pipeline.workplace")
CHECK_TIMEOUT_SECONDS = 1800.0
SETUP_TIMEOUT_SECONDS = 1500.0
_OUTPUT_LIMIT_BYTES = 64 * 1024
_SHOWN_CHARACTERS = 6_000
BUNDLE_ARTEFACT = "work.bundle"
SESSION_ARTEFACT = "session"
EARLIER_SESSION_ARTEFACT = "earlier-session"
"""Of another run, or of work that was given up: the agent knows what it did, and is told the task anew."""
_BUNDLE_LIMIT_BYTES = 64 * 1024**2
_SHORT_SECONDS = 120.0
_CLOSE_SECONDS = 30.0
"""Then the run ends all the same, and what is left is the janitor's."""


@dataclass
class Session:
    """The agent's session in a sandbox. `begun`: there is something said there that can be resumed."""

    id: str
    begun: bool = False
    earlier: bool = False
    """What was said there was another task."""
    working: Working | None = None
    """The agent that was at work when we went away, and may be still."""


@dataclass(frozen=True)
class Workplace:
    clone: Clone
    sandbox: SandboxId
    pristine: SandboxId | None
    """The tree and HOME after `setup`, before the agent; None without `setup`, or when there are no checks."""
    spec: Spec
    token: str
    """What the run is known by at the broker; worth this one run."""
    env: dict[str, str]
    session: Session
    spoken: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the agent is under way, or will not be."""


@dataclass(frozen=True)
class _Empty:
    """A sandbox before anything is in it."""

    sandbox: SandboxId
    spec: Spec
    token: str
    env: dict[str, str]
    session: Session


class Workplaces:
    """The workplaces of this process, by run."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._places: dict[RunId, Workplace] = {}
        self._before: dict[RunId, asyncio.Task[list[CheckResult]]] = {}

    async def ensure(self, job: Job) -> Workplace:
        """The run's workplace, made when there is none. Raises StageFailed with words for people."""
        if job.id in self._places:
            return self._places[job.id]
        place = await self._as_it_was(job)
        if place is not None:
            self._places[job.id] = place
            return place
        journal = Journal(job.id, self._tools)
        await journal.reach(Stage.CLONING, f"Cloning {job.request.repo.full_name}")
        empty = asyncio.create_task(self._make(job, journal))
        try:
            clone = await self._clone(job)
            await journal.reach(Stage.ANALYZING, "Preparing the sandbox")
        except BaseException:
            empty.cancel()
            await asyncio.gather(empty, return_exceptions=True)
            raise
        place = await self._furnish(job, clone, await empty)
        await self._go_on(job, place)
        # Whoever finds the sandbox again needs the commit that is in it.
        await self._tools.store.remember_base(job.id, clone.base_sha)
        await self._tools.sandboxes.furnished(job.id)
        self._places[job.id] = place
        return place

    async def _as_it_was(self, job: Job) -> Workplace | None:
        """The workplace of an earlier process, where its sandbox lived on."""
        tools = self._tools
        if not await tools.sandboxes.is_furnished(job.id) or (sandbox := await tools.sandbox.attach(job.id)) is None:
            return None
        clone = await self._clone(job)
        empty = await self._around(job, Journal(job.id, tools), sandbox)
        empty.session.working = await tools.sandboxes.working(job.id)
        # In this sandbox is what was said in it.
        empty.session.begun = empty.session.working is not None or bool(
            await tools.store.saved(job.id, SESSION_ARTEFACT)
        )
        place = Workplace(clone, sandbox, None, empty.spec, empty.token, empty.env, empty.session)
        if not (job.config.checks and job.config.setup):
            return place
        pristine = await tools.sandbox.attach(_pristine(job.id))
        if pristine is None or not await tools.sandboxes.is_furnished(pristine):
            pristine = await tools.sandbox.create(_pristine(job.id), place.spec)
            await tools.sandbox.put(pristine, REPO, clone.tree)
            await self.set_up(place, pristine, job.config.setup)
            await tools.sandboxes.furnished(pristine)
        return replace(place, pristine=pristine)

    async def lost(self, run_id: RunId) -> None:
        """The run's sandbox is of no use; the next stage that needs one gets a new one, with what was saved."""
        self._places.pop(run_id, None)
        await self._forget_before(run_id)
        await self._tools.sandboxes.lost(run_id)
        await self._delete(SandboxId(run_id))

    async def _forget_before(self, run_id: RunId) -> None:
        before = self._before.pop(run_id, None)
        if before is not None:
            before.cancel()
            await asyncio.gather(before, return_exceptions=True)

    async def _delete(self, sandbox: SandboxId) -> None:
        """What cannot be deleted now is the janitor's; no run waits for that."""
        try:
            await self._tools.sandbox.delete(sandbox)
        except (SandboxFailed, SandboxLost) as error:
            log.warning("sandbox.not_deleted", sandbox=sandbox, error=str(error))

    async def clone(self, job: Job) -> Clone:
        """The run's clone on the host, without a sandbox."""
        place = self._places.get(job.id)
        return place.clone if place else await self._clone(job)

    async def _go_on(self, job: Job, place: Workplace) -> None:
        """Lay an earlier try's saved work, images and session into a new sandbox."""
        await images.lay(job, place.sandbox, self._tools)
        bundle = await self._tools.store.saved(job.id, BUNDLE_ARTEFACT)
        archive = await self._tools.store.saved(job.id, SESSION_ARTEFACT)
        if not archive:
            archive = await self._tools.store.saved(job.id, EARLIER_SESSION_ARTEFACT)
            place.session.earlier = archive is not None
        if bundle:
            await self._git(place, place.sandbox, tree_scripts.RESTORE, bundle)
        if archive and job.run.session_id:
            await restore_session(self._tools.sandbox, place.sandbox, archive)
            place.session.begun = True

    async def _clone(self, job: Job) -> Clone:
        github, clone = self._tools.github, self._tools.checkout.clone
        ref, folder = job.base_sha or job.base, self._folder(job.id)
        remote = Remote(github.git_url(job.at), await github.clone_token(job.at))
        try:
            return await clone(remote, ref=ref, into=folder)
        except RepositoryUnreachable:
            # GitHub says no more of a token that it has withdrawn.
            github.refused(remote.token)
            return await clone(replace(remote, token=await github.clone_token(job.at)), ref=ref, into=folder)

    async def _make(self, job: Job, journal: Journal) -> _Empty:
        """A sandbox with its ways out; it needs nothing of the clone."""
        return await self._around(job, journal, None)

    async def _around(self, job: Job, journal: Journal, sandbox: SandboxId | None) -> _Empty:
        """The ways out of the run's sandbox, which is made when there is none."""
        tools = self._tools
        # Only `setup` is sure to need the registries; otherwise what is known must do, so that nothing waits.
        registries = await tools.registries.ready() if job.config.setup else tools.registries.known()
        allow = allow_list(registries, tools.egress_allow, job.config.network.allow, tools.egress_private)

        async def refused(refusal: Refused) -> None:
            message = f"{refusal.host}:{refusal.port} was blocked: {refusal.why}"
            await journal.write(ev.ErrorReport("egress-refused", message, recoverable=True))

        async def used(run_id: RunId, usage: Usage) -> None:
            total = await tools.store.add_usage(run_id, usage)
            await journal.write(ev.UsageReport(**asdict(total)))

        token = tools.token_of(job.id)
        broker = await tools.broker.open(
            job.id,
            token=token,
            budget_usd=job.run.budget_usd or tools.limits.run_budget_usd,
            spent=job.run.usage,
            allowed_models={job.run.model or tools.limits.model},
            on_usage=used,
        )
        egress = await tools.egress.open(job.id, allow, refused)
        spec = Spec(egress_socket=egress, hosts=allow.names, private=job.request.repo.private)
        if sandbox is None:
            sandbox = await tools.sandbox.create(job.id, replace(spec, broker_socket=broker))
        session = Session(job.run.session_id or tools.new_id())
        if session.id != job.run.session_id:
            await tools.store.remember_session(job.id, session.id)
        return _Empty(sandbox, spec, token, dict(client_env(registries)), session)

    async def _furnish(self, job: Job, clone: Clone, empty: _Empty) -> Workplace:
        await self._tools.sandbox.put(empty.sandbox, REPO, clone.tree)
        place = Workplace(clone, empty.sandbox, None, empty.spec, empty.token, empty.env, empty.session)
        await self.set_up(place, empty.sandbox, job.config.setup)
        if not (job.config.checks and job.config.setup):
            return place
        pristine = await self._tools.sandbox.copy(empty.sandbox, _pristine(job.id), empty.spec)
        await self._tools.sandboxes.furnished(pristine)
        return replace(place, pristine=pristine)

    async def _untouched(self, place: Workplace, key: str) -> SandboxId:
        """A sandbox with the tree as it was before the agent, and set up."""
        if place.pristine is not None:
            return await self._tools.sandbox.copy(place.pristine, key, place.spec)
        sandbox = await self._tools.sandbox.create(key, place.spec)
        await self._tools.sandbox.put(sandbox, REPO, place.clone.tree)
        return sandbox

    async def set_up(self, place: Workplace, sandbox: SandboxId, commands: Sequence[str]) -> None:
        """Run the repository's `setup` there. Raises StageFailed with the output of what failed."""
        for command in commands:
            done = await self.shell(place, sandbox, command, timeout_seconds=SETUP_TIMEOUT_SECONDS)
            if done.exit_code != 0:
                raise StageFailed(
                    "setup-failed",
                    f"`setup` failed: `{command}` ended with exit code {done.exit_code}.\n\n```\n{shown(done)}\n```",
                    "Mend the command in `.github/backspace.yml`, or name the hosts it needs under `network.allow`.",
                )
        if commands:
            await self.shell(place, sandbox, tree_scripts.EXCLUDE_LEFTOVERS, timeout_seconds=_SHORT_SECONDS)

    async def shell(
        self,
        place: Workplace,
        sandbox: SandboxId,
        command: str,
        *,
        timeout_seconds: float,
        env: dict[str, str] | None = None,
        low_priority: bool = False,
    ) -> Finished:
        """Run a shell command in REPO of one of the run's sandboxes, with the network that the run has."""
        return await self._tools.sandbox.run(
            sandbox,
            ["/bin/bash", "-c", command],
            timeout_seconds=timeout_seconds,
            env={**place.env, **(env or {})},
            limit_bytes=_OUTPUT_LIMIT_BYTES,
            low_priority=low_priority,
        )

    async def checks(
        self, place: Workplace, sandbox: SandboxId, commands: Sequence[str], when: When, journal: Journal
    ) -> list[CheckResult]:
        """Run the repository's checks there, in order, and log each as it ends."""
        results = []
        for command in commands:
            done = await self.shell(
                place,
                sandbox,
                command,
                timeout_seconds=CHECK_TIMEOUT_SECONDS,
                low_priority=when is When.BEFORE,
            )
            result = CheckResult(command, done.exit_code, round(done.seconds, 1), when, shown(done))
            await journal.write(ev.Check(command, result.exit_code, result.seconds, when, result.output))
            results.append(result)
        return results

    def start_checks_before(self, job: Job, place: Workplace) -> None:
        """Let the checks run on the tree as it was, once the agent has started; `checks_before` waits for them."""
        if job.config.checks and job.id not in self._before:
            self._before[job.id] = asyncio.create_task(self._run_checks_before(job, place))

    async def checks_before(self, job: Job, place: Workplace) -> list[CheckResult]:
        """What the checks said on the tree as it was."""
        self.start_checks_before(job, place)
        place.spoken.set()
        return await self._before[job.id]

    async def _run_checks_before(self, job: Job, place: Workplace) -> list[CheckResult]:
        await place.spoken.wait()
        copy = await self._untouched(place, f"{job.id}-before")
        try:
            return await self.checks(place, copy, job.config.checks, When.BEFORE, Journal(job.id, self._tools))
        finally:
            await self._delete(copy)

    async def checks_after(self, job: Job, place: Workplace, bundle: bytes) -> list[CheckResult]:
        """The checks on a fresh copy of the final commit, set up anew: nothing that the agent left behind counts."""
        copy = await self._untouched(place, f"{job.id}-after")
        try:
            await self._git(place, copy, tree_scripts.APPLY, bundle)
            await self.set_up(place, copy, job.config.setup)
            return await self.checks(place, copy, job.config.checks, When.AFTER, Journal(job.id, self._tools))
        finally:
            await self._delete(copy)

    async def harvest(self, place: Workplace) -> bytes | None:
        """The tree as it is now, as a bundle of one commit on the base; None when nothing changed."""
        done = await self.shell(
            place,
            place.sandbox,
            tree_scripts.HARVEST,
            timeout_seconds=_SHORT_SECONDS,
            env=tree_scripts.identity(place.clone.base_sha),
        )
        if done.exit_code == tree_scripts.NO_CHANGE_EXIT:
            return None
        if done.exit_code != 0:
            raise StageFailed(
                "work-unreadable",
                "The changes could not be read out of the sandbox: its git repository is damaged.",
                "Ask again; tell the agent to leave `.git` alone.",
                detail=shown(done),
            )
        return await self._tools.sandbox.get(place.sandbox, tree_scripts.BUNDLE, limit_bytes=_BUNDLE_LIMIT_BYTES)

    async def _git(self, place: Workplace, sandbox: SandboxId, script: str, bundle: bytes) -> None:
        await self._tools.sandbox.put(sandbox, tree_scripts.BUNDLE, bundle)
        done = await self.shell(place, sandbox, script, timeout_seconds=_SHORT_SECONDS)
        if done.exit_code != 0:
            raise StageFailed("work-unreadable", "Saved work could not be laid over a fresh copy.", detail=shown(done))

    async def close(self, run_id: RunId) -> None:
        """Leave nothing of the run behind: sandboxes, sockets, clone."""
        self._places.pop(run_id, None)
        await self._forget_before(run_id)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.gather(*(self._delete(sandbox) for sandbox in await self._of(run_id)))
        except TimeoutError:
            log.warning("sandbox.not_deleted", run=run_id, error="it took too long")
        await self._tools.egress.close(run_id)
        shutil.rmtree(self._folder(run_id), ignore_errors=True)

    async def _of(self, run_id: RunId) -> set[SandboxId]:
        """Those that exist, and those that may."""
        known = {SandboxId(kept.key) for kept in await self._tools.sandboxes.open(run_id)}
        try:
            owned = await self._tools.sandbox.list_owned()
        except SandboxFailed as error:
            log.warning("sandbox.not_listed", run=run_id, error=str(error))
            owned = []
        return known | {sandbox for sandbox in owned if sandbox.startswith(run_id)}

    def _folder(self, run_id: RunId) -> Path:
        return self._tools.checkouts / run_id


def _pristine(run_id: RunId) -> str:
    return f"{run_id}-pristine"


def shown(done: Finished) -> str:
    """The end of a command's output, as text; it says when it was cut or stopped."""
    text = done.output.decode("utf-8", "replace")
    if len(text) > _SHOWN_CHARACTERS:
        text = f"… [cut, {len(text) - _SHOWN_CHARACTERS} characters before this]\n{text[-_SHOWN_CHARACTERS:]}"
    return f"{text}\n[stopped: it ran longer than allowed]" if done.timed_out else text
