"""From nothing to a server: `backspace setup`, GitHub's page, `.env`, `backspace serve`, and its page of the app."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from dotenv import dotenv_values

from tests.deployment import Backspace, Deployment, deployed, until
from tests.journeys.test_sign_in import browser, signed_in
from tests.loopback import LOOPBACK
from tests.web.test_registering import at_github, form_of

pytestmark = pytest.mark.slow

_SECONDS = 60


@pytest.fixture(scope="module")
def unregistered() -> Iterator[Deployment]:
    """A deployment without an app, not started."""
    with deployed(start=False) as deployment:
        kept = {name: value for name, value in deployment.backspace.settings.items() if not _of_the_app(name)}
        bare = replace(deployment.backspace, settings={**kept, "BACKSPACE_REQUIRE_AUTH": "true"})
        (bare.home / ".env").write_text("# ours\nBACKSPACE_MAX_RUNS=2\n")
        (bare.home / ".env").chmod(0o644)
        try:
            yield replace(deployment, backspace=bare)
        finally:
            bare.stop()


def _of_the_app(name: str) -> bool:
    return name.startswith("GITHUB_") and name not in {"GITHUB_URL", "GITHUB_API_URL"}


@contextmanager
def setting_up(backspace: Backspace, *options: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "setup", *options],
        cwd=backspace.home,
        env={**backspace.environment(), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def registered(deployment: Deployment, *options: str) -> tuple[int, str, str]:
    """The exit status, the last page, and what the command said."""
    with setting_up(deployment.backspace, *options) as process, browser(deployment) as client:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith(f"{deployment.backspace.url}/setup?token="), address
        client.get(address)
        page = client.get("/setup").raise_for_status()
        done = client.get(at_github(*form_of(page))).raise_for_status()
        _, said = process.communicate(timeout=_SECONDS)
        return process.returncode, done.text, said


def refused(deployment: Deployment, *options: str) -> str:
    with setting_up(deployment.backspace, *options) as process:
        _, said = process.communicate(timeout=_SECONDS)
        assert process.returncode == 2, said
        return said


def test_the_whole_way(unregistered: Deployment) -> None:
    backspace, github = unregistered.backspace, unregistered.github
    file = backspace.home / ".env"

    status, page, said = registered(unregistered)
    assert status == 0, said
    assert f"Its settings are in {file}." in said
    assert "Now start `backspace serve`." in said
    values = dotenv_values(file)
    assert values["GITHUB_APP_ID"] == str(github.identity.id)
    assert values["BACKSPACE_MAX_RUNS"] == "2"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secrets = [value for name in values if _of_the_app(name) and (value := values[name]) and len(value) > 20]
    assert len(secrets) == 3
    assert not [secret for secret in secrets if secret in page + said]

    assert "GITHUB_APP_ID is set in .env" in refused(unregistered)
    assert dotenv_values(file) == values

    backspace.start()
    asked = unregistered.ask(unregistered.issue(), user="stranger")
    assert asked.status == 202, asked.body
    with browser(unregistered) as client:
        answer = client.get("/setup")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/setup")
    with signed_in(unregistered, "octo", "/setup") as client:
        shown = client.get("/setup").raise_for_status().text
        assert "Backspace is registered" in shown
        assert f'href="{github.web_url}/apps/{github.identity.slug}/installations/new"' in shown
        assert "<p>Nothing.</p>" in shown
        assert not [secret for secret in secrets if secret in shown]
    backspace.stop()


def test_shown_instead_of_written(unregistered: Deployment) -> None:
    file = unregistered.backspace.home / ".env"
    before = file.read_text()
    status, page, said = registered(unregistered, "--show")
    assert status == 0, said
    assert f"GITHUB_APP_ID={unregistered.github.identity.id}\n" in page
    assert unregistered.github.hooks.secret in page
    assert unregistered.github.hooks.secret not in said
    assert file.read_text() == before


def test_given_up(unregistered: Deployment) -> None:
    with setting_up(unregistered.backspace, "--show") as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        until(lambda: LOOPBACK.get(address).status_code == 303, what="it listens")
        os.kill(process.pid, 2)
        assert process.wait(_SECONDS) == 130
