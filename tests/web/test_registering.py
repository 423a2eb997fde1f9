"""The pages of `backspace setup`: for the browser of whoever started it, once, and with words for what goes wrong."""

import asyncio
import html
import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from bot.github import registration
from bot.github.registration import Registered
from bot.web.registering import Kept, Registering
from tests.fakes.github import Clock, FakeGitHub, Fault, serve
from tests.loopback import LOOPBACK, connected
from tests.web.serving import served

_TOKEN = "the-token"
_PUBLIC_URL = "https://backspace.example"


@dataclass
class Stage:
    """The server of `backspace setup` without its command."""

    address: str
    github: FakeGitHub
    clock: Clock
    registering: Registering
    apps: list[Registered] = field(default_factory=list)

    @asynccontextmanager
    async def browser(self, *, known: bool = True) -> AsyncIterator[httpx.AsyncClient]:
        async with connected(self.address) as client:
            if known:
                assert (await client.get("/setup", params={"token": _TOKEN})).status_code == 303
            yield client


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    github = FakeGitHub.create(tmp_path / "github")
    github.add_repo("acme/calc", {"README.md": "# Calc\n"})
    clock, apps = Clock(), []

    def keep(app: Registered) -> Kept:
        apps.append(app)
        return Kept(app, lines="GITHUB_APP_ID=1\n")

    with serve(github):
        async with registration.connect(api_url=github.api_url, api_version="2026-03-10") as registrar:
            registering = Registering(registrar, github.web_url, _PUBLIC_URL, _TOKEN, keep, clock, secrets.token_bytes)
            async with served(registering.asgi(), None) as (address, _):
                yield Stage(address, github, clock, registering, apps)


def form_of(page: httpx.Response) -> tuple[str, dict[str, Any]]:
    """Where the form of the page goes, and the manifest in it."""
    action = re.search(r'method="post" action="([^"]+)"', page.text)
    manifest = re.search(r'name="manifest" value="([^"]+)"', page.text)
    assert action, page.text
    assert manifest, page.text
    return html.unescape(action[1]), json.loads(html.unescape(manifest[1]))


def at_github(action: str, manifest: dict[str, Any], name: str = "Backspace of Acme") -> str:
    """Somebody says yes there: where GitHub sends them back to."""
    asked = LOOPBACK.post(action, data={"manifest": json.dumps(manifest)})
    assert asked.status_code == 200, asked.text
    hidden = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', asked.text)}
    web_url = f"{urlsplit(action).scheme}://{urlsplit(action).netloc}"
    return LOOPBACK.post(f"{web_url}/settings/apps", data={**hidden, "name": name}).headers["location"]


def alert(page: httpx.Response) -> str:
    found = re.search(r'role="alert"><strong>([^<]*)</strong>', page.text)
    return html.unescape(found[1]) if found else ""


async def test_from_the_page_to_the_app(stage: Stage) -> None:
    async with stage.browser() as client:
        page = await client.get("/setup")
        action, manifest = form_of(page)
        assert action.startswith(f"{stage.github.web_url}/settings/apps/new?state=")
        assert manifest["hook_attributes"] == {"url": f"{_PUBLIC_URL}/webhook"}
        assert manifest["callback_urls"] == [f"{_PUBLIC_URL}/login/callback"]
        assert manifest["setup_url"] == f"{_PUBLIC_URL}/setup"
        assert manifest["redirect_url"] == f"{stage.address}/setup/done"
        done = await client.get(at_github(action, manifest))
        assert done.status_code == 200
        assert "Backspace of Acme is registered" in done.text
        assert "GITHUB_APP_ID=1" in done.text
        assert done.headers["cache-control"] == "no-store"
        (app,) = stage.apps
        identity = stage.github.identity
        assert (app.id, app.client_id, app.client_secret) == (identity.id, identity.client_id, identity.client_secret)
        assert app.private_key == identity.private_key_pem
        assert app.webhook_secret == stage.github.hooks.secret
        await asyncio.wait_for(stage.registering.over.wait(), 10)
    stage.github.assert_clean()


async def test_forms_of_the_page_lead_to_github_and_here_only(stage: Stage) -> None:
    async with stage.browser() as client:
        policy = (await client.get("/setup")).headers["content-security-policy"]
    assert f"form-action 'self' {stage.github.web_url};" in policy
    assert "default-src 'none'" in policy


async def test_every_permission_and_event_is_on_the_page(stage: Stage) -> None:
    async with stage.browser() as client:
        page = await client.get("/setup")
    _, manifest = form_of(page)
    asked = [f"<code>{name}: {level}</code>" for name, level in manifest["default_permissions"].items()]
    asked += [f"<code>{name}</code>" for name in manifest["default_events"]]
    assert [one for one in asked if one not in page.text] == []


async def test_an_organization_gets_the_app(stage: Stage) -> None:
    async with stage.browser() as client:
        page = await client.get("/setup", params={"organization": "acme"})
        action, manifest = form_of(page)
        assert action.startswith(f"{stage.github.web_url}/organizations/acme/settings/apps/new?state=")
        wrong = await client.get("/setup", params={"organization": "acme/../evil?x"})
        assert (wrong.status_code, alert(wrong)) == (422, "That is not the name of an organization.")
        assert (await client.get(at_github(action, manifest))).status_code == 200
    assert len(stage.apps) == 1


async def test_strangers_see_no_form_and_finish_nothing(stage: Stage) -> None:
    async with stage.browser() as client, stage.browser(known=False) as stranger:
        back = at_github(*form_of(await client.get("/setup")))
        for url in ("/setup", "/setup?token=wrong", back):
            page = await stranger.get(url)
            assert page.status_code == 403
            assert "<form" not in page.text
            assert "state=" not in page.text
        assert (await client.get(back)).status_code == 200
    assert len(stage.apps) == 1


async def test_an_app_that_was_not_asked_for_here_is_not_taken(stage: Stage) -> None:
    async with stage.browser() as client:
        back = at_github(*form_of(await client.get("/setup")))
        code = parse_qs(urlsplit(back).query)["code"][0]
        for state in ("", "guessed"):
            page = await client.get("/setup/done", params={"state": state, "code": code})
            assert (page.status_code, alert(page)[:29]) == (400, "This registration was not sta")
    assert stage.apps == []


async def test_once_only(stage: Stage) -> None:
    async with stage.browser() as client:
        back, other = [at_github(*form_of(await client.get("/setup"))) for _ in range(2)]
        assert (await client.get(back)).status_code == 200
        await client.get("/setup", params={"token": _TOKEN})
        for again in (back, other):
            page = await client.get(again)
            assert page.status_code == 400
            assert "GITHUB_APP_ID" not in page.text
            assert "<form" not in page.text
    assert len(stage.apps) == 1


async def test_too_late(stage: Stage) -> None:
    async with stage.browser() as client:
        back = at_github(*form_of(await client.get("/setup")))
        stage.clock.advance(timedelta(hours=1).total_seconds())
        assert (await client.get(back)).status_code == 400
    assert stage.apps == []


async def test_a_code_that_github_does_not_know(stage: Stage) -> None:
    async with stage.browser() as client:
        for code in ("used-before", "", "../../user"):
            action, _ = form_of(await client.get("/setup"))
            state = parse_qs(urlsplit(action).query)["state"][0]
            page = await client.get("/setup/done", params={"state": state, "code": code})
            assert (page.status_code, alert(page)) == (400, "GitHub does not take the code that you came back with.")
    assert stage.apps == []


async def test_while_github_does_not_answer_the_page_can_be_loaded_again(stage: Stage) -> None:
    stage.github.fail("POST", "/app-manifests/*/conversions", Fault.SERVER_ERROR)
    async with stage.browser() as client:
        back = at_github(*form_of(await client.get("/setup")))
        page = await client.get(back)
        assert (page.status_code, alert(page)) == (502, "GitHub did not answer.")
        assert (await client.get(back)).status_code == 200
    assert len(stage.apps) == 1


async def test_there_is_nothing_else(stage: Stage) -> None:
    async with stage.browser(known=False) as client:
        assert (await client.get("/static/backspace.css")).status_code == 200
        assert (await client.get("/")).headers["location"] == "/setup"
        assert (await client.get("/api/runs")).json()["code"] == "no-such-page"
        assert (await client.post("/setup")).status_code == 405
