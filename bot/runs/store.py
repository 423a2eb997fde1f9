"""What we know and owe: deliveries, runs, events and saved work, read and written here only."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from bot import events as ev
from bot.errors import StoreUnavailable
from bot.model import InstallationId, RunId, RunRequest, RunState, Usage
from bot.runs.changes import Changes
from bot.runs.records import REQUEST, Accepted, Duplicate, Place, Received, Run, run_of, usage_of
from bot.runs.schema import artefacts, deliveries, events, refusals, runs
from bot.runs.writer import Writer

T = TypeVar("T")
_READERS = 4
_PAGE = 500


class Queues(Protocol):
    """The engine, as far as the store needs it."""

    def submit(self, connection: sa.Connection, queue: str, run_id: RunId, tenant: InstallationId) -> None:
        """Hand a run to a queue within the caller's transaction."""
        ...

    def ring(self) -> None:
        """Say, after the commit, that something was handed over."""
        ...


class Store:
    """All methods raise StoreUnavailable when the database cannot be used."""

    def __init__(self, writing: sa.Engine, reading: sa.Engine, queues: Queues, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self._writer = Writer(writing)
        self._reading = reading
        self._queues = queues
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
        self.changes = Changes()

    def close(self) -> None:
        self._writer.close()
        self._threads.shutdown()

    async def _read(self, work: Callable[[sa.Connection], T]) -> T:
        def go() -> T:
            try:
                with self._reading.connect() as connection:
                    return work(connection)
            except DBAPIError as error:
                raise StoreUnavailable(f"the database cannot be read: {type(error).__name__}") from error

        return await asyncio.get_running_loop().run_in_executor(self._threads, go)

    async def ping(self) -> None:
        """Show that the database can be written."""
        await self._writer.write(lambda c: c.execute(sa.delete(deliveries).where(sa.false())))

    # Deliveries and the life of a run

    async def accept(
        self,
        received: Received | None,
        start: tuple[RunId, RunRequest, str] | None,
        now: datetime,
    ) -> Accepted | Duplicate | None:
        """One transaction: the delivery, its run `(id, request, job key)`, and the run's place in the engine.

        None: the delivery is stored and asks for no run.
        """

        def work(c: sa.Connection) -> Accepted | Duplicate | None:
            if received is not None:
                seen = c.execute(sa.select(deliveries.c.run_id).where(deliveries.c.guid == received.guid)).first()
                if seen:
                    return Duplicate(seen.run_id)
            run_id = start[0] if start else None
            earlier = None
            if start:
                earlier = c.execute(sa.select(runs.c.id).where(runs.c.job_key == start[2])).scalar()
            if received is not None:
                c.execute(
                    sa.insert(deliveries).values(
                        guid=received.guid,
                        event=received.event,
                        action=received.action,
                        decision=received.decision,
                        received_at=now,
                        run_id=earlier or run_id,
                    )
                )
            if start is None:
                return None
            if earlier:
                return Duplicate(RunId(earlier))
            return self._insert_run(c, start, now)

        accepted = await self._writer.write(work)
        if isinstance(accepted, Accepted):
            self._queues.ring()
            self.changes.notify(accepted.run_id)
        return accepted

    def _insert_run(self, c: sa.Connection, start: tuple[RunId, RunRequest, str], now: datetime) -> Accepted:
        run_id, request, job_key = start
        c.execute(
            sa.insert(runs).values(
                id=run_id,
                job_key=job_key,
                installation_id=request.installation_id,
                repo_id=request.repo.id,
                repo=request.repo.full_name,
                thread=request.thread,
                actor_id=request.actor.id,
                actor=request.actor.login,
                request=REQUEST.dump_python(request, mode="json"),
                state=RunState.ACCEPTED,
                created_at=now,
            )
        )
        begun = ev.Start(request.repo.full_name, request.prompt, request.trigger, request.actor.login)
        self._append(c, run_id, [begun], now)
        self._queues.submit(c, "answers", run_id, request.installation_id)
        return Accepted(run_id)

    async def admit(self, run_id: RunId, *, model: str, budget_usd: float, branch: str) -> Place:
        """Give an authorised run to the engine, or let it wait behind the other runs of its thread."""

        def work(c: sa.Connection) -> Place:
            row = c.execute(sa.select(runs).where(runs.c.id == run_id).with_for_update()).one()
            if row.state != RunState.ACCEPTED:
                return Place(self._ahead(c, row))
            ahead = self._ahead(c, row)
            state = RunState.WAITING if ahead else RunState.QUEUED
            c.execute(
                sa.update(runs)
                .where(runs.c.id == run_id)
                .values(state=state, model=model, budget_usd=budget_usd, branch=branch)
            )
            if state == RunState.QUEUED:
                self._queues.submit(c, "runs", run_id, row.installation_id)
            return Place(ahead)

        place = await self._writer.write(work)
        self._queues.ring()
        self.changes.notify(run_id)
        return place

    @staticmethod
    def _ahead(c: sa.Connection, row: Any) -> int:  # noqa: ANN401 -- a row
        """How many unfinished runs of the same thread came before this one."""
        if not row.thread:
            return 0
        return int(
            c.execute(
                sa.select(sa.func.count())
                .select_from(runs)
                .where(
                    runs.c.thread == row.thread,
                    runs.c.id != row.id,
                    sa.or_(
                        runs.c.state.in_((RunState.QUEUED, RunState.RUNNING)),
                        sa.and_(runs.c.state == RunState.WAITING, runs.c.created_at < row.created_at),
                    ),
                )
            ).scalar_one()
        )

    async def place(self, run_id: RunId) -> Place:
        def work(c: sa.Connection) -> Place:
            row = c.execute(sa.select(runs).where(runs.c.id == run_id)).one()
            return Place(self._ahead(c, row) if row.state == RunState.WAITING else 0)

        return await self._read(work)

    async def begin(self, run_id: RunId, now: datetime) -> None:
        """Mark that the engine works on the run."""
        begun = sa.update(runs).where(runs.c.id == run_id, runs.c.state == RunState.QUEUED)
        await self._writer.write(lambda c: c.execute(begun.values(state=RunState.RUNNING, started_at=now)))

    async def finish(self, run_id: RunId, complete: ev.Complete, now: datetime) -> None:
        """End the run once: its last event, its state, and the next run of its thread goes to the engine."""

        def work(c: sa.Connection) -> RunId | None:
            row = c.execute(sa.select(runs).where(runs.c.id == run_id).with_for_update()).one()
            if row.state == RunState.FINISHED:
                return None
            since = row.started_at or row.created_at
            stamped = replace(
                complete,
                duration_seconds=round((now - since).total_seconds(), 1),
                cost_usd=round(row.cost_usd, 6),
            )
            self._append(c, run_id, [stamped], now)
            c.execute(
                sa.update(runs)
                .where(runs.c.id == run_id)
                .values(state=RunState.FINISHED, finished_at=now, outcome=complete.outcome, pr_url=complete.pr_url)
            )
            return self._promote(c, row.thread)

        promoted = await self._writer.write(work)
        self.changes.notify(run_id)
        if promoted:
            self._queues.ring()
            self.changes.notify(promoted)

    def _promote(self, c: sa.Connection, thread: str) -> RunId | None:
        if not thread:
            return None
        active = c.execute(
            sa.select(runs.c.id).where(runs.c.thread == thread, runs.c.state.in_((RunState.QUEUED, RunState.RUNNING)))
        ).first()
        if active:
            return None
        following = c.execute(
            sa.select(runs.c.id, runs.c.installation_id)
            .where(runs.c.thread == thread, runs.c.state == RunState.WAITING)
            .order_by(runs.c.created_at, runs.c.id)
            .limit(1)
        ).first()
        if following is None:
            return None
        c.execute(sa.update(runs).where(runs.c.id == following.id).values(state=RunState.QUEUED))
        self._queues.submit(c, "runs", RunId(following.id), following.installation_id)
        return RunId(following.id)

    async def request_stop(self, run_id: RunId) -> None:
        """Ask the run to end soon with its work kept; the stages watch for it."""
        stop = sa.update(runs).where(runs.c.id == run_id, runs.c.state != RunState.FINISHED)
        await self._writer.write(lambda c: c.execute(stop.values(stop_requested=True)))
        self.changes.notify(run_id)

    async def remember_session(self, run_id: RunId, session_id: str) -> None:
        """Keep the agent's session id, before the first start of that session."""
        update = sa.update(runs).where(runs.c.id == run_id).values(session_id=session_id)
        await self._writer.write(lambda c: c.execute(update))

    async def run(self, run_id: RunId) -> Run | None:
        def work(c: sa.Connection) -> Run | None:
            row = c.execute(sa.select(runs).where(runs.c.id == run_id)).first()
            return run_of(row) if row else None

        return await self._read(work)

    async def unfinished(self) -> list[Run]:
        """Oldest first."""
        query = sa.select(runs).where(runs.c.state != RunState.FINISHED).order_by(runs.c.created_at)
        return await self._read(lambda c: [run_of(row) for row in c.execute(query)])

    # Events

    def _append(self, c: sa.Connection, run_id: RunId, news: Sequence[ev.Event], now: datetime) -> int:
        row = c.execute(
            sa.update(runs)
            .where(runs.c.id == run_id, runs.c.state != RunState.FINISHED)
            .values(last_seq=runs.c.last_seq + len(news))
            .returning(runs.c.last_seq, runs.c.percentage)
        ).first()
        if row is None:
            return 0
        seq, percentage = row.last_seq - len(news), row.percentage
        rows = []
        for event in news:
            seq += 1
            if isinstance(event, ev.Progress):
                percentage = max(percentage, event.percentage)
                event = replace(event, percentage=percentage)  # noqa: PLW2901 -- progress never goes back
            rows.append({"run_id": run_id, "seq": seq, "at": now, "body": _redacted(ev.encode(event), self._redact)})
        c.execute(sa.insert(events), rows)
        if percentage != row.percentage:
            c.execute(sa.update(runs).where(runs.c.id == run_id).values(percentage=percentage))
        return int(row.last_seq)

    async def append(self, run_id: RunId, news: Sequence[ev.Event], now: datetime) -> int:
        """Add to the run's log; returns the last sequence number. A finished run's log stays as it is: 0."""
        if not news:
            return 0
        last = await self._writer.write(lambda c: self._append(c, run_id, news, now))
        self.changes.notify(run_id)
        return last

    async def events_after(self, run_id: RunId, seq: int, *, limit: int = _PAGE) -> list[ev.StoredEvent]:
        query = (
            sa.select(events).where(events.c.run_id == run_id, events.c.seq > seq).order_by(events.c.seq).limit(limit)
        )
        return await self._read(
            lambda c: [ev.StoredEvent(r.seq, RunId(r.run_id), r.at, ev.decode(r.body)) for r in c.execute(query)]
        )

    async def all_events(self, run_id: RunId) -> list[ev.StoredEvent]:
        found: list[ev.StoredEvent] = []
        while page := await self.events_after(run_id, found[-1].seq if found else 0):
            found += page
        return found

    # Money

    async def add_usage(self, run_id: RunId, usage: Usage) -> Usage:
        """Add what was just used; returns the run's total."""

        def work(c: sa.Connection) -> Usage:
            row = c.execute(
                sa.update(runs)
                .where(runs.c.id == run_id)
                .values(
                    input_tokens=runs.c.input_tokens + usage.input_tokens,
                    output_tokens=runs.c.output_tokens + usage.output_tokens,
                    cache_read_tokens=runs.c.cache_read_tokens + usage.cache_read_tokens,
                    cache_write_tokens=runs.c.cache_write_tokens + usage.cache_write_tokens,
                    cost_usd=runs.c.cost_usd + usage.cost_usd,
                )
                .returning(runs)
            ).one()
            return usage_of(row)

        return await self._writer.write(work)

    async def spent_since(self, installation_id: InstallationId, since: datetime) -> float:
        """US dollars of the installation's runs created since then."""
        query = sa.select(sa.func.coalesce(sa.func.sum(runs.c.cost_usd), 0.0)).where(
            runs.c.installation_id == installation_id, runs.c.created_at >= since
        )
        return await self._read(lambda c: float(c.execute(query).scalar_one()))

    # Saved work

    async def save(self, run_id: RunId, name: str, content: bytes, now: datetime) -> None:
        """Keep an artefact of the run, in place of an earlier one of that name."""

        def work(c: sa.Connection) -> None:
            c.execute(sa.delete(artefacts).where(artefacts.c.run_id == run_id, artefacts.c.name == name))
            c.execute(sa.insert(artefacts).values(run_id=run_id, name=name, content=content, saved_at=now))

        await self._writer.write(work)

    async def saved(self, run_id: RunId, name: str) -> bytes | None:
        query = sa.select(artefacts.c.content).where(artefacts.c.run_id == run_id, artefacts.c.name == name)
        return await self._read(lambda c: c.execute(query).scalar())

    # What was said on GitHub

    async def unreported(self) -> list[Run]:
        """Runs that have a comment whose final state is not yet written, oldest first."""
        query = (
            sa.select(runs)
            .where(runs.c.reported_final.is_(False), runs.c.comment_id.is_not(None))
            .order_by(runs.c.created_at)
        )
        return await self._read(lambda c: [run_of(row) for row in c.execute(query)])

    async def commented(self, run_id: RunId, comment_id: int) -> None:
        """Remember the run's one comment."""
        posted = {"comment_id": comment_id, "comment_posts": runs.c.comment_posts + 1}
        await self._writer.write(lambda c: c.execute(sa.update(runs).where(runs.c.id == run_id).values(posted)))
        self.changes.notify(run_id)

    async def reported(self, run_id: RunId, seq: int, now: datetime, *, final: bool) -> None:
        """Remember up to which event the comment tells."""
        told = {"reported_seq": seq, "reported_at": now, "reported_final": final}
        await self._writer.write(lambda c: c.execute(sa.update(runs).where(runs.c.id == run_id).values(told)))

    async def may_refuse(self, run_id: RunId, *, day: str, thread: str, actor_id: int) -> bool:
        """Whether this run's refusal is the first of its day for that person and thread; asking claims it."""

        def work(c: sa.Connection) -> bool:
            key = (refusals.c.day == day) & (refusals.c.thread == thread) & (refusals.c.actor_id == actor_id)
            holder = c.execute(sa.select(refusals.c.run_id).where(key)).scalar()
            if holder is None:
                c.execute(sa.insert(refusals).values(day=day, thread=thread, actor_id=actor_id, run_id=run_id))
            return holder in (None, run_id)

        return await self._writer.write(work)


def _redacted(body: Any, redact: Callable[[str], str]) -> Any:  # noqa: ANN401 -- JSON
    """The same JSON with every text in it redacted: what is stored here is read by everyone."""
    match body:
        case str():
            return redact(body)
        case dict():
            return {key: _redacted(value, redact) for key, value in body.items()}
        case list():
            return [_redacted(value, redact) for value in body]
        case _:
            return body
