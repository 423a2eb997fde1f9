"""`backspace doctor`: everything that a deployment needs, tried, one line each."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bot.settings import load

if TYPE_CHECKING:
    from bot.diagnosis import Diagnosis

_FAILED = 1
_VERDICT_CHARACTERS = 7
_CODE_CHARACTERS = 24
_COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}


@click.command()
@click.option("--no-trial", is_flag=True, help="Make no sandbox on Daytona; making one costs less than a cent.")
def doctor(*, no_trial: bool) -> None:
    """Try everything that Backspace needs; say what is wrong and how to mend it."""
    settings = load(os.environ, Path(".env"))
    from bot import doctor as checks  # noqa: PLC0415 -- its imports cost what `--help` need not wait for

    if not checks.run(settings, _show, trial=not no_trial):
        sys.exit(_FAILED)


def _show(found: "Diagnosis") -> None:
    took = "" if found.seconds is None else f" ({found.seconds:.1f} s)"
    verdict = click.style(found.verdict.ljust(_VERDICT_CHARACTERS), fg=_COLOURS[found.verdict])
    line = f"{verdict}  {found.code.ljust(_CODE_CHARACTERS)}  {found.words}{took}"
    # One line, whatever a server's answer has in it.
    click.echo(" ".join(f"{line}. {found.remedy}".split("\n")) if found.remedy else line)
