"""`backspace daytona`: what Daytona needs before sandboxes can run there."""

import asyncio
import os
import secrets
from pathlib import Path

import click

from bot.errors import SettingProblem, SettingsError
from bot.settings import Settings, load


@click.group()
def daytona() -> None:
    """Sandboxes on Daytona."""


@daytona.command()
def snapshot() -> None:
    """Build the snapshot that sandboxes start from, or wake it; print its name and what a sandbox costs."""
    asyncio.run(_snapshot(load(os.environ, Path(".env"), needs=frozenset())))


async def _snapshot(settings: Settings) -> None:
    from bot.daytona import building  # noqa: PLC0415 -- its imports cost what `--help` need not wait for
    from bot.daytona.cloud import connect  # noqa: PLC0415 -- as above
    from bot.daytona.snapshot import DEFINITION  # noqa: PLC0415 -- as above

    if settings.daytona_api_key is None:
        remedy = "Set it to a key of Daytona that may write snapshots."
        raise SettingsError([SettingProblem("DAYTONA_API_KEY", "is not set", remedy)])
    async with connect(
        api_key=settings.daytona_api_key.get_secret_value(),
        api_url=settings.daytona_api_url,
        target=settings.daytona_target,
        # No sandbox is made or looked for.
        deployment="",
        new_id=lambda: secrets.token_hex(8),
    ) as cloud:
        await building.make_ready(cloud, DEFINITION, lambda line: click.echo(line, err=True))
    click.echo(DEFINITION.name)
    click.echo(building.cost(DEFINITION))
