"""`backspace setup`: the GitHub App is registered in a browser, and its settings are written to `.env`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.errors import SettingsError
from bot.settings import load

if TYPE_CHECKING:
    from bot.web.registering import Kept

_FAILED = 1
_DOTENV = Path(".env")


@click.command()
@click.option("--show", is_flag=True, help="Show the app's settings on the page, once, and write no file.")
@click.option("--replace", is_flag=True, help="Replace the settings of an app that .env has already.")
def setup(*, show: bool, replace: bool) -> None:
    """Register the GitHub App in a browser, and write its settings to .env."""
    settings = load(os.environ, _DOTENV, needs=frozenset())
    from bot import setup as registering  # noqa: PLC0415 -- its imports cost what `--help` need not wait for

    file = None if show else _DOTENV
    given = [name for name in registering.NAMES if os.environ.get(name)]
    registering.problems(settings, given, file, replace=replace)
    click.echo(
        "Open this address in a browser on this machine. From another one, forward the port first:\n"
        f"  ssh -L {settings.port}:127.0.0.1:{settings.port} <this machine>",
        err=True,
    )
    kept = registering.run(settings, file, replace=replace, say=click.echo)
    if kept is None:
        raise click.Abort
    _tell(kept)
    if kept.trouble:
        sys.exit(_FAILED)


def _tell(kept: "Kept") -> None:
    click.echo(f"{kept.app.name} is registered, as app {kept.app.id}.", err=True)
    if kept.trouble:
        click.echo(f"{kept.trouble} The page has what to put there, this once.", err=True)
    elif kept.file:
        click.echo(f"Its settings are in {kept.file}.", err=True)
        _tell_what_is_missing()
    click.echo(f"Install it on your repositories: {kept.app.install_page}", err=True)


def _tell_what_is_missing() -> None:
    try:
        load(os.environ, _DOTENV)
    except SettingsError as error:
        click.echo("`backspace serve` still needs:", err=True)
        for problem in error.problems:
            click.echo(f"  {problem.name} {problem.problem}. {problem.remedy}", err=True)
    else:
        click.echo("Now start `backspace serve`.", err=True)
