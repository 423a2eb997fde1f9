"""Which repositories are still to get the label; what is written here outlives the process."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from bot.intake.webhook import RepoName
from bot.model import InstallationId
from bot.runs.schema import cursors, label_work
from bot.runs.tables import Tables

ALL = RepoName(0, "")
"""Stands for all of an installation's repositories, which are to be listed first."""

_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class LabelTask:
    installation_id: InstallationId
    repo: RepoName
    tries: int


class LabelWork:
    """All methods raise StoreUnavailable."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def add(self, installation: InstallationId, repos: Sequence[RepoName], now: datetime) -> None:
        """What is there already stays as it is."""
        await self._tables.write(lambda c: _add(c, installation, repos, now))

    async def due(self, now: datetime, limit: int, without: Collection[InstallationId] = ()) -> list[LabelTask]:
        """Oldest first, of each installation some: one with thousands does not hold up the others.

        `without`: those whose work has to wait.
        """
        turn = sa.func.row_number().over(
            partition_by=label_work.c.installation_id, order_by=(label_work.c.asked_at, label_work.c.repo_id)
        )
        ready = sa.select(label_work, turn.label("turn")).where(
            sa.or_(label_work.c.not_before.is_(None), label_work.c.not_before <= now),
            label_work.c.installation_id.not_in(without),
        )
        rows = ready.subquery()
        query = sa.select(rows).order_by(rows.c.turn, rows.c.asked_at).limit(limit)
        return await self._tables.read(lambda c: [_task(row) for row in c.execute(query)])

    async def done(self, task: LabelTask, spent_until: datetime) -> None:
        """`spent_until`: kept for `spent_until`, so that a new process does not spend anew."""
        name = _pace(task.installation_id)

        def work(c: sa.Connection) -> None:
            c.execute(sa.delete(label_work).where(_is(task)))
            c.execute(sa.delete(cursors).where(cursors.c.name == name))
            c.execute(sa.insert(cursors).values(name=name, value=spent_until.isoformat()))

        await self._tables.write(work)

    async def spent_until(self, installation: InstallationId) -> datetime | None:
        """What was last given to `done`."""
        query = sa.select(cursors.c.value).where(cursors.c.name == _pace(installation))
        kept = await self._tables.read(lambda c: c.execute(query).scalar())
        return datetime.fromisoformat(kept) if kept else None

    async def expand(self, task: LabelTask, repos: Sequence[RepoName], now: datetime) -> None:
        """An installation has been listed: its repositories in its place, in one transaction."""

        def work(c: sa.Connection) -> None:
            _add(c, task.installation_id, repos, now)
            c.execute(sa.delete(label_work).where(_is(task)))

        await self._tables.write(work)

    async def later(self, task: LabelTask, until: datetime) -> None:
        update = sa.update(label_work).where(_is(task)).values(not_before=until, tries=label_work.c.tries + 1)
        await self._tables.write(lambda c: c.execute(update))

    async def drop(self, installation: InstallationId, repo_ids: Sequence[int] | None) -> None:
        """`repo_ids` None: all of the installation."""
        of_installation = sa.delete(label_work).where(label_work.c.installation_id == installation)

        def work(c: sa.Connection) -> None:
            if repo_ids is None:
                c.execute(of_installation)
                c.execute(sa.delete(cursors).where(cursors.c.name == _pace(installation)))
                return
            for start in range(0, len(repo_ids), _ROWS_AT_ONCE):
                c.execute(of_installation.where(label_work.c.repo_id.in_(repo_ids[start : start + _ROWS_AT_ONCE])))

        await self._tables.write(work)


def _add(c: sa.Connection, installation: InstallationId, repos: Sequence[RepoName], now: datetime) -> None:
    rows = [
        {"installation_id": installation, "repo_id": repo.id, "repo": repo.full_name, "asked_at": now} for repo in repos
    ]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        c.execute(_insert_new(c), rows[start : start + _ROWS_AT_ONCE])


def _insert_new(c: sa.Connection) -> Any:  # noqa: ANN401 -- two dialects' statements, which share no type
    make = sqlite.insert if c.dialect.name == "sqlite" else postgresql.insert
    return make(label_work).on_conflict_do_nothing()


def _pace(installation: InstallationId) -> str:
    return f"labels:{installation}"


def _is(task: LabelTask) -> sa.ColumnElement[bool]:
    return sa.and_(
        label_work.c.installation_id == task.installation_id,
        label_work.c.repo_id == task.repo.id,
    )


def _task(row: Any) -> LabelTask:  # noqa: ANN401 -- a row
    return LabelTask(InstallationId(row.installation_id), RepoName(row.repo_id, row.repo), row.tries)
