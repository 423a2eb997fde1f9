"""The durable workflows: one answers, one works; every stage is a step whose name old runs rely on."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from dbos import DBOS
from dbos._error import DBOSMaxStepRetriesExceeded

from bot.model import RunId

_RECOVERIES = 5
_ANSWER_TIMEOUT_SECONDS = 60.0
_PREPARE_TIMEOUT_SECONDS = 1800.0
_PUBLISH_TIMEOUT_SECONDS = 600.0
_FINISH_TIMEOUT_SECONDS = 60.0
_GRACE_SECONDS = 300.0

Json = dict[str, Any]
_Work = Callable[[str, Json], Awaitable[Json]]
_RETRIED: dict[str, Any] = {
    "retries_allowed": True,
    "max_attempts": 3,
    "interval_seconds": 1.0,
    "backoff_rate": 2.0,
    "should_retry": lambda error: bool(getattr(error, "retry_helps", False)),
}

# When very many ask at once, GitHub's limits let the last of them through only minutes later.
_ANSWERED: dict[str, Any] = {**_RETRIED, "max_attempts": 10}


class Stages(Protocol):
    """What the engine runs; each is safe to run twice. Outputs are JSON, keyed by the stage's name.

    An output of `prepare` that has the key `over` says that the run has ended meanwhile.
    """

    async def errand(self, errand: Json) -> None:
        """Carry out what a delivery asks for besides a run."""
        ...

    async def answer(self, run_id: RunId) -> None: ...

    async def prepare(self, run_id: RunId) -> Json: ...

    async def work(self, run_id: RunId, outputs: Json) -> Json: ...

    async def verify(self, run_id: RunId, outputs: Json) -> Json: ...

    async def publish(self, run_id: RunId, outputs: Json) -> Json: ...

    async def finish(self, run_id: RunId, outputs: Json) -> None: ...

    async def abandon(self, run_id: RunId, stage: str, error: Exception | None) -> None:
        """End a run whose stage raised; None when the error was met by an earlier process."""
        ...


@dataclass(frozen=True)
class _Steps:
    errand: Callable[[Json], Awaitable[None]]
    answer: Callable[[str], Awaitable[None]]
    prepare: Callable[[str], Awaitable[Json]]
    work: _Work
    verify: _Work
    publish: _Work
    finish: Callable[[str, Json], Awaitable[None]]
    abandon: Callable[[str, str, Exception], Awaitable[None]]


def register(stages: Stages, work_seconds: float) -> None:
    """Declare `errands.v1`, `answers.v1` and `runs.v1`. `work_seconds`: the longest limit that a run may have."""
    steps = _declare_steps(stages, work_seconds + _GRACE_SECONDS)
    _declare_workflows(steps)


def _declare_steps(stages: Stages, backstop_seconds: float) -> _Steps:
    failures: dict[str, Exception] = {}

    @DBOS.step(name="errand", timeout_seconds=_ANSWER_TIMEOUT_SECONDS, **_ANSWERED)
    async def errand(body: Json) -> None:
        await stages.errand(body)

    @DBOS.step(name="answer", timeout_seconds=_ANSWER_TIMEOUT_SECONDS, **_ANSWERED)
    async def answer(run_id: str) -> None:
        await stages.answer(RunId(run_id))

    @DBOS.step(name="prepare", preemptible=True, timeout_seconds=_PREPARE_TIMEOUT_SECONDS, **_RETRIED)
    async def prepare(run_id: str) -> Json:
        return await stages.prepare(RunId(run_id))

    @DBOS.step(name="work", preemptible=True, timeout_seconds=backstop_seconds)
    async def work(run_id: str, outputs: Json) -> Json:
        return await stages.work(RunId(run_id), outputs)

    @DBOS.step(name="verify", preemptible=True, timeout_seconds=backstop_seconds)
    async def verify(run_id: str, outputs: Json) -> Json:
        return await stages.verify(RunId(run_id), outputs)

    @DBOS.step(name="publish", timeout_seconds=_PUBLISH_TIMEOUT_SECONDS, **_RETRIED)
    async def publish(run_id: str, outputs: Json) -> Json:
        return await stages.publish(RunId(run_id), outputs)

    @DBOS.step(name="finish", timeout_seconds=_FINISH_TIMEOUT_SECONDS, **_RETRIED)
    async def finish(run_id: str, outputs: Json) -> None:
        await stages.finish(RunId(run_id), outputs)

    @DBOS.step(name="abandon", timeout_seconds=_FINISH_TIMEOUT_SECONDS, **_RETRIED)
    async def abandon_step(run_id: str, stage: str) -> None:
        await stages.abandon(RunId(run_id), stage, failures.get(run_id))

    async def abandon(run_id: str, stage: str, error: Exception) -> None:
        cause = error.errors[-1] if isinstance(error, DBOSMaxStepRetriesExceeded) and error.errors else error
        failures[run_id] = cause
        try:
            await abandon_step(run_id, stage)
        finally:
            failures.pop(run_id, None)

    return _Steps(errand, answer, prepare, work, verify, publish, finish, abandon)


def _declare_workflows(steps: _Steps) -> None:
    @DBOS.workflow(name="errands.v1", max_recovery_attempts=_RECOVERIES)
    async def errands(body: Json) -> None:
        await steps.errand(body)

    @DBOS.workflow(name="answers.v1", max_recovery_attempts=_RECOVERIES)
    async def answers(run_id: str) -> None:
        try:
            await steps.answer(run_id)
        except Exception as error:  # noqa: BLE001 -- whatever a stage raises ends the run in its thread, not in silence
            await steps.abandon(run_id, "answer", error)

    @DBOS.workflow(name="runs.v1", max_recovery_attempts=_RECOVERIES)
    async def runs(run_id: str) -> None:
        stage = "prepare"
        outputs: Json = {}
        try:
            outputs["prepare"] = await steps.prepare(run_id)
            if "over" in outputs["prepare"]:
                return
            stage = "work"
            outputs["work"] = await steps.work(run_id, outputs)
            stage = "verify"
            outputs["verify"] = await steps.verify(run_id, outputs)
            stage = "publish"
            outputs["publish"] = await steps.publish(run_id, outputs)
            stage = "finish"
            await steps.finish(run_id, outputs)
        except Exception as error:  # noqa: BLE001 -- whatever a stage raises ends the run in its thread, not in silence
            await steps.abandon(run_id, stage, error)
