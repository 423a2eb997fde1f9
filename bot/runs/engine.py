"""Durable queues over the database that also has our tables; with `workflows`, all that knows DBOS."""

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions
from dbos._queue import queue_worker_thread  # the pin to a minor version and one test protect this private name
from dbos._serialization import DBOSPortableJSONSerializer

from bot.model import InstallationId, RunId
from bot.runs.database import is_sqlite, open_engine
from bot.runs.workflows import Stages, register

_APP = "backspace"
_VERSION = "1"
_RUN_QUEUE_POLL_SECONDS = 1.0
_POOL_SIZE = 10
_THREADS = 32
_ANSWERS_AT_ONCE = 32


class Doorbell(threading.Event):
    """The stop event of a queue's thread, which also wakes the thread when there is work."""

    def __init__(self) -> None:
        super().__init__()
        self._rung = threading.Event()

    def ring(self) -> None:
        self._rung.set()

    def set(self) -> None:
        super().set()
        self._rung.set()

    def wait(self, timeout: float | None = None) -> bool:
        self._rung.wait(timeout)
        self._rung.clear()
        return self.is_set()


@dataclass(frozen=True)
class Caps:
    """How many runs at once: by this worker, and for one installation."""

    runs: int
    runs_per_installation: int
    work_seconds: float
    """The longest that a run's own limit may be; the engine's backstop lies above it."""


class Engine:
    """Queues and workflows over the database that also has our tables."""

    def __init__(self, url: str, caps: Caps) -> None:
        self._url = url
        self._caps = caps
        self._bells: dict[str, Doorbell] = {"answers": Doorbell(), "runs": Doorbell()}
        self._threads: list[threading.Thread] = []
        # What is enqueued is on the disk, for it is committed with our rows. What a power cut may take of the rest
        # are the results of steps, and a step is safe to run twice.
        self._engine = open_engine(url, pool_size=_POOL_SIZE, synchronous="NORMAL")
        self._client = DBOSClient(
            system_database_engine=self._engine,
            system_database_url=url,
            application_name=_APP,
            serializer=DBOSPortableJSONSerializer(),
            retry_connection_errors=False,
        )
        self._dbos: DBOS | None = None

    def submit(self, connection: sa.Connection, queue: str, run_id: RunId, tenant: InstallationId) -> None:
        """Enqueue within the caller's transaction; `ring` after its commit makes the start immediate."""
        options = _options(queue, queue, run_id)
        if queue == "runs":
            options["queue_partition_key"] = str(tenant)
        self._client.enqueue_in_transaction(connection, options, run_id)

    def submit_errand(self, connection: sa.Connection, guid: str, errand: dict[str, Any]) -> None:
        """Enqueue what a delivery asks for besides a run, as JSON, under the delivery's id."""
        self._client.enqueue_in_transaction(connection, _options("answers", "errands", guid), errand)

    def ring(self) -> None:
        """Say that something was enqueued."""
        for bell in self._bells.values():
            bell.ring()

    def migrate(self) -> None:
        """Create DBOS's tables, so that `submit` works before `start`."""
        if not is_sqlite(self._url):
            DBOS.migrate(self._url)

    async def start(self, stages: Stages) -> None:
        """Take up what an earlier process left, then work. Must be called in the loop that runs the stages."""
        config: DBOSConfig = {
            "name": _APP,
            "system_database_url": self._url,
            "application_version": _VERSION,
            "executor_id": "local",
            "serializer": DBOSPortableJSONSerializer(),
            "sys_db_pool_size": _POOL_SIZE,
            "max_executor_threads": _THREADS,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
        if is_sqlite(self._url):
            config["system_database_engine"] = self._engine
        self._dbos = DBOS(config=config)
        register(stages, self._caps.work_seconds)
        DBOS.listen_queues([])
        DBOS.launch()
        answers = await DBOS.register_queue_async(
            "answers", worker_concurrency=_ANSWERS_AT_ONCE, polling_interval_sec=_RUN_QUEUE_POLL_SECONDS
        )
        runs = await DBOS.register_queue_async(
            "runs",
            worker_concurrency=self._caps.runs,
            partition_concurrency=self._caps.runs_per_installation,
            polling_interval_sec=_RUN_QUEUE_POLL_SECONDS,
        )
        for queue in (answers, runs):
            bell = self._bells[queue.name]
            self._dbos.background_thread_stop_events.append(bell)
            thread = threading.Thread(
                target=queue_worker_thread, args=(bell, self._dbos, queue), name=f"queue-{queue.name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)
        self.ring()

    async def ended(self, run_id: RunId) -> bool:
        """Whether the engine will do nothing more for a run that it was given."""
        status = await asyncio.to_thread(self._status, run_id)
        return status in {"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"}

    def _status(self, run_id: RunId) -> str | None:
        for queue in ("runs", "answers"):
            found = self._client.list_workflows(workflow_ids=[f"{queue}-{run_id}"], load_input=False, load_output=False)
            if found:
                return str(found[0].status)
        return None

    async def stop(self) -> None:
        """Claim nothing more and end; what was interrupted goes on after the next start."""
        for bell in self._bells.values():
            bell.set()
        if self._dbos is not None:
            stopper = threading.Thread(target=DBOS.destroy, kwargs={"workflow_completion_timeout_sec": 0})
            stopper.start()
            while stopper.is_alive():  # noqa: ASYNC110 -- a thread has no awaitable end, and it needs this loop to end
                await asyncio.sleep(0.05)
        self._client.destroy()


def _options(queue: str, workflow: str, key: str) -> EnqueueOptions:
    return {
        "queue_name": queue,
        "workflow_name": f"{workflow}.v1",
        "workflow_id": f"{workflow}-{key}",
        "application_name": _APP,
    }
