"""Registers the GitHub App from a browser: a small server with the pages for it, until there is an app."""

import asyncio
import secrets
import socket
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from urllib.parse import quote, urlsplit

from bot import dotenv_file, telemetry, wiring
from bot.dotenv_file import NotWritten
from bot.errors import BackspaceError, SettingProblem, SettingsError
from bot.github import registration
from bot.github.registration import Registered
from bot.redaction import Redactor
from bot.settings import Settings
from bot.web.doorkeeper import LOOPBACK
from bot.web.registering import Kept, Registering
from bot.web.server import Server

_OF_THE_APP = ("GITHUB_APP_ID", "GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET", "GITHUB_WEBHOOK_SECRET")
_OF_THE_KEY = ("GITHUB_PRIVATE_KEY", "GITHUB_PRIVATE_KEY_PATH")
NAMES = frozenset({*_OF_THE_APP, *_OF_THE_KEY})
"""What a registration settles."""


class CannotListen(BackspaceError):
    """The port is in use."""


def problems(settings: Settings, environment: Collection[str], file: Path | None, *, replace: bool) -> None:
    """Raises SettingsError for what would make a registration useless, before there is one.

    `environment`: the names that are set in it. `file`: where the app's settings shall go.
    """
    found = []
    if not _is_own(settings.github_url) and _is_own(settings.public_url):
        found.append(
            SettingProblem(
                "BACKSPACE_PUBLIC_URL",
                f"is {settings.public_url}, where GitHub cannot deliver",
                "Set it to the https:// address under which this server is reached from outside.",
            )
        )
    if file is not None:
        for name in sorted(NAMES.intersection(environment)):
            remedy = f"Unset it: the environment would win over what goes into {file.name}."
            found.append(SettingProblem(name, "is set in the environment", remedy))
        if not replace:
            remedy = "There is an app already; `--replace` writes the new one's values instead."
            found += [
                SettingProblem(name, f"is set in {file.name}", remedy) for name in dotenv_file.valued(file, NAMES)
            ]
    if found:
        raise SettingsError(found)


def run(settings: Settings, file: Path | None, *, replace: bool, say: Callable[[str], None]) -> Kept | None:
    """Until an app is registered. None: the server was told to end before. `file` None: the page shows the settings."""
    telemetry.configure(form=settings.log, redact=Redactor([]).redact, stream=sys.stderr)
    return asyncio.run(_serve(settings, lambda app: _keep(app, file, replace=replace), say))


async def _serve(settings: Settings, keep: Callable[[Registered], Kept], say: Callable[[str], None]) -> Kept | None:
    token = secrets.token_urlsafe(32)
    with _listener(settings.host, settings.port) as listener:
        async with registration.connect(
            api_url=settings.github_api_url, api_version=settings.github_api_version
        ) as registrar:
            registering = Registering(
                registrar=registrar,
                web_url=settings.github_url,
                public_url=settings.public_url,
                token=token,
                keep=keep,
                clock=wiring.now,
                random_bytes=secrets.token_bytes,
            )
            server = Server(registering.asgi(), None, host=settings.host, port=settings.port)
            say(f"{_address(settings.host, settings.port)}/setup?token={quote(token)}")

            async def end() -> None:
                await registering.over.wait()
                server.should_exit = True

            ending = asyncio.create_task(end())
            try:
                await server.serve(sockets=[listener])
            finally:
                ending.cancel()
            return registering.kept


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        message = f"cannot listen on {host}, port {port}: {error.strerror}. Set BACKSPACE_PORT to another one."
        raise CannotListen(message) from error


def _keep(app: Registered, file: Path | None, *, replace: bool) -> Kept:
    values = settings_of(app)
    lines = dotenv_file.lines(values)
    if file is None:
        return Kept(app, lines=lines)
    heading = f"The GitHub App {app.name}, {app.page}, registered by `backspace setup`."
    try:
        dotenv_file.add(file, values, heading=heading, replaced=NAMES, replace=replace)
    except NotWritten as error:
        return Kept(app, lines=lines, trouble=f"{file.name} was not touched: {error}.")
    return Kept(app, file=str(file.absolute()))


def settings_of(app: Registered) -> dict[str, str]:
    """What goes into the environment of `serve`, each on one line."""
    values = {
        "GITHUB_APP_ID": str(app.id),
        "GITHUB_CLIENT_ID": app.client_id,
        "GITHUB_CLIENT_SECRET": app.client_secret,
        "GITHUB_WEBHOOK_SECRET": app.webhook_secret,
        "GITHUB_PRIVATE_KEY": app.private_key.strip().replace("\n", "\\n"),
    }
    return {name: value for name, value in values.items() if value}


def _is_own(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK


def _address(host: str, port: int) -> str:
    """Where a browser on this machine finds us."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- looked up, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
