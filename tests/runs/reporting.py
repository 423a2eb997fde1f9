"""The reporter between a real store and a real client of the GitHub stand-in, with one clock that the test moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bot.events import Event
from bot.github.answers import At, OnComment
from bot.github.client import Client, connect
from bot.model import Actor, InstallationId, Issue, Repo, RunId, RunRequest, TriggerKind
from bot.runs.lifecycle import NewRun, Terms
from bot.runs.records import Received, Run
from bot.runs.reporter import Reporter
from bot.runs.store import Store
from bot.runs.view import view_of
from bot.wording.comment import Frame, first_comment, marker, progress_comment
from tests.fakes import github

PUBLIC_URL = "https://bot.example"
_START = datetime(2026, 11, 2, 12, tzinfo=UTC)
_TERMS = Terms(model="a-model", budget_usd=3.0, branch="backspace/1-fix")


@dataclass
class Asked:
    """A run, the thread in which it was asked for, and the comment there that asked."""

    id: RunId
    thread: github.Issue
    comment: github.Comment


@dataclass
class Reporting:
    fake: github.FakeGitHub
    client: Client
    store: Store
    at: At
    reporter: Reporter = field(init=False)
    _asked: int = 0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another process's reporter: it knows only what is stored."""
        self.reporter = Reporter(
            self.store, self.client, clock=self.fake.clock, public_url=PUBLIC_URL, news=self.store.changes
        )

    @property
    def now(self) -> datetime:
        return self.fake.clock()

    async def ask(self) -> Asked:
        """A run that is accepted, in a thread of its own; nothing is said to it yet."""
        self._asked += 1
        thread = self.fake.open_issue("octo", f"Issue {self._asked}", "It subtracts.")
        comment = self.fake.say(thread, "octo", "/backspace fix it")
        octo = self.fake.user("octo")
        actor = Actor(octo.id, octo.login)
        request = RunRequest(
            repo=self.at.repo,
            installation_id=self.at.installation_id,
            trigger=TriggerKind.COMMENT,
            actor=actor,
            prompt="fix it",
            issue=Issue(thread.number, thread.title, thread.body, actor, is_pull_request=False),
            comment_id=comment.id,
            triggered_at=self.now,
        )
        run_id = RunId(f"run-{self._asked}")
        received = Received(f"delivery-{self._asked}", "issue_comment", "created", "start")
        await self.store.accept(received, NewRun(run_id, request, f"wish-{self._asked}"), self.now)
        return Asked(run_id, thread, comment)

    async def greet(self, asked: Asked) -> None:
        """Eyes and the first comment; then it is at work. Raises RateLimited."""
        mark, number = marker(asked.id), asked.thread.number
        events = await self.store.events_after(asked.id, 0)
        words = first_comment(asked.id, events, run_url=f"{PUBLIC_URL}/runs/{asked.id}", now=self.now)
        posted = await self.client.post_comment(self.at, number, words, mark)
        await self.client.react(self.at, OnComment(asked.comment.id), "eyes")
        await self.store.commented(asked.id, posted)
        await self.store.admit(asked.id, _TERMS)
        await self.store.begin(asked.id, self.now)

    async def happens(self, asked: Asked, *events: Event) -> None:
        await self.store.append(asked.id, events, self.now)

    async def run(self, asked: Asked) -> Run:
        found = await self.store.run(asked.id)
        assert found is not None
        return found

    async def after(self, seconds: float) -> bool:
        """The clock moves on, and the reporter tells what is due then."""
        self.fake.clock.advance(seconds)
        worked = False
        while await self.reporter.step(self.now):
            worked = True
        return worked

    def edits(self) -> int:
        """Of comments, as the stand-in saw them."""
        return sum(call.startswith("PATCH") and call.endswith("/comments/{comment_id}") for call in self.calls())

    def calls(self) -> list[str]:
        return self.fake.api_calls()

    def comment(self, asked: Asked) -> str:
        """The one comment of the run, as it stands in the thread."""
        (ours,) = self.fake.bot_comments(asked.thread)
        return ours.body

    async def truth(self, asked: Asked) -> str:
        """What that comment should say, from all that is stored of the run."""
        run, events = await self.run(asked), await self.store.all_events(asked.id)
        frame = Frame(
            asked.id,
            self.at.repo.full_name,
            run_url=f"{PUBLIC_URL}/runs/{asked.id}",
            budget_usd=run.budget_usd,
            model=run.model or "",
        )
        return progress_comment(view_of(events), frame, self.now)


@asynccontextmanager
async def reporting(folder: Path, store: Store) -> AsyncIterator[Reporting]:
    """A repository, somebody who may write to it, and the app installed; GitHub keeps all its limits."""
    clock = github.Clock(lambda: _START)
    fake = github.FakeGitHub.create(folder, clock=clock, secondary_limits=True, described=False)
    with github.serve(fake):
        repository = fake.add_repo("acme/calc", {"README.md": "# calc\n"})
        fake.add_user("octo", "write")
        fake.add_user("boss", "admin")
        installation = fake.install("acme", [repository])

        tokens: list[str] = []

        async def sleep(seconds: float) -> None:
            clock.advance(seconds)

        async with connect(
            app_id=str(fake.identity.id),
            private_key=fake.identity.private_key_pem,
            api_url=fake.api_url,
            web_url=fake.web_url,
            clock=clock,
            on_secret=tokens.append,
            sleep=sleep,
        ) as client:
            at = At(InstallationId(installation), Repo(repository.id, "acme/calc", "main", private=True))
            yield Reporting(fake, client, store, at)
