"""The command `backspace`: arguments in, exit code out."""

import asyncio
import os
import sys
from pathlib import Path

import click

from bot.errors import BackspaceError, SettingsError
from bot.settings import Settings, load

FAILED = 1
USAGE = 2
INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="backspace")
def backspace() -> None:
    """Comment /backspace on an issue, get a pull request with evidence."""


@backspace.command()
def serve() -> None:
    """Take deliveries in and work on runs, in one process, until it is told to end."""
    from bot.wiring import serve as run_server  # noqa: PLC0415 -- its imports cost a second that `--help` need not wait for

    settings = _settings()
    asyncio.run(run_server(settings))


def _settings() -> Settings:
    """From the environment and `.env` here. Exits with 2 and every problem when they cannot be used."""
    try:
        return load(os.environ, Path(".env"))
    except SettingsError as error:
        click.echo(f"Backspace cannot start: {len(error.problems)} problem(s) in the settings.", err=True)
        for problem in error.problems:
            click.echo(f"  {problem.name} {problem.problem}\n      {problem.remedy}", err=True)
        sys.exit(USAGE)


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 usage or settings, 130 interrupted."""
    try:
        backspace.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BackspaceError as error:
        click.echo(f"backspace: {error}", err=True)
        sys.exit(FAILED)
