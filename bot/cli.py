"""The command `backspace`: arguments in, exit code out."""

import asyncio
import gc
import os
import sys
from pathlib import Path

import click

from bot.cli_daytona import daytona
from bot.cli_doctor import doctor
from bot.cli_keys import keys
from bot.cli_setup import setup
from bot.errors import BackspaceError, SettingsError
from bot.settings import load
from bot.terminal.commands import run, runs

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
    # What is made while importing stays; to look through it for garbage would cost a fifth of the time.
    gc.disable()
    from bot.wiring import serve as run_server  # noqa: PLC0415 -- its imports cost a second that `--help` need not wait for

    gc.enable()
    asyncio.run(run_server(load(os.environ, Path(".env"))))


backspace.add_command(daytona)
backspace.add_command(doctor)
backspace.add_command(keys)
backspace.add_command(run)
backspace.add_command(runs)
backspace.add_command(setup)


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 usage or settings, 130 interrupted."""
    try:
        backspace.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except SettingsError as error:
        click.echo(f"Backspace cannot start: {len(error.problems)} problem(s) in the settings.", err=True)
        for problem in error.problems:
            click.echo(f"  {problem.name} {problem.problem}\n      {problem.remedy}", err=True)
        sys.exit(USAGE)
    except BackspaceError as error:
        click.echo(f"backspace: {error}", err=True)
        sys.exit(FAILED)
