"""What every stage gets: the job as frozen data, and the tools with which it may act."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from bot import events as ev
from bot.agent.command import ModelAccess
from bot.broker.proxy import Broker
from bot.github.answers import At, where
from bot.github.attachments import Attachments
from bot.github.checkout import Checkout
from bot.github.client import Client
from bot.github.publish import Publisher
from bot.github.quarantine import Quarantine
from bot.intake.repo_config import RepoConfig
from bot.model import RunId, RunRequest, Stage
from bot.runs.keys import Keys
from bot.runs.label_work import LabelWork
from bot.runs.records import Run
from bot.runs.sandboxes import Sandboxes
from bot.runs.store import Store
from bot.sandbox import Sandbox
from bot.sandbox.egress import EgressGateway
from bot.sandbox.registries import RegistryFinder

PERCENT = {
    Stage.QUEUED: 0,
    Stage.AUTHORIZING: 2,
    Stage.CLONING: 5,
    Stage.ANALYZING: 10,
    Stage.CODING: 20,
    Stage.VERIFYING: 70,
    Stage.COMMITTING: 85,
    Stage.PUSHING: 90,
    Stage.PR_CREATION: 95,
}


@dataclass(frozen=True)
class Limits:
    """The deployment's limits; a repository's file may only lower them."""

    run_budget_usd: float
    daily_budget_usd: float | None
    run_timeout_minutes: int
    model: str
    models: frozenset[str]
    """Those that have a price here, and so may be asked for by name."""


@dataclass(frozen=True)
class Tools:
    """The effects that stages may use."""

    store: Store
    label_work: LabelWork
    keys: Keys
    sandboxes: Sandboxes
    github: Client
    attachments: Attachments
    checkout: Checkout
    quarantine: Quarantine
    publisher: Publisher
    sandbox: Sandbox
    broker: Broker
    egress: EgressGateway
    registries: RegistryFinder
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    new_id: Callable[[], str]
    token_of: Callable[[RunId], str]
    """What a run is known by at the broker; the same after a restart, for its agent may have lived on."""
    model_access: Callable[[str], ModelAccess]
    """How the model is reached from a sandbox, with that token."""
    limits: Limits
    egress_allow: tuple[str, ...]
    egress_private: tuple[str, ...]
    checkouts: Path
    """Where the host keeps clones and quarantines, a folder a run."""
    public_url: str
    command: str
    """The word that starts a command."""
    label: str


@dataclass(frozen=True)
class Job:
    """One run, as a stage sees it."""

    run: Run
    config: RepoConfig
    has_config: bool = False
    """Whether the repository has a file of settings, or the defaults hold."""
    base_sha: str | None = None
    """The commit that the run started from; None before it is known."""

    @property
    def id(self) -> RunId:
        return self.run.id

    @property
    def request(self) -> RunRequest:
        return self.run.request

    @property
    def base(self) -> str:
        """The branch that its pull request goes to, where it opens one."""
        return self.request.options.base or self.config.base or self.request.repo.default_branch

    @property
    def at(self) -> At:
        return where(self.request)


@dataclass(frozen=True)
class Journal:
    """A run's pen: appends to its event log."""

    run_id: RunId
    tools: Tools = field(repr=False)

    async def write(self, *news: ev.Event, offset: int | None = None) -> None:
        """`offset`: up to where in the agent's output that was said."""
        await self.tools.store.append(self.run_id, news, self.tools.clock(), offset=offset)

    async def reach(self, stage: Stage, message: str) -> None:
        await self.write(ev.Progress(stage, message, PERCENT[stage]))
