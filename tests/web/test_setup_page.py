"""`GET /setup` of a server that has its app: what it is called, what is missing, and that it keeps its secrets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from bot.github.client import connect
from bot.runs.keys import Keys
from bot.runs.sign_ins import SignIns
from bot.web.doorkeeper import Doorkeeper
from bot.web.setup_page import SetupPage
from tests.fakes.github import EVENTS, PERMISSIONS, FakeGitHub, Fault, serve
from tests.loopback import connected
from tests.runs.conftest import opened
from tests.web.serving import NOON, served

_PUBLIC_URL = "https://backspace.example"


@asynccontextmanager
async def visited(
    github: FakeGitHub, database: Path, *, open_to_all: bool = True, people_sign_in: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    identity = github.identity
    with serve(github), opened(f"sqlite:///{database}") as tables:
        async with connect(
            app_id=str(identity.id),
            private_key=identity.private_key_pem,
            api_url=github.api_url,
            web_url=github.web_url,
            clock=github.clock,
            on_secret=lambda _: None,
            sleep=lambda _: asyncio.sleep(0),
        ) as client:
            keeper = Doorkeeper(
                Keys(tables),
                SignIns(tables),
                client,
                public_url=_PUBLIC_URL,
                open_to_all=open_to_all,
                clock=lambda: NOON,
            )
            page = SetupPage(keeper, client.app, identity.id, _PUBLIC_URL, people_sign_in, lambda: NOON)
            async with served(Starlette(routes=page.routes()), None) as (address, _), connected(address) as browser:
                yield browser


async def test_strangers_are_sent_to_sign_in(tmp_path: Path) -> None:
    github = FakeGitHub.create(tmp_path / "github", described=False)
    async with visited(github, tmp_path / "db", open_to_all=False) as browser:
        answer = await browser.get("/setup")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/setup")


async def test_all_is_well(tmp_path: Path) -> None:
    github = FakeGitHub.create(tmp_path / "github", described=False)
    github.webhook(f"{_PUBLIC_URL}/webhook", "It's a Secret to Everybody")
    github.install("acme", [github.add_repo("acme/calc", {"README.md": "# Calc\n"})])
    async with visited(github, tmp_path / "db") as browser:
        page = (await browser.get("/setup")).text
        assert "<h1>Backspace is registered</h1>" in page
        assert "<p>Nothing.</p>" in page
        assert f'href="{github.web_url}/apps/backspace/installations/new"' in page
    identity = github.identity
    secrets = (identity.client_secret, identity.private_key_pem.splitlines()[1], github.hooks.secret)
    assert not [secret for secret in secrets if secret in page]


async def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path) -> None:
    github = FakeGitHub.create(
        tmp_path / "github",
        described=False,
        permissions={**PERMISSIONS, "contents": "read"},
        events=[event for event in EVENTS if event != "issue_comment"],
    )
    async with visited(github, tmp_path / "db", people_sign_in=False) as browser:
        page = (await browser.get("/setup")).text
    for words in (
        "The app lacks contents: write.",
        "The app does not hear of issue_comment.",
        "GitHub delivers to nowhere",
        "The app is installed nowhere.",
        "Nobody can sign in.",
        f"{_PUBLIC_URL}/login/callback as its callback URL",
    ):
        assert words in page


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.UNAUTHORIZED])
async def test_while_github_does_not_say(fault: Fault, tmp_path: Path) -> None:
    github = FakeGitHub.create(tmp_path / "github", described=False)
    github.fail("GET", "/app", fault, count=50)
    async with visited(github, tmp_path / "db") as browser:
        page = await browser.get("/setup")
    assert page.status_code == 200
    assert f"App {github.identity.id} is registered" in page.text
    assert "GitHub does not say more of it just now." in page.text
