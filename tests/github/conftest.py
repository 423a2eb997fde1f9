"""A stand-in GitHub with one repository, one issue and the app installed; and our client of it."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.github.answers import At
from bot.github.checkout import Checkout
from bot.github.client import Client, connect
from bot.github.git import Git, Remote
from bot.github.quarantine import Quarantine
from bot.model import Actor, InstallationId, Repo
from tests.fakes.github import FakeGitHub, Issue, Repository, serve
from tests.github.sandboxed import Agent

FILES = {
    "README.md": "# Widgets\n",
    "src/widget.py": "def size() -> int:\n    return 1\n",
    "run.sh": "#!/bin/sh\necho widgets\n",
    ".github/backspace.yml": "checks: [make test]\n",
}


@dataclass
class Scene:
    """What a test has in its hands."""

    fake: FakeGitHub
    client: Client
    repository: Repository
    issue: Issue
    at: At
    actor: Actor
    secrets: list[str] = field(default_factory=list)
    """Every token that was offered for redaction."""

    def mints(self) -> int:
        return sum("access_tokens" in call for call in self.fake.api_calls())

    def calls(self, words: str) -> int:
        return sum(words in call for call in self.fake.api_calls())


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    fake = FakeGitHub.create(tmp_path / "github")
    with serve(fake):
        yield fake


@pytest.fixture
async def scene(fake: FakeGitHub) -> AsyncIterator[Scene]:
    repository = fake.add_repo("acme/widgets", FILES)
    octo = fake.add_user("octo", "write")
    installation = fake.install("acme", [repository])
    issue = fake.open_issue("octo", "Widgets are too small", "Make them two.")
    secrets: list[str] = []

    async def sleep(seconds: float) -> None:
        fake.clock.advance(seconds)

    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            connect(
                app_id=str(fake.identity.id),
                private_key=fake.identity.private_key_pem,
                api_url=fake.api_url,
                web_url=fake.web_url,
                clock=fake.clock,
                on_secret=secrets.append,
                sleep=sleep,
            )
        )
        at = At(
            InstallationId(installation),
            Repo(repository.id, repository.full_name, repository.default_branch, private=True),
        )
        yield Scene(fake, client, repository, issue, at, Actor(octo.id, octo.login), secrets)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture
def git(tmp_path: Path) -> Git:
    home = tmp_path / "home"
    home.mkdir()
    return Git(home=home)


@pytest.fixture
def checkout(git: Git, executor: ThreadPoolExecutor) -> Checkout:
    async def at_once(seconds: float) -> None:
        pass

    return Checkout(git, executor=executor, sleep=at_once)


@pytest.fixture
def quarantine(git: Git, executor: ThreadPoolExecutor) -> Quarantine:
    return Quarantine(git, executor=executor)


@pytest.fixture
async def remote(scene: Scene) -> Remote:
    return Remote(scene.client.git_url(scene.at), await scene.client.clone_token(scene.at))


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path / "agent-home")
