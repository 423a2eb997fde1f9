"""What we know and owe: deliveries, runs, events and saved work, read and written here only."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bot import events as ev
from bot.model import InstallationId, Outcome, RunId, RunRequest, RunState, Sha, Usage
from bot.runs.changes import Changes
from bot.runs.lifecycle import Lifecycle, NewRun, Queues, Terms
from bot.runs.rates import Rates
from bot.runs.records import (
    REQUEST,
    Accepted,
    Duplicate,
    Message,
    Place,
    PullState,
    Received,
    Run,
    Stopped,
    message_of,
    run_of,
    usage_of,
)
from bot.runs.sandboxes import heard
from bot.runs.schema import artefacts, deliveries, events, messages, refusals, runs
from bot.runs.starts import Starts
from bot.runs.tables import Tables

_PAGE = 500

# Built once: putting such a statement together costs several times what running it costs.
_EVENTS_BEHIND = (
    sa.select(events)
    .where(events.c.run_id == sa.bindparam("of"), events.c.seq > sa.bindparam("behind"))
    .order_by(events.c.seq)
    .limit(sa.bindparam("most"))
)
_BY_ID = sa.select(runs).where(runs.c.id == sa.bindparam("of"))


class Store:
    """All methods raise StoreUnavailable when the database cannot be used."""

    def __init__(self, tables: Tables, queues: Queues, redact: Callable[[str], str]) -> None:
        self._life = Lifecycle(queues, redact)
        self._tables = tables
        self._queues = queues
        self.changes = Changes()

    async def ping(self) -> None:
        """Show that the database can be written."""
        await self._tables.write(lambda c: c.execute(sa.delete(deliveries).where(sa.false())))

    # Deliveries and the life of a run

    async def accept(
        self,
        received: Received,
        start: NewRun | None,
        now: datetime,
        errand: dict[str, Any] | None = None,
    ) -> Accepted | Duplicate | None:
        """One transaction: the delivery, its run or errand, and its place in the engine.

        None: the delivery is stored and asks for no run.
        """
        answer = await self._tables.write(lambda c: self._life.receive(c, received, now, start, errand))
        if not isinstance(answer, Duplicate):
            self._queues.ring()
        if isinstance(answer, Accepted):
            self.changes.notify(answer.run_id)
        return answer

    async def retry(self, earlier: RunId, new: NewRun, now: datetime, *, carry: Sequence[str]) -> Accepted | Duplicate:
        """A new run of the same wish. `carry` names the artefacts that it goes on from; none: it begins anew."""
        started = await self._tables.write(lambda c: self._life.retry(c, earlier, new, now, carry))
        if isinstance(started, Accepted):
            self.told(started.run_id)
        return started

    async def admit(self, run_id: RunId, terms: Terms) -> Place:
        """Give an authorised run to the engine, or let it wait behind the other runs of its thread."""
        place = await self._tables.write(lambda c: self._life.admit(c, run_id, terms))
        self.told(run_id)
        return place

    def told(self, *run_ids: RunId | None) -> None:
        """The engine may have been given something, and readers of these runs have news."""
        self._queues.ring()
        for run_id in run_ids:
            if run_id is not None:
                self.changes.notify(run_id)

    async def place(self, run_id: RunId) -> Place:
        def work(c: sa.Connection) -> Place:
            row = c.execute(sa.select(runs).where(runs.c.id == run_id)).one()
            return Place(self._life.ahead(c, row) if row.state == RunState.WAITING else 0)

        return await self._tables.read(work)

    async def begin(self, run_id: RunId, now: datetime) -> None:
        """Mark that the engine works on the run."""
        begun = sa.update(runs).where(runs.c.id == run_id, runs.c.state == RunState.QUEUED)
        await self._tables.write(lambda c: c.execute(begun.values(state=RunState.RUNNING, started_at=now)))

    async def finish(self, run_id: RunId, complete: ev.Complete, now: datetime) -> None:
        """End the run once: its last event, its state, and the next run of its thread goes to the engine."""

        promoted = await self._tables.write(lambda c: self._life.end(c, run_id, complete, now))
        self.told(run_id, promoted)

    async def stop(self, run_id: RunId, complete: ev.Complete, now: datetime) -> Stopped:
        """Ask a run at work to end with its work kept; end one that has not begun with `complete`."""
        stopped, promoted = await self._tables.write(lambda c: self._life.stop(c, run_id, complete, now))
        self.told(run_id, promoted)
        return stopped

    async def latest(self, thread: str) -> Run | None:
        """The thread's newest run that was not refused."""
        return await self._newest(runs.c.thread == thread, sa.func.coalesce(runs.c.outcome, "") != Outcome.REFUSED)

    async def steer(self, new: NewRun, now: datetime) -> tuple[RunId | None, Accepted | Duplicate]:
        """Words for the run that works on the thread, which is returned first; else a run of their own."""
        working, answer = await self._tables.write(lambda c: self._life.steer(c, new, now))
        self.told(working, answer.run_id)
        return working, answer

    async def start(self, new: NewRun, now: datetime) -> Accepted | Duplicate:
        """A run that no delivery brings."""
        started = await self._tables.write(lambda c: self._life.start(c, new, now))
        self.told(started.run_id)
        return started

    def starts(self, rates: Rates) -> Starts:
        return Starts(self._tables, self._life, rates, told=self.told)

    async def messages(self, run_id: RunId) -> list[Message]:
        """What was said for the run and not yet given to its agent, oldest first."""
        query = (
            sa.select(messages)
            .where(messages.c.run_id == run_id, messages.c.given_at.is_(None))
            .order_by(messages.c.said_at, messages.c.key)
        )
        return await self._tables.read(lambda c: [message_of(row) for row in c.execute(query)])

    async def gave(self, key: str, now: datetime) -> None:
        """A message has reached its agent."""
        given = sa.update(messages).where(messages.c.key == key).values(given_at=now)
        await self._tables.write(lambda c: c.execute(given))

    async def stop_all(
        self, installation: InstallationId, repo_ids: Sequence[int] | None, reason: str, now: datetime
    ) -> list[RunId]:
        """Stop the unfinished runs of an installation, or of some of its repositories; those that were stopped."""
        stopped = await self._tables.write(lambda c: self._life.stop_all(c, installation, repo_ids, reason, now))
        self.told(*stopped)
        return stopped

    # Pull requests

    async def published(self, run_id: RunId, head_sha: Sha, pull_number: int | None) -> None:
        """Keep where the run's commits are. `pull_number` None: on a branch without a pull request."""
        state = PullState.OPEN if pull_number is not None else None
        kept = {"head_sha": head_sha, "pull_number": pull_number, "pull_state": state}
        await self._tables.write(lambda c: c.execute(sa.update(runs).where(runs.c.id == run_id).values(kept)))

    async def pull_ended(self, repo_id: int, number: int, state: PullState) -> list[RunId]:
        """The runs whose pull request it is; they say from now on how it stands."""
        update = sa.update(runs).where(runs.c.repo_id == repo_id, runs.c.pull_number == number)
        ended = await self._tables.write(
            lambda c: [
                RunId(found) for found in c.execute(update.values(pull_state=state).returning(runs.c.id)).scalars()
            ]
        )
        self.told(*ended)
        return ended

    async def with_open_pull(self, thread: str) -> Run | None:
        """The thread's newest run whose pull request was still open when GitHub last told."""
        return await self._newest(runs.c.thread == thread, runs.c.pull_state == PullState.OPEN)

    async def on_pull(self, repo_id: int, number: int, *, before: RunId) -> Run | None:
        """The newest other run whose commits are on the pull request."""
        return await self._newest(runs.c.repo_id == repo_id, runs.c.pull_number == number, runs.c.id != before)

    async def go_on_with(self, run_id: RunId, *, branch: str, base_sha: Sha, pull_number: int) -> Run:
        """The run starts from the head of an open pull request, and its commits go there."""
        onto = {"branch": branch, "base_sha": base_sha, "continues_pull": pull_number}
        update = sa.update(runs).where(runs.c.id == run_id).values(onto).returning(runs)
        return await self._tables.write(lambda c: run_of(c.execute(update).one()))

    async def by_head(self, repo_id: int, head_sha: Sha) -> Run | None:
        """The run that made this commit."""
        return await self._newest(runs.c.repo_id == repo_id, runs.c.head_sha == head_sha)

    async def resolved(self, run_id: RunId, request: RunRequest) -> Run:
        """What is known of the repository by now."""
        known = {
            "request": REQUEST.dump_python(request, mode="json"),
            "installation_id": request.installation_id,
            "repo_id": request.repo.id,
            "repo": request.repo.full_name,
        }
        update = sa.update(runs).where(runs.c.id == run_id).values(known).returning(runs)
        return await self._tables.write(lambda c: run_of(c.execute(update).one()))

    async def by_wish(self, job_key: str) -> Run | None:
        """The run that a wish became; the key is as in `NewRun`."""
        return await self._newest(runs.c.job_key == job_key)

    async def _newest(self, *where: sa.ColumnElement[bool]) -> Run | None:
        query = sa.select(runs).where(*where).order_by(runs.c.created_at.desc(), runs.c.id).limit(1)
        rows = await self._tables.read(lambda c: [run_of(row) for row in c.execute(query)])
        return rows[0] if rows else None

    async def lend_session(self, earlier: RunId, run_id: RunId, name: str, as_name: str) -> None:
        """Let a run go on in the session of an earlier one, whose artefact `name` becomes its own `as_name`."""

        def work(c: sa.Connection) -> None:
            if c.execute(
                sa.select(artefacts.c.name).where(artefacts.c.run_id == run_id, artefacts.c.name == as_name)
            ).first():
                return
            session = c.execute(sa.select(runs.c.session_id).where(runs.c.id == earlier)).scalar()
            c.execute(sa.update(runs).where(runs.c.id == run_id).values(session_id=session))
            old = sa.select(sa.literal(run_id), sa.literal(as_name), artefacts.c.content, artefacts.c.saved_at).where(
                artefacts.c.run_id == earlier, artefacts.c.name == name
            )
            c.execute(sa.insert(artefacts).from_select(["run_id", "name", "content", "saved_at"], old))

        await self._tables.write(work)

    async def remember_base(self, run_id: RunId, base_sha: Sha) -> None:
        """Keep the commit that the run works from."""
        update = sa.update(runs).where(runs.c.id == run_id).values(base_sha=base_sha)
        await self._tables.write(lambda c: c.execute(update))

    async def remember_session(self, run_id: RunId, session_id: str) -> None:
        """Keep the agent's session id, before the first start of that session."""
        update = sa.update(runs).where(runs.c.id == run_id).values(session_id=session_id)
        await self._tables.write(lambda c: c.execute(update))

    async def run(self, run_id: RunId) -> Run | None:
        def work(c: sa.Connection) -> Run | None:
            row = c.execute(_BY_ID, {"of": run_id}).first()
            return run_of(row) if row else None

        return await self._tables.read(work)

    async def unfinished(self) -> list[Run]:
        """Oldest first."""
        query = sa.select(runs).where(runs.c.state != RunState.FINISHED).order_by(runs.c.created_at)
        return await self._tables.read(lambda c: [run_of(row) for row in c.execute(query)])

    # Events

    async def append(self, run_id: RunId, news: Sequence[ev.Event], now: datetime, *, offset: int | None = None) -> int:
        """Add to the run's log; returns the last sequence number. A finished run's log stays as it is: 0.

        `offset`: the byte of the agent's output up to which it was understood, stored with what it meant.
        """
        if not news:
            return 0

        def work(c: sa.Connection) -> int:
            if offset is not None:
                heard(c, run_id, offset)
            return self._life.append(c, run_id, news, now)

        last = await self._tables.write(work)
        self.changes.notify(run_id)
        return last

    async def events_after(self, run_id: RunId, seq: int, *, limit: int = _PAGE) -> list[ev.StoredEvent]:
        place = {"of": run_id, "behind": seq, "most": limit}
        return await self._tables.read(
            lambda c: [
                ev.StoredEvent(r.seq, RunId(r.run_id), r.at, ev.decode(r.body))
                for r in c.execute(_EVENTS_BEHIND, place)
            ]
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

        return await self._tables.write(work)

    async def spent_since(self, installation_id: InstallationId, since: datetime) -> float:
        """US dollars of the installation's runs created since then."""
        query = sa.select(sa.func.coalesce(sa.func.sum(runs.c.cost_usd), 0.0)).where(
            runs.c.installation_id == installation_id, runs.c.created_at >= since
        )
        return await self._tables.read(lambda c: float(c.execute(query).scalar_one()))

    # Saved work

    async def save(self, run_id: RunId, name: str, content: bytes, now: datetime) -> None:
        """Keep an artefact of the run, in place of an earlier one of that name."""

        def work(c: sa.Connection) -> None:
            c.execute(sa.delete(artefacts).where(artefacts.c.run_id == run_id, artefacts.c.name == name))
            c.execute(sa.insert(artefacts).values(run_id=run_id, name=name, content=content, saved_at=now))

        await self._tables.write(work)

    async def drop(self, run_id: RunId, *names: str) -> None:
        gone = sa.delete(artefacts).where(artefacts.c.run_id == run_id, artefacts.c.name.in_(names))
        await self._tables.write(lambda c: c.execute(gone))

    async def saved(self, run_id: RunId, name: str) -> bytes | None:
        query = sa.select(artefacts.c.content).where(artefacts.c.run_id == run_id, artefacts.c.name == name)
        return await self._tables.read(lambda c: c.execute(query).scalar())

    # What was said on GitHub

    async def unreported(self) -> list[Run]:
        """Runs that have a comment whose final state is not yet written, oldest first."""
        query = (
            sa.select(runs)
            .where(runs.c.reported_final.is_(False), runs.c.comment_id.is_not(None))
            .order_by(runs.c.created_at)
        )
        return await self._tables.read(lambda c: [run_of(row) for row in c.execute(query)])

    async def unanswered(self, since: datetime) -> set[InstallationId]:
        """Installations where somebody asked since then and has no answer yet."""
        query = sa.select(runs.c.installation_id).where(
            runs.c.reported_final.is_(False), runs.c.created_at >= since, runs.c.state == RunState.ACCEPTED
        )
        return await self._tables.read(lambda c: {InstallationId(found) for found in c.execute(query).scalars()})

    async def commented(self, run_id: RunId, comment_id: int) -> None:
        """Remember the run's one comment."""
        posted = {"comment_id": comment_id, "comment_posts": runs.c.comment_posts + 1}
        await self._tables.write(lambda c: c.execute(sa.update(runs).where(runs.c.id == run_id).values(posted)))
        self.changes.notify(run_id)

    async def reported(self, run_id: RunId, seq: int, now: datetime, *, final: bool) -> None:
        """Remember up to which event the comment tells."""
        told = {"reported_seq": seq, "reported_at": now, "reported_final": final}
        await self._tables.write(lambda c: c.execute(sa.update(runs).where(runs.c.id == run_id).values(told)))

    async def may_refuse(self, run_id: RunId, *, day: str, thread: str, actor_id: int) -> bool:
        """Whether this run's refusal is the first of its day for that person and thread; asking claims it."""

        def work(c: sa.Connection) -> bool:
            key = (refusals.c.day == day) & (refusals.c.thread == thread) & (refusals.c.actor_id == actor_id)
            holder = c.execute(sa.select(refusals.c.run_id).where(key)).scalar()
            if holder is None:
                c.execute(sa.insert(refusals).values(day=day, thread=thread, actor_id=actor_id, run_id=run_id))
            return holder in (None, run_id)

        return await self._tables.write(work)
