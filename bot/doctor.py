"""Tries everything that `serve` needs, one after the other; each finding has a code and says how to mend it."""

import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bot import telemetry, wiring
from bot.broker import catalogue
from bot.broker.catalogue import ModelUnreachable
from bot.daytona.failures import DaytonaMissing
from bot.daytona.trial import KEY_PREFIX, Trial
from bot.diagnosis import Diagnosis, Verdict, ok, warning, wrong
from bot.errors import StoreUnavailable
from bot.github import app_check
from bot.github.failures import GitHubFailed
from bot.redaction import Redactor
from bot.runs import database
from bot.sandbox import SandboxFailed
from bot.sandbox.installation import Installation, SandboxUnavailable
from bot.settings import GitHubApp, Settings

Say = Callable[[Diagnosis], None]

_REQUEST_SECONDS = 5.0
_REQUEST_BYTES = 16 * 1024


def run(settings: Settings, say: Say, *, trial: bool) -> bool:
    """As `examine`, in a process of its own."""
    telemetry.configure(form=settings.log, redact=Redactor(wiring.secrets_of(settings)).redact, stream=sys.stderr)
    return asyncio.run(examine(settings, say, trial=trial))


async def examine(settings: Settings, say: Say, *, trial: bool) -> bool:
    """Whether nothing is wrong. Starts no server and no run; `trial`: make a sandbox on Daytona, where they are."""
    redactor = Redactor(wiring.secrets_of(settings))
    verdicts: list[Verdict] = []

    def tell(found: Diagnosis) -> None:
        verdicts.append(found.verdict)
        say(replace(found, words=redactor.redact(found.words)))

    tell(ok("settings", "all of them can be used"))
    tell(await asyncio.to_thread(_home, settings.home))
    tell(await asyncio.to_thread(_database, settings.database_url.get_secret_value()))
    if settings.github_app:
        await _github(settings, settings.github_app, redactor, tell)
    tell(await _model(settings))
    if settings.sandbox == "bubblewrap":
        tell(await _bubblewrap(settings))
    else:
        await _daytona(settings, tell, trial=trial)
    return Verdict.WRONG not in verdicts


# This machine


def _home(home: Path) -> Diagnosis:
    nearest = next((path for path in (home, *home.parents) if path.exists()), Path("/"))
    try:
        if nearest == home:
            with tempfile.NamedTemporaryFile(dir=home):
                pass
        elif not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError
    except OSError:
        return wrong(
            "home-not-writable",
            f"{home} cannot be written by this user",
            f"Give {nearest} to the user that runs Backspace, or set BACKSPACE_HOME to another directory.",
        )
    return ok("home", str(home) if nearest == home else f"{home}, which will be made")


def _database(url: str) -> Diagnosis:
    if database.is_sqlite(url) and not database.file_of(url).exists():
        return ok("database", f"{database.file_of(url)}, which will be made")
    try:
        engine = database.open_engine(url, pool_size=1, isolation=None)
        try:
            found = database.standing(engine)
        finally:
            engine.dispose()
    except StoreUnavailable as error:
        return wrong(
            "database-unavailable",
            str(error),
            "Check DATABASE_URL, that its server runs, and that this user may use the database.",
        )
    if not found.known:
        return wrong(
            "database-newer",
            f"the database is at version {found.present}, which this Backspace does not know",
            "Install the Backspace that made it, or a newer one.",
        )
    if found.present != found.newest:
        return ok(
            "database", f"it answers; the next start brings it from {found.present or 'nothing'} to {found.newest}"
        )
    return ok("database", f"it answers, and is up to date ({found.present})")


async def _bubblewrap(settings: Settings) -> Diagnosis:
    try:
        async with wiring.bubblewrap(settings) as sandboxes:
            found: Installation = await sandboxes.check()
    except SandboxUnavailable as error:
        return wrong(error.code, error.problem, f"{error.remedy[:1].upper()}{error.remedy[1:]}.")
    except (SandboxFailed, OSError) as error:
        return wrong(
            "sandbox-failed", f"no sandbox can be made: {error}", "Mend that, then run `backspace doctor` again."
        )
    if found.claude is None:
        return wrong(
            "claude-missing", "the Claude Code program is not installed", "Install Backspace with its extra `agent`."
        )
    return ok("sandbox", f"bubblewrap makes sandboxes ({found.bwrap})")


# GitHub


async def _github(settings: Settings, app: GitHubApp, redactor: Redactor, tell: Say) -> None:
    try:
        async with wiring.github_client(settings, app, redactor) as github:
            registered = await github.app.registration()
            webhook = await github.app.webhook_url()
    except GitHubFailed as error:
        return tell(_refused(settings, error))
    tell(ok("github-app", f"GitHub knows the app as {registered.slug}"))
    for found in app_check.findings(registered, webhook, public_url=settings.public_url):
        tell(found)
    return None


def _refused(settings: Settings, error: GitHubFailed) -> Diagnosis:
    url = settings.github_api_url
    if error.status == 404:
        remedy = "Check GITHUB_APP_ID and GITHUB_API_URL."
        return wrong("github-app-unknown", f"{url} knows no app {settings.github_app_id}", remedy)
    if error.retry_helps:
        remedy = f"Check GITHUB_API_URL, and that this machine gets there. {error.next_step}"
        return wrong(error.code, f"{url} does not answer: {error}", remedy)
    remedy = "Check GITHUB_API_URL." if error.code == GitHubFailed.code else error.next_step
    return wrong(error.code, f"{url} refuses the app: {error}", remedy)


# The model


async def _model(settings: Settings) -> Diagnosis:
    url, key = settings.anthropic_base_url, settings.anthropic_api_key
    try:
        found = await catalogue.ask(upstream=url, api_key=key.get_secret_value() if key else "")
    except ModelUnreachable as error:
        return wrong(
            "model-unreachable",
            f"{url} does not answer: {error}",
            "Check ANTHROPIC_BASE_URL, and that this machine gets there, by a proxy if it needs one.",
        )
    if found.status in (401, 403):
        return wrong(
            "model-key-refused", f"{url} refuses the key", "Set ANTHROPIC_API_KEY to a key that is good there."
        )
    if found.status == 429 or found.status >= 500:
        remedy = "Try again in a few minutes; status.claude.com tells about outages."
        return wrong("model-unavailable", f"{url} answers {found.status}", remedy)
    if found.status != 200 or not found.models:
        remedy = "See that it is a model API; one that lists no models may be used all the same."
        return warning("model-list", f"{url}/v1/models answers {found.status} and names no model", remedy)
    if settings.model not in found.models:
        return warning(
            "model-unlisted",
            f"{url} does not list {settings.model}",
            "Set BACKSPACE_MODEL to one of those that it lists, unless this is another name for one.",
        )
    return ok("model", f"{url} takes the key and has {settings.model}")


# Daytona


async def _daytona(settings: Settings, tell: Say, *, trial: bool) -> None:
    if settings.daytona_api_key is None:
        return
    try:
        async with (
            _listening(settings.host, settings.port),
            wiring.daytona_cloud(settings, settings.daytona_api_key) as cloud,
        ):
            tried = Trial(
                cloud,
                snapshot=wiring.daytona_snapshot(settings),
                broker_url=settings.public_url,
                hosts=settings.egress_allow,
                accept_open_network=settings.daytona_accept_open_network,
                clock=wiring.now,
                monotonic=time.monotonic,
                say=tell,
            )
            if await tried.look() and trial:
                await tried.attempt(f"{KEY_PREFIX}{secrets.token_hex(8)}")
    except DaytonaMissing:
        tell(
            wrong(
                "daytona-sdk-missing", "the Daytona SDK is not installed", "Install Backspace with its extra `daytona`."
            )
        )


@asynccontextmanager
async def _listening(host: str, port: int) -> AsyncIterator[None]:
    """Where `serve` would, so that a sandbox can try the way there. Nothing to do where it runs already."""
    try:
        server = await asyncio.start_server(_answer, host, port)
    except OSError:
        yield
        return
    async with server:
        yield


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """To /healthz alone; whoever wants something else is to come back."""
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            asked = (await reader.read(_REQUEST_BYTES)).startswith(b"GET /healthz ")
        status, body = ("200 OK", b"ok\n") if asked else ("503 Service Unavailable", b"")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
    except (ConnectionError, TimeoutError):
        return
    finally:
        writer.close()
