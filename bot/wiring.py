"""Settings become every part, once; the only module that names the concrete classes."""

import asyncio
import base64
import contextlib
import gc
import hashlib
import hmac
import os
import secrets
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from bot import telemetry
from bot.agent.command import ModelAccess
from bot.broker.prices import Price, PriceTable
from bot.broker.proxy import Broker
from bot.daytona.backend import Daytona
from bot.daytona.cloud import Cloud
from bot.daytona.cloud import connect as connect_cloud
from bot.daytona.snapshot import DEFINITION
from bot.errors import SettingProblem, SettingsError
from bot.github.attachments import Attachments
from bot.github.checkout import Checkout
from bot.github.client import Client, connect
from bot.github.git import Git
from bot.github.oauth import OAuth
from bot.github.oauth import connect as connect_oauth
from bot.github.publish import Publisher
from bot.github.quarantine import Quarantine
from bot.model import RunId
from bot.pipeline.job import Limits, Tools
from bot.pipeline.stages import Pipeline
from bot.redaction import Redactor
from bot.runs import database
from bot.runs.delivery_log import DeliveryLog
from bot.runs.engine import Caps, Engine
from bot.runs.janitor import Janitor
from bot.runs.keys import Keys
from bot.runs.label_work import LabelWork
from bot.runs.labeller import Labeller
from bot.runs.listing import Listing
from bot.runs.rates import Rates
from bot.runs.reception import Reception
from bot.runs.recovery import Recovery
from bot.runs.reporter import Reporter
from bot.runs.sandboxes import Sandboxes
from bot.runs.sign_ins import SignIns
from bot.runs.store import Store
from bot.runs.tables import Tables
from bot.sandbox import Sandbox
from bot.sandbox.bubblewrap import Bubblewrap
from bot.sandbox.egress import EgressGateway
from bot.sandbox.registries import RegistryFinder
from bot.settings import GitHubApp, Settings
from bot.telemetry import Metrics
from bot.web import routes
from bot.web.api import CodeApi
from bot.web.door import Door
from bot.web.doorkeeper import LOOPBACK, Doorkeeper
from bot.web.hub import Hub
from bot.web.kept import Kept
from bot.web.openapi import Described
from bot.web.page_routes import Pages
from bot.web.run_actions import RunActions
from bot.web.runs import RunReaders
from bot.web.server import Server
from bot.web.setup_page import SetupPage
from bot.web.signing_in import SigningIn

_FILE_THREADS = 8
_TTL_GRACE_MINUTES = 120
"""Beyond a run's time limit, which counts no checks: then Daytona destroys its sandboxes whatever happens."""
_REMOTE_RETRIES = 10
"""Some minutes: while we are restarted, an agent that lives on waits for us."""
_GARBAGE_THRESHOLDS = (10_000, 20, 20)
log = structlog.get_logger("bot.wiring")


def now() -> datetime:
    return datetime.now(UTC)


def new_run_id() -> RunId:
    return RunId(str(uuid.uuid4()))


class Checked(Sandbox, Protocol):
    """A backend that can say beforehand what is in its way."""

    async def check(self) -> object:
        """Raises SandboxUnavailable."""
        ...


@dataclass
class Backspace:
    """The parts of one process."""

    web: ASGIApp
    store: Store
    hub: Hub
    engine: Engine
    pipeline: Pipeline
    reporter: Reporter
    janitor: Janitor
    labeller: Labeller
    recovery: Recovery
    registries: RegistryFinder
    sandbox: Checked
    ready: bool = False


@asynccontextmanager
async def assemble(settings: Settings, redactor: Redactor) -> AsyncIterator[Backspace]:
    """Every part, connected; nothing runs yet."""
    app = settings.github_app
    if app is None or settings.anthropic_api_key is None:
        raise SettingsError([SettingProblem("GITHUB_APP_ID", "is not set", "Set what `serve` needs.")])
    home = settings.home
    url = settings.database_url.get_secret_value()
    async with AsyncExitStack() as stack:
        stack.enter_context(database.exclusive(url))
        writing = database.open_engine(url, pool_size=1, isolation=None)
        reading = database.open_engine(url, pool_size=4)
        database.migrate(writing)
        engine = Engine(
            url,
            Caps(settings.max_runs, settings.max_runs_per_installation, settings.run_timeout_minutes * 60.0),
        )
        engine.migrate()
        tables = Tables(writing, reading)
        stack.callback(tables.close)
        store = Store(tables, engine, redactor.redact)
        label_work = LabelWork(tables)
        keys = Keys(tables)
        rates = Rates(tables, now)
        files = stack.enter_context(ThreadPoolExecutor(_FILE_THREADS, thread_name_prefix="files"))
        github = await stack.enter_async_context(github_client(settings, app, redactor))
        git = Git(home=home / "git")
        quarantine = Quarantine(git, executor=files)
        metrics = Metrics()
        sandboxes = Sandboxes(tables, now, metrics)
        sandbox = await _sandbox(settings, stack, sandboxes)
        egress = await stack.enter_async_context(EgressGateway(home / "egress"))
        prices = PriceTable({model: Price(**price.model_dump()) for model, price in settings.prices.items()})
        broker = Broker(
            upstream=settings.anthropic_base_url,
            api_key=settings.anthropic_api_key.get_secret_value(),
            sockets=home / "broker",
            prices=prices,
        )
        stack.push_async_callback(broker.shutdown)
        registries = RegistryFinder(cache=home / "registries.json", environment=os.environ, clock=now)
        tools = Tools(
            store=store,
            label_work=label_work,
            keys=keys,
            sandboxes=sandboxes,
            github=github,
            attachments=Attachments(web_url=settings.github_url, rendered=github.threads.rendered),
            checkout=Checkout(git, executor=files),
            quarantine=quarantine,
            publisher=Publisher(github, quarantine, clock=now),
            sandbox=sandbox,
            broker=broker,
            egress=egress,
            registries=registries,
            clock=now,
            monotonic=time.monotonic,
            sleep=asyncio.sleep,
            new_id=lambda: str(uuid.uuid4()),
            token_of=lambda run_id: _known(_broker_token(app.private_key, run_id), redactor),
            model_access=_model_access(settings),
            limits=Limits(
                run_budget_usd=settings.run_budget_usd,
                daily_budget_usd=settings.daily_budget_usd,
                run_timeout_minutes=settings.run_timeout_minutes,
                model=settings.model,
                models=prices.models | {settings.model},
            ),
            egress_allow=settings.egress_allow,
            egress_private=settings.egress_private_hosts,
            checkouts=home / "checkouts",
            public_url=settings.public_url.rstrip("/"),
            command=settings.command,
            label=settings.label,
        )
        pipeline = Pipeline(tools, finished=metrics.run_finished)
        reception = Reception(
            store=store,
            command=settings.command,
            label=settings.label,
            app_id=app.id,
            clock=now,
            new_run_id=new_run_id,
        )
        parts = Backspace(
            web=Starlette(),
            store=store,
            hub=Hub(store),
            engine=engine,
            pipeline=pipeline,
            reporter=Reporter(
                store,
                github,
                clock=now,
                public_url=tools.public_url,
                command=settings.command,
                news=store.changes,
                money=sandboxes,
            ),
            janitor=Janitor(store, engine, pipeline, sandbox, sandboxes, monotonic=time.monotonic),
            labeller=Labeller(label_work, github.app, github, label=settings.label, clock=now),
            recovery=Recovery(github.app, reception, DeliveryLog(tables), clock=now),
            registries=registries,
            sandbox=sandbox,
        )
        sign_ins = SignIns(tables)
        doorkeeper = Doorkeeper(
            keys,
            sign_ins,
            github,
            public_url=settings.public_url,
            open_to_all=not settings.require_auth and settings.host in LOOPBACK,
            clock=now,
        )
        signing_in = SigningIn(
            await _oauth(settings, stack), sign_ins, doorkeeper, settings.public_url, now, secrets.token_bytes
        )
        listing = Listing(tables)
        readers = RunReaders(store, listing, parts.hub, doorkeeper)
        code_api = CodeApi(
            store=store,
            starts=store.starts(rates),
            hub=parts.hub,
            doorkeeper=doorkeeper,
            public_url=tools.public_url,
            github_url=settings.github_url.rstrip("/"),
            models=tools.limits.models,
            clock=now,
            new_run_id=new_run_id,
        )
        parts.web = routes.build(
            door=Door(
                reception=reception,
                secrets=[secret.get_secret_value().encode() for secret in app.webhook_secrets],
                count=metrics.delivery,
            ),
            parts=[
                readers,
                Pages(
                    store=store,
                    listing=listing,
                    readers=readers,
                    doorkeeper=doorkeeper,
                    api=code_api,
                    web_url=github.web_url,
                    clock=now,
                    kept=Kept(store),
                ),
                RunActions(store, doorkeeper, rates, tools.public_url, now, new_run_id),
                code_api,
                signing_in,
                SetupPage(doorkeeper, github.app, app.id, settings.public_url, signing_in.oauth is not None, now),
                Described(tools.public_url),
            ],
            store=store,
            ready=lambda: parts.ready,
            metrics=lambda: (metrics.render(), metrics.content_type),
            broker=[Mount("/broker", app=broker.asgi)],
            https=settings.public_url.startswith("https:"),
        )
        yield parts


def github_client(settings: Settings, app: GitHubApp, redactor: Redactor) -> AbstractAsyncContextManager[Client]:
    return connect(
        app_id=str(app.id),
        private_key=app.private_key.get_secret_value(),
        api_url=settings.github_api_url,
        web_url=settings.github_url,
        clock=now,
        on_secret=redactor.add,
        api_version=settings.github_api_version,
        personal_token=settings.github_token.get_secret_value() if settings.github_token else "",
    )


def bubblewrap(settings: Settings) -> Bubblewrap:
    return Bubblewrap(root=settings.home / "sandboxes", tools=settings.home / "tools")


def daytona_cloud(settings: Settings, api_key: SecretStr) -> AbstractAsyncContextManager[Cloud]:
    return connect_cloud(
        api_key=api_key.get_secret_value(),
        api_url=settings.daytona_api_url,
        target=settings.daytona_target,
        deployment=_deployment(settings),
        new_id=lambda: uuid.uuid4().hex,
        ceiling=settings.daytona_max_sandboxes,
    )


def daytona_snapshot(settings: Settings) -> str:
    return settings.daytona_snapshot or DEFINITION.name


async def _sandbox(settings: Settings, stack: AsyncExitStack, ledger: Sandboxes) -> Checked:
    """Raises DaytonaMissing."""
    if settings.sandbox == "bubblewrap" or settings.daytona_api_key is None:
        return await stack.enter_async_context(bubblewrap(settings))
    return Daytona(
        await stack.enter_async_context(daytona_cloud(settings, settings.daytona_api_key)),
        snapshot=daytona_snapshot(settings),
        broker_url=settings.public_url,
        ttl_minutes=settings.run_timeout_minutes + _TTL_GRACE_MINUTES,
        accept_open_network=settings.daytona_accept_open_network,
        clock=time.monotonic,
        new_id=lambda: uuid.uuid4().hex,
        ledger=ledger,
    )


def _deployment(settings: Settings) -> str:
    """One app has one Backspace, on however many machines."""
    return hashlib.sha256(f"{settings.github_api_url} {settings.github_app_id}".encode()).hexdigest()[:10]


def _model_access(settings: Settings) -> Callable[[str], ModelAccess]:
    if settings.sandbox == "bubblewrap":
        return ModelAccess
    url = f"{settings.public_url.rstrip('/')}/broker"
    return lambda token: ModelAccess(token, base_url=url, socket=None, retries=_REMOTE_RETRIES)


def _broker_token(private_key: SecretStr, run_id: RunId) -> str:
    """Not kept anywhere, and the same in every process of this deployment."""
    key = private_key.get_secret_value().encode()
    digest = hmac.digest(key, f"backspace: the broker's token of {run_id}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


async def _oauth(settings: Settings, stack: AsyncExitStack) -> OAuth | None:
    """None when the settings that it takes to sign in are not there."""
    if settings.github_client_id is None or settings.github_client_secret is None:
        return None
    return await stack.enter_async_context(
        connect_oauth(
            client_id=settings.github_client_id,
            client_secret=settings.github_client_secret.get_secret_value(),
            api_url=settings.github_api_url,
            web_url=settings.github_url,
            api_version=settings.github_api_version,
        )
    )


def _known(token: str, redactor: Redactor) -> str:
    """A secret that we made is redacted like any other."""
    redactor.add(token)
    return token


def secrets_of(settings: Settings) -> list[str]:
    app = settings.github_app
    given = [settings.anthropic_api_key, settings.daytona_api_key, settings.github_token, settings.github_client_secret]
    found = [secret.get_secret_value() for secret in given if secret is not None]
    if app is not None:
        found += [app.private_key.get_secret_value(), *(s.get_secret_value() for s in app.webhook_secrets)]
    return found


def spare_garbage_collections() -> None:
    """What is there by now stays: each look through all of it would stop every answer for a tenth of a second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


async def serve(settings: Settings) -> None:
    """Web and worker until SIGTERM or SIGINT; what is interrupted goes on after the next start.

    Raises SandboxUnavailable when this machine cannot make sandboxes: better now than at the first request.
    """
    redactor = Redactor(secrets_of(settings))
    telemetry.configure(form=settings.log, redact=redactor.redact, stream=sys.stderr)
    async with assemble(settings, redactor) as parts:
        await parts.sandbox.check()
        await parts.janitor.start()
        await parts.pipeline.expect_back()
        await parts.engine.start(parts.pipeline)
        loops = [
            asyncio.create_task(parts.reporter.serve()),
            asyncio.create_task(parts.janitor.serve()),
            asyncio.create_task(parts.labeller.serve()),
            asyncio.create_task(parts.recovery.serve()),
            asyncio.create_task(parts.registries.refresh()),
        ]
        spare_garbage_collections()
        parts.ready = True
        log.info("server.started", url=settings.public_url, sandbox=settings.sandbox)
        try:
            with contextlib.suppress(KeyboardInterrupt):
                await Server(parts.web, parts.hub, host=settings.host, port=settings.port).serve()
        finally:
            parts.ready = False
            log.info("server.stopping")
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            await parts.engine.stop()
