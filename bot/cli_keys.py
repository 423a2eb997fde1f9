"""`backspace keys`: made, listed and revoked on the deployment's database, also while the server runs."""

import asyncio
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from bot.settings import load

if TYPE_CHECKING:
    from bot.runs.keys import KeptKey, Keys

T = TypeVar("T")
_PATTERN = re.compile(r"[^/\s]+/[^/\s]+")
_RUNS_PER_HOUR = 60
_LONGEST_NAME = 60
_HEAD = ("ID", "NAME", "MAY", "REPOSITORIES", "RUNS/HOUR", "CREATED", "LAST USED", "STATE")


@click.group()
def keys() -> None:
    """API keys: who may use the API besides those who sign in."""


@keys.command()
@click.option("--name", required=True, help="What the key is for; shown as who asked for its runs.")
@click.option("--repo", "repos", required=True, multiple=True, help="owner/name or a pattern as 'acme/*'; repeatable.")
@click.option("--read-only", is_flag=True, help="See runs, but start, stop and retry none.")
@click.option(
    "--per-hour",
    type=click.IntRange(1, 100_000),
    default=_RUNS_PER_HOUR,
    show_default=True,
    help="The most runs that it may start in an hour.",
)
def add(name: str, repos: tuple[str, ...], per_hour: int, *, read_only: bool) -> None:
    """Make a key and print it, this once."""
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise click.BadParameter(f"must have 1 to {_LONGEST_NAME} characters, all printable", param_hint="--name")
    for repo in repos:
        if not _PATTERN.fullmatch(repo):
            raise click.BadParameter(
                f"{repo!r} is not owner/name or a pattern of it; '*/*' is all", param_hint="--repo"
            )
    secret = _with_keys(
        lambda kept: kept.add(
            name=name,
            may_run=not read_only,
            repos=repos,
            runs_per_hour=per_hour,
            now=_now(),
            random_bytes=secrets.token_bytes,
        )
    )
    click.echo("Keep it well: only its hash is stored, and it is not shown again.", err=True)
    click.echo(secret)


@keys.command(name="list")
def list_() -> None:
    """Every key, revoked ones too; none of them can be seen again."""
    rows = [_HEAD, *(_row(one) for one in _with_keys(lambda kept: kept.list()))]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Make a key useless from now on."""
    if not _with_keys(lambda kept: kept.revoke(key_id, _now())):
        raise click.ClickException(f"there is no key {key_id!r}; `backspace keys list` has them")
    click.echo(f"Key {key_id} is revoked.", err=True)


def _row(one: "KeptKey") -> tuple[str, ...]:
    key = one.key
    return (
        key.id,
        key.name,
        "run" if key.may_run else "read",
        ",".join(key.repos),
        str(key.runs_per_hour),
        _moment(one.created_at),
        _moment(one.last_used_at) if one.last_used_at else "never",
        f"revoked {_moment(one.revoked_at)}" if one.revoked_at else "active",
    )


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")


def _now() -> datetime:
    return datetime.now(UTC)


def _with_keys(work: "Callable[[Keys], Awaitable[T]]") -> T:
    async def go(kept: "Keys") -> T:
        return await work(kept)

    with _opened() as kept:
        return asyncio.run(go(kept))


@contextmanager
def _opened() -> "Iterator[Keys]":
    """The keys of the deployment. A server's lock on a SQLite file keeps out servers, not us: we run nothing.

    Raises SettingsError and StoreUnavailable.
    """
    from bot.runs import database  # noqa: PLC0415 -- its imports cost what `--help` need not wait for
    from bot.runs.keys import Keys  # noqa: PLC0415 -- as above
    from bot.runs.tables import Tables  # noqa: PLC0415 -- as above

    url = load(os.environ, Path(".env"), needs=frozenset()).database_url.get_secret_value()
    if database.is_sqlite(url):
        database.file_of(url).parent.mkdir(parents=True, exist_ok=True)
    writing = database.open_engine(url, pool_size=1, isolation=None)
    reading = database.open_engine(url, pool_size=1)
    try:
        database.migrate(writing)
        tables = Tables(writing, reading)
        try:
            yield Keys(tables)
        finally:
            tables.close()
    finally:
        writing.dispose()
        reading.dispose()
