"""The life of a run as transactions: accepted, admitted, ended, promoted; the one place that assigns a state.

accepted → waiting → queued → running → finished; a run may be finished from every state, and never leaves it.
Every function works on the caller's connection, within the caller's transaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from bot import events as ev
from bot.model import InstallationId, RunId, RunRequest, RunState
from bot.runs.records import REQUEST, Accepted, Duplicate, Place, Received, Stopped
from bot.runs.schema import artefacts, deliveries, events, runs

ACTIVE = (RunState.QUEUED, RunState.RUNNING)

# Built once: putting such a statement together costs several times what running it costs.
_SEEN_BEFORE = sa.select(deliveries.c.run_id).where(deliveries.c.guid == sa.bindparam("guid"))
_WISHED_BEFORE = sa.select(runs.c.id).where(runs.c.job_key == sa.bindparam("job_key"))
_ADD_DELIVERY = sa.insert(deliveries)
_ADD_RUN = sa.insert(runs)
_ADD_EVENTS = sa.insert(events)
_COUNT_EVENTS = (
    sa.update(runs)
    .where(runs.c.id == sa.bindparam("run"), runs.c.state != RunState.FINISHED)
    .values(last_seq=runs.c.last_seq + sa.bindparam("more"))
    .returning(runs.c.last_seq, runs.c.percentage)
)


class Queues(Protocol):
    """The engine, as far as the store needs it."""

    def submit(self, connection: sa.Connection, queue: str, run_id: RunId, tenant: InstallationId) -> None:
        """Hand a run to a queue within the caller's transaction."""
        ...

    def submit_command(self, connection: sa.Connection, guid: str, command: dict[str, Any]) -> None:
        """Hand over something said in a thread, within the caller's transaction."""
        ...

    def ring(self) -> None:
        """Say, after the commit, that something was handed over."""
        ...


@dataclass(frozen=True)
class NewRun:
    """`job_key`: one wish may reach us twice; it is the same both times."""

    id: RunId
    request: RunRequest
    job_key: str


@dataclass(frozen=True)
class Lifecycle:
    queues: Queues
    redact: Callable[[str], str]

    def append(self, c: sa.Connection, run_id: RunId, news: Sequence[ev.Event], now: datetime) -> int:
        """The last sequence number; 0 when the run has ended, whose log stays as it is."""
        row = c.execute(_COUNT_EVENTS, {"run": run_id, "more": len(news)}).first()
        if row is None:
            return 0
        seq, percentage = row.last_seq - len(news), row.percentage
        rows = []
        for event in news:
            seq += 1
            if isinstance(event, ev.Progress):
                percentage = max(percentage, event.percentage)
                event = replace(event, percentage=percentage)  # noqa: PLW2901 -- progress never goes back
            body = _redacted(ev.encode(event), self.redact)
            rows.append({"run_id": run_id, "seq": seq, "at": now, "body": body})
        c.execute(_ADD_EVENTS, rows)
        if percentage != row.percentage:
            c.execute(sa.update(runs).where(runs.c.id == run_id).values(percentage=percentage))
        return int(row.last_seq)

    def receive(
        self,
        c: sa.Connection,
        received: Received,
        now: datetime,
        start: NewRun | None,
        command: dict[str, Any] | None,
    ) -> Accepted | Duplicate | None:
        """A delivery and what it asks for; None: it asks for no run."""
        seen = c.execute(_SEEN_BEFORE, {"guid": received.guid}).first()
        if seen:
            return Duplicate(seen.run_id)
        if command is not None:
            self.queues.submit_command(c, received.guid, command)
        answer = self.start(c, start, now) if start else None
        delivery = {
            "guid": received.guid,
            "event": received.event,
            "action": received.action,
            "decision": received.decision,
            "received_at": now,
            "run_id": answer.run_id if answer else None,
        }
        c.execute(_ADD_DELIVERY, delivery)
        return answer

    def start(self, c: sa.Connection, new: NewRun, now: datetime) -> Accepted | Duplicate:
        known = c.execute(_WISHED_BEFORE, {"job_key": new.job_key}).scalar()
        if known:
            return Duplicate(RunId(known))
        request = new.request
        run = {
            "id": new.id,
            "job_key": new.job_key,
            "installation_id": request.installation_id,
            "repo_id": request.repo.id,
            "repo": request.repo.full_name,
            "thread": request.thread,
            "actor_id": request.actor.id,
            "actor": request.actor.login,
            "request": REQUEST.dump_python(request, mode="json"),
            "state": RunState.ACCEPTED,
            "created_at": now,
        }
        c.execute(_ADD_RUN, run)
        begun = ev.Start(request.repo.full_name, request.prompt, request.trigger, request.actor.login)
        self.append(c, new.id, [begun], now)
        self.queues.submit(c, "answers", new.id, request.installation_id)
        return Accepted(new.id)

    def retry(
        self, c: sa.Connection, earlier: RunId, new: NewRun, now: datetime, carry: Sequence[str]
    ) -> Accepted | Duplicate:
        """A new run that goes on from the artefacts of an earlier one that `carry` names."""
        started = self.start(c, new, now)
        if isinstance(started, Accepted) and carry:
            row = c.execute(sa.select(runs.c.base_sha, runs.c.session_id).where(runs.c.id == earlier)).one()
            kept = {"base_sha": row.base_sha, "session_id": row.session_id}
            c.execute(sa.update(runs).where(runs.c.id == new.id).values(kept))
            columns = ("name", "content", "saved_at")
            old = sa.select(sa.literal(new.id), *(artefacts.c[name] for name in columns)).where(
                artefacts.c.run_id == earlier, artefacts.c.name.in_(carry)
            )
            c.execute(sa.insert(artefacts).from_select(["run_id", *columns], old))
        return started

    def admit(self, c: sa.Connection, run_id: RunId, *, model: str, budget_usd: float, branch: str) -> Place:
        """Its turn, or behind the other runs of its thread. One that was admitted already stays where it is."""
        row = self.row(c, run_id)
        ahead = self.ahead(c, row)
        if row.state != RunState.ACCEPTED:
            return Place(ahead)
        state = RunState.WAITING if ahead else RunState.QUEUED
        c.execute(
            sa.update(runs)
            .where(runs.c.id == run_id)
            .values(state=state, model=model, budget_usd=budget_usd, branch=branch)
        )
        if state == RunState.QUEUED:
            self.queues.submit(c, "runs", run_id, row.installation_id)
        return Place(ahead)

    def stop(
        self, c: sa.Connection, run_id: RunId, complete: ev.Complete, now: datetime
    ) -> tuple[Stopped, RunId | None]:
        """What it came to, and the run whose turn it is now."""
        row = self.row(c, run_id)
        if row.state == RunState.FINISHED:
            return Stopped.BEFORE, None
        if row.state == RunState.RUNNING:
            c.execute(sa.update(runs).where(runs.c.id == run_id).values(stop_requested=True))
            return Stopped.SOON, None
        return Stopped.AT_ONCE, self.end(c, run_id, complete, now)

    def end(self, c: sa.Connection, run_id: RunId, complete: ev.Complete, now: datetime) -> RunId | None:
        """Its last event and its state, once; and the run of its thread whose turn it is now."""
        row = self.row(c, run_id)
        if row.state == RunState.FINISHED:
            return None
        since = row.started_at or row.created_at
        seconds = round((now - since).total_seconds(), 1)
        self.append(c, run_id, [replace(complete, duration_seconds=seconds, cost_usd=round(row.cost_usd, 6))], now)
        c.execute(
            sa.update(runs)
            .where(runs.c.id == run_id)
            .values(state=RunState.FINISHED, finished_at=now, outcome=complete.outcome, pr_url=complete.pr_url)
        )
        return self._promote(c, row.thread)

    def _promote(self, c: sa.Connection, thread: str) -> RunId | None:
        if not thread:
            return None
        of_thread = sa.select(runs.c.id, runs.c.installation_id).where(runs.c.thread == thread)
        if c.execute(of_thread.where(runs.c.state.in_(ACTIVE))).first():
            return None
        waiting = of_thread.where(runs.c.state == RunState.WAITING).order_by(runs.c.created_at, runs.c.id)
        following = c.execute(waiting.limit(1)).first()
        if following is None:
            return None
        c.execute(sa.update(runs).where(runs.c.id == following.id).values(state=RunState.QUEUED))
        self.queues.submit(c, "runs", RunId(following.id), following.installation_id)
        return RunId(following.id)

    @staticmethod
    def row(c: sa.Connection, run_id: RunId) -> Any:  # noqa: ANN401 -- a row
        return c.execute(sa.select(runs).where(runs.c.id == run_id).with_for_update()).one()

    @staticmethod
    def ahead(c: sa.Connection, row: Any) -> int:  # noqa: ANN401 -- a row
        """How many unfinished runs of the same thread come before this one."""
        if not row.thread:
            return 0
        earlier = sa.and_(runs.c.state == RunState.WAITING, runs.c.created_at < row.created_at)
        before = sa.select(sa.func.count()).where(
            runs.c.thread == row.thread, runs.c.id != row.id, sa.or_(runs.c.state.in_(ACTIVE), earlier)
        )
        return int(c.execute(before).scalar_one())


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
