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
from bot.model import InstallationId, Outcome, RunId, RunRequest, RunState, Sha, TriggerKind
from bot.runs.records import REQUEST, Accepted, Duplicate, Place, Received, Stopped, message_of
from bot.runs.schema import artefacts, deliveries, events, messages, runs

ACTIVE = (RunState.QUEUED, RunState.RUNNING)
TO_COME = (RunState.ACCEPTED, RunState.WAITING)

# Built once: putting such a statement together costs several times what running it costs.
_SEEN_BEFORE = sa.select(deliveries.c.run_id).where(deliveries.c.guid == sa.bindparam("guid"))
_WISHED_BEFORE = sa.select(runs.c.id).where(runs.c.job_key == sa.bindparam("job_key"))
_WISHED_ALL = sa.select(runs.c.job_key, runs.c.id).where(runs.c.job_key.in_(sa.bindparam("job_keys", expanding=True)))
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

    def submit_errand(self, connection: sa.Connection, guid: str, errand: dict[str, Any]) -> None:
        """Hand over what a delivery asks for besides a run, within the caller's transaction."""
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
    message_key: str = ""
    """Where several deliveries make one run, as the comments of a review do, this tells their words apart."""


@dataclass(frozen=True)
class Terms:
    """Under which a run is admitted."""

    model: str
    budget_usd: float
    branch: str
    """Where its commits go."""
    base_sha: Sha | None = None
    """The commit it starts from, when that is pinned already."""
    continues_pull: int | None = None
    """The open pull request whose branch that is."""


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
            rows.append({"run_id": run_id, "seq": seq, "at": now, "body": self._stored(event)})
        c.execute(_ADD_EVENTS, rows)
        if percentage != row.percentage:
            c.execute(sa.update(runs).where(runs.c.id == run_id).values(percentage=percentage))
        return int(row.last_seq)

    def opening(self, new: NewRun, now: datetime) -> ev.StoredEvent:
        """The first event of the run as it is stored when that starts."""
        return ev.StoredEvent(1, new.id, now, ev.decode(self._stored(_begun(new.request))))

    def _stored(self, event: ev.Event) -> Any:  # noqa: ANN401 -- JSON
        return _redacted(ev.encode(event), self.redact)

    def receive(
        self,
        c: sa.Connection,
        received: Received,
        now: datetime,
        start: NewRun | None,
        errand: dict[str, Any] | None,
    ) -> Accepted | Duplicate | None:
        """A delivery and what it asks for; None: it asks for no run."""
        seen = c.execute(_SEEN_BEFORE, {"guid": received.guid}).first()
        if seen:
            return Duplicate(seen.run_id)
        if errand is not None:
            self.queues.submit_errand(c, received.guid, errand)
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
            return self._join(c, RunId(known), new, now) if new.message_key else Duplicate(RunId(known))
        self._begin(c, [(new, now)])
        if new.message_key:
            self.say(c, new.id, replace(new, job_key=new.message_key), now, given=True)
        return Accepted(new.id)

    def _join(self, c: sa.Connection, known: RunId, new: NewRun, now: datetime) -> Accepted | Duplicate:
        """Further words for a run that an earlier delivery began; a run of their own when that has ended."""
        heard = c.execute(sa.select(messages.c.key).where(messages.c.key == new.message_key)).first()
        if heard:
            return Duplicate(known)
        alone = replace(new, job_key=new.message_key, message_key="")
        if self.row(c, known).state == RunState.FINISHED:
            return self.start(c, alone, now)
        self.say(c, known, alone, now)
        return Accepted(known)

    def steer(self, c: sa.Connection, new: NewRun, now: datetime) -> tuple[RunId | None, Accepted | Duplicate]:
        """Words for the run that works on the thread, which is returned first; else a run of their own."""
        at_work = sa.select(runs.c.id).where(runs.c.thread == new.request.thread, runs.c.state == RunState.RUNNING)
        working = c.execute(at_work).scalar()
        heard = c.execute(sa.select(messages.c.run_id).where(messages.c.key == new.job_key)).scalar()
        if heard:
            return RunId(heard), Duplicate(RunId(heard))
        if working is None:
            return None, self.start(c, new, now)
        self.say(c, RunId(working), new, now)
        return RunId(working), Accepted(RunId(working))

    @staticmethod
    def say(c: sa.Connection, run_id: RunId, new: NewRun, now: datetime, *, given: bool = False) -> None:
        """Keep words for the run, under `new.job_key`."""
        message = {
            "key": new.job_key,
            "run_id": run_id,
            "next_run_id": new.id,
            "request": REQUEST.dump_python(new.request, mode="json"),
            "said_at": now,
            "given_at": now if given else None,
        }
        c.execute(sa.insert(messages).values(message))

    def start_all(self, c: sa.Connection, wishes: Sequence[tuple[NewRun, datetime]]) -> list[Accepted | Duplicate]:
        """Several that no delivery brings, as `start` does with one."""
        keys = [new.job_key for new, _ in wishes]
        known = {row.job_key: RunId(row.id) for row in c.execute(_WISHED_ALL, {"job_keys": keys})}
        answers: list[Accepted | Duplicate] = []
        begun = []
        for new, now in wishes:
            earlier = known.setdefault(new.job_key, new.id)
            if earlier == new.id:
                begun.append((new, now))
            answers.append(Accepted(new.id) if earlier == new.id else Duplicate(earlier))
        self._begin(c, begun)
        return answers

    def _begin(self, c: sa.Connection, begun: Sequence[tuple[NewRun, datetime]]) -> None:
        if not begun:
            return
        c.execute(_ADD_RUN, [_row(new, now) for new, now in begun])
        c.execute(
            _ADD_EVENTS,
            [{"run_id": new.id, "seq": 1, "at": now, "body": self._stored(_begun(new.request))} for new, now in begun],
        )
        for new, _ in begun:
            self.queues.submit(c, "answers", new.id, new.request.installation_id)

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

    def admit(self, c: sa.Connection, run_id: RunId, terms: Terms) -> Place:
        """Its turn, or behind the other runs of its thread. One that was admitted already stays where it is."""
        row = self.row(c, run_id)
        ahead = self.ahead(c, row)
        if row.state != RunState.ACCEPTED:
            return Place(ahead)
        state = RunState.WAITING if ahead else RunState.QUEUED
        c.execute(
            sa.update(runs)
            .where(runs.c.id == run_id)
            .values(
                state=state,
                model=terms.model,
                budget_usd=terms.budget_usd,
                branch=terms.branch,
                base_sha=terms.base_sha or row.base_sha,
                continues_pull=terms.continues_pull,
            )
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

    def stop_all(
        self,
        c: sa.Connection,
        installation: InstallationId,
        repo_ids: Sequence[int] | None,
        reason: str,
        now: datetime,
    ) -> list[RunId]:
        """`repo_ids` None: of all repositories. What runs ends soon, the rest at once."""
        concerned = sa.select(runs.c.id, runs.c.state).where(
            runs.c.installation_id == installation, runs.c.state != RunState.FINISHED
        )
        if repo_ids is not None:
            concerned = concerned.where(runs.c.repo_id.in_(repo_ids))
        found = c.execute(concerned.order_by(runs.c.state == RunState.RUNNING, runs.c.created_at)).all()
        for row in found:
            reasoned = sa.update(runs).where(runs.c.id == row.id).values(stop_requested=True, stop_reason=reason)
            c.execute(reasoned)
        complete = ev.Complete(Outcome.STOPPED, reason, 0, 0)
        for row in found:
            if row.state not in ACTIVE:
                self.end(c, RunId(row.id), complete, now)
        for row in found:
            if row.state == RunState.QUEUED:
                self.end(c, RunId(row.id), complete, now)
        return [RunId(row.id) for row in found]

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
        if complete.outcome != Outcome.REFUSED:
            self._hear(c, run_id, now)
        return self._promote(c, row.thread)

    def _hear(self, c: sa.Connection, run_id: RunId, now: datetime) -> None:
        """What was said too late for its agent becomes runs of their own."""
        query = sa.select(messages).where(messages.c.run_id == run_id, messages.c.given_at.is_(None))
        for message in [message_of(row) for row in c.execute(query.order_by(messages.c.said_at, messages.c.key))]:
            # A check's failure is about a commit that is the branch's last no more.
            if message.request.trigger is not TriggerKind.CHECKS:
                self.start(c, NewRun(message.next_run_id, message.request, message.key), now)
            c.execute(sa.update(messages).where(messages.c.key == message.key).values(given_at=now))

    def _promote(self, c: sa.Connection, thread: str) -> RunId | None:
        if not thread:
            return None
        of_thread = sa.select(runs.c.id, runs.c.installation_id, runs.c.state).where(runs.c.thread == thread)
        if c.execute(of_thread.where(runs.c.state.in_(ACTIVE))).first():
            return None
        following = c.execute(
            of_thread.where(runs.c.state.in_(TO_COME)).order_by(runs.c.created_at, runs.c.id).limit(1)
        ).first()
        if following is None or following.state == RunState.ACCEPTED:
            # Who asked first is answered just now, and is the next to work unless refused.
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
        asked_before = sa.or_(
            runs.c.created_at < row.created_at, sa.and_(runs.c.created_at == row.created_at, runs.c.id < row.id)
        )
        earlier = sa.and_(runs.c.state.in_(TO_COME), asked_before)
        before = sa.select(sa.func.count()).where(
            runs.c.thread == row.thread, runs.c.id != row.id, sa.or_(runs.c.state.in_(ACTIVE), earlier)
        )
        return int(c.execute(before).scalar_one())


def _row(new: NewRun, now: datetime) -> dict[str, Any]:
    request = new.request
    return {
        "id": new.id,
        "job_key": new.job_key,
        "installation_id": request.installation_id,
        "repo_id": request.repo.id,
        "repo": request.repo.full_name,
        "thread": request.thread,
        "actor_id": request.actor.id,
        "actor": request.actor.login,
        "asked_by": request.asked_by or None,
        "request": REQUEST.dump_python(request, mode="json"),
        "state": RunState.ACCEPTED,
        "created_at": now,
        "last_seq": 1,
    }


def _begun(request: RunRequest) -> ev.Start:
    return ev.Start(request.repo.full_name, request.prompt, request.trigger, request.actor.login)


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
