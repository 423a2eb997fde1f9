"""Runs as lists: page by page, newest first, and what they cost by day and repository."""

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from bot.model import InstallationId, RunId, RunState
from bot.runs.records import Run, run_of
from bot.runs.schema import runs
from bot.runs.tables import Tables

_LONGEST_TOKEN = 200


@dataclass(frozen=True)
class Cursor:
    """A place in the list: behind this run."""

    created_at: datetime
    run_id: RunId

    def token(self) -> str:
        """For clients, who need not know what is in it."""
        text = f"{self.created_at.astimezone(UTC).isoformat()} {self.run_id}"
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    @classmethod
    def of(cls, token: str) -> "Cursor | None":
        """None when it is none of ours."""
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            return None
        try:
            text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
            stamp, _, run_id = text.partition(" ")
            created_at = datetime.fromisoformat(stamp)
        except (binascii.Error, ValueError):
            return None
        if not run_id.isprintable() or not run_id or created_at.tzinfo is None:
            return None
        return cls(created_at, RunId(run_id))


def behind(run: Run) -> Cursor:
    return Cursor(run.created_at, run.id)


class Place(NamedTuple):
    """A repository as runs know it: after it was renamed or moved to another installation it is another one."""

    installation_id: InstallationId
    repo_id: int
    name: str
    """Lower case."""


def place_of(run: Run) -> Place:
    request = run.request
    return Place(request.installation_id, request.repo.id, request.repo.full_name.lower())


@dataclass(frozen=True)
class Filters:
    repo: str = ""
    """`owner/name`, in whatever case, as on GitHub."""
    state: RunState | None = None
    actor: str = ""
    """A login, or the name of a key."""
    patterns: Collection[str] | None = None
    """Of repositories, as a key has them; a list may have a few more, which `Key.covers` leaves out."""
    without: Collection[Place] = ()


@dataclass(frozen=True)
class Cost:
    """Of the runs of one repository that were asked for on one day, in UTC."""

    day: date
    repo: str
    cost_usd: float
    runs: int


class Listing:
    """All methods raise StoreUnavailable."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def page(self, filters: Filters, after: Cursor | None, limit: int) -> list[Run]:
        query = sa.select(runs).where(*_conditions(filters))
        if after is not None:
            place = sa.tuple_(
                sa.literal(after.created_at, runs.c.created_at.type), sa.literal(after.run_id, runs.c.id.type)
            )
            query = query.where(sa.tuple_(runs.c.created_at, runs.c.id) < place)
        query = query.order_by(runs.c.created_at.desc(), runs.c.id.desc()).limit(limit)
        return await self._tables.read(lambda c: [run_of(row) for row in c.execute(query)])

    async def newest_of_each(self, since: datetime) -> list[Run]:
        """Of each repository that had a run since then the newest one: enough to find out which may be seen."""
        ranked = (
            sa.select(runs.c.id, sa.func.row_number().over(**_newest_first()).label("place"))
            .where(runs.c.created_at >= since)
            .subquery()
        )
        query = (
            sa.select(runs)
            .join(ranked, ranked.c.id == runs.c.id)
            .where(ranked.c.place == 1)
            .order_by(runs.c.created_at.desc(), runs.c.id.desc())
        )
        return await self._tables.read(lambda c: [run_of(row) for row in c.execute(query)])

    async def costs(self, since: datetime, repos: Collection[str]) -> list[Cost]:
        """By day, and within a day by repository. Days on which nothing was asked for are not there."""

        def work(c: sa.Connection) -> list[Cost]:
            day = _day(c)
            query = (
                sa.select(day.label("day"), runs.c.repo, sa.func.sum(runs.c.cost_usd), sa.func.count())
                .where(runs.c.created_at >= since, runs.c.repo.in_(sorted(repos)))
                .group_by(day, runs.c.repo)
                .order_by(day, runs.c.repo)
            )
            return [Cost(date.fromisoformat(str(at)), repo, cost, times) for at, repo, cost, times in c.execute(query)]

        return await self._tables.read(work)


def _conditions(filters: Filters) -> list[sa.ColumnElement[bool]]:
    repo = sa.func.lower(runs.c.repo)
    found: list[sa.ColumnElement[bool]] = []
    if filters.repo:
        found.append(repo == filters.repo.lower())
    if filters.state is not None:
        found.append(runs.c.state == filters.state)
    if filters.actor:
        found.append(sa.func.lower(runs.c.actor) == filters.actor.lower())
    if filters.patterns is not None:
        found.append(sa.or_(sa.false(), *(repo.like(_like(pattern), escape="\\") for pattern in filters.patterns)))
    if filters.without:
        place = sa.tuple_(runs.c.installation_id, runs.c.repo_id, repo)
        found.append(place.not_in([tuple(one) for one in filters.without]))
    return found


def _like(pattern: str) -> str:
    """At least what the pattern of a file name means: from a class of characters on, anything."""
    plain, bracket, _ = pattern.lower().partition("[")
    signs = {"*": "%", "?": "_", "%": "\\%", "_": "\\_", "\\": "\\\\"}
    return "".join(signs.get(sign, sign) for sign in plain) + ("%" if bracket else "")


def _newest_first() -> dict[str, Any]:
    return {"partition_by": runs.c.repo, "order_by": (runs.c.created_at.desc(), runs.c.id.desc())}


def _day(c: sa.Connection) -> sa.ColumnElement[Any]:
    # SQLite keeps UTC; Postgres would take the session's zone.
    if c.dialect.name == "sqlite":
        return sa.func.date(runs.c.created_at)
    return sa.cast(sa.func.timezone("UTC", runs.c.created_at), sa.Date)
