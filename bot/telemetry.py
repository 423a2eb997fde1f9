"""Log lines and counters: one line per fact, named `noun.verb`, its context bound once, secrets taken out."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Literal, TextIO

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from structlog.typing import EventDict, Processor, WrappedLogger

DELIVERY = "delivery"
INSTALLATION = "installation"
REPO = "repo"
ISSUE = "issue"
RUN = "run"
STAGE = "stage"

_OURS = "bot"
# These set up handlers of their own; all of them are to speak through ours.
_LOUD = ("uvicorn", "uvicorn.error", "uvicorn.access", "dbos", "alembic", "httpx", "sqlalchemy")


@contextmanager
def context(
    *,
    delivery: str | None = None,
    installation: int | None = None,
    repo: str | None = None,
    issue: int | None = None,
    run: str | None = None,
    stage: str | None = None,
) -> Iterator[None]:
    """What every log line within says besides itself; what is not given stays as it was."""
    names = (DELIVERY, INSTALLATION, REPO, ISSUE, RUN, STAGE)
    values = (delivery, installation, repo, issue, run, stage)
    bound = {name: value for name, value in zip(names, values, strict=True) if value is not None}
    with structlog.contextvars.bound_contextvars(**bound):
        yield


def configure(*, form: Literal["console", "json"], redact: Callable[[str], str], stream: TextIO) -> None:
    """Sends our log lines from INFO on, and other libraries' from WARNING on, to `stream`. Once per process."""
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Processor = structlog.processors.JSONRenderer()
    if form == "console":
        # Plain: a traceback with local variables shows what no log may hold.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)
    handler = logging.StreamHandler(stream)
    handler.addFilter(_worth_a_line)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redaction(redact),
                renderer,
            ],
        )
    )
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(logging.INFO)
    for name in _LOUD:
        library = logging.getLogger(name)
        # DBOS adds a handler of its own when it finds none.
        library.handlers = [handler]
        library.propagate = False


def _worth_a_line(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] == _OURS


def redaction(redact: Callable[[str], str]) -> Processor:
    """A processor that puts every text of a log line through `redact`; it must come right before the renderer."""

    def clean(value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {redact(str(key)): clean(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [clean(entry) for entry in value]
        return redact(value.isoformat() if isinstance(value, date) else str(value))

    def process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: clean(value) for key, value in event.items()}

    return process


class Metrics:
    """The counters behind `GET /metrics`, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._deliveries = self._counter("deliveries", "Deliveries of GitHub's by answer.", "answer")
        self._runs = self._counter("runs", "Finished runs by outcome.", "outcome")
        self._github_calls = self._counter("github_calls", "Calls to GitHub's API.", "operation", "status")
        self._sandboxes = self._counter("sandboxes", "Sandboxes that are paid for: made, ended; any: lost.", "what")
        self._living = Gauge(
            "sandboxes_living", "Sandboxes that are paid for now.", namespace="backspace", registry=self._registry
        )
        self._sandbox_seconds = self._counter("sandbox_seconds", "Seconds that the ended ones of them lived.")
        self._sandbox_usd = self._counter("sandbox_usd", "US dollars that the ended ones of them cost, by our prices.")
        self._model_usd = self._counter("model_usd", "US dollars that the broker counted.", "model")

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, namespace="backspace", registry=self._registry)

    def delivery(self, answer: str) -> None:
        self._deliveries.labels(answer).inc()

    def run_finished(self, outcome: str) -> None:
        self._runs.labels(outcome).inc()

    def sandbox_made(self, living: int) -> None:
        """`living`: how many there are now."""
        self._sandboxes.labels("made").inc()
        self.sandboxes_living(living)

    def sandbox_ended(self, living: int, *, seconds: float, usd: float) -> None:
        self._sandboxes.labels("ended").inc()
        self._sandbox_seconds.inc(seconds)
        self._sandbox_usd.inc(usd)
        self.sandboxes_living(living)

    def sandbox_lost(self) -> None:
        self._sandboxes.labels("lost").inc()

    def sandboxes_living(self, living: int) -> None:
        self._living.set(living)

    def github_call(self, operation: str, status: int) -> None:
        """`operation` names the kind of call, never one repository or issue. `status` 0: no answer came."""
        self._github_calls.labels(operation, str(status)).inc()

    def spent(self, usd: float, *, model: str) -> None:
        self._model_usd.labels(model).inc(usd)

    def render(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry)
