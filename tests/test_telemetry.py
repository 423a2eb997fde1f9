"""Log lines say one fact each, with its context and without secrets; other libraries speak only up from WARNING."""

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dbos
import pytest
import structlog
from pydantic import SecretStr

from bot import telemetry
from tests.project import sources, tree

SECRET = "do-not-show-this"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """`configure` is for a whole process; a test has to leave it as it was."""
    names = [None, "bot", *telemetry._LOUD]
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    config = structlog.get_config()
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
    structlog.configure(**config)


def redact(text: str) -> str:
    return text.replace(SECRET, "***")


def json_lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def stream() -> io.StringIO:
    out = io.StringIO()
    telemetry.configure(form="json", redact=redact, stream=out)
    return out


def test_a_line_says_what_when_who_and_where(stream: io.StringIO) -> None:
    log = structlog.get_logger("bot.web.door")
    with telemetry.context(delivery="72d3162e", installation=957387, repo="octo-org/hello-world", issue=7):
        with telemetry.context(run="0190", stage="coding"):
            log.info("delivery.answered", status=202)
        log.info("run.finished")
    log.info("server.ended")
    first, second, third = json_lines(stream)
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "delivery.answered",
        "level": "info",
        "logger": "bot.web.door",
        "status": 202,
        "delivery": "72d3162e",
        "installation": 957387,
        "repo": "octo-org/hello-world",
        "issue": 7,
        "run": "0190",
        "stage": "coding",
    }
    assert "run" not in second
    assert second["delivery"] == "72d3162e"
    assert "delivery" not in third


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f"token {SECRET}", id="text"),
        pytest.param([f"a{SECRET}", {"b": (SECRET,)}], id="inner values"),
        pytest.param({SECRET: 1}, id="key"),
        pytest.param({SECRET}, id="set"),
        pytest.param(ValueError(SECRET), id="exception as a value"),
        pytest.param(SECRET.encode(), id="bytes"),
        pytest.param(SecretStr(SECRET), id="secret"),
    ],
)
def test_a_secret_is_taken_out_of_any_value(stream: io.StringIO, value: object) -> None:
    structlog.get_logger("bot").info("call.made", value=value)
    assert json_lines(stream)[0]["event"] == "call.made"
    assert SECRET not in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_secret_is_taken_out_of_a_traceback(form: Any) -> None:  # noqa: ANN401  a Literal of two, from a table
    out = io.StringIO()
    telemetry.configure(form=form, redact=redact, stream=out)
    try:
        int(SECRET)
    except ValueError:
        structlog.get_logger("bot").exception("call.failed")
        logging.getLogger("uvicorn.error").exception("failed with %s", SECRET)
    assert out.getvalue().count("base 10: '***'") == 2
    assert "failed with ***" in out.getvalue()
    assert SECRET not in out.getvalue()


def test_plain_values_stay_what_they_are(stream: io.StringIO) -> None:
    now = datetime(2026, 5, 15, 15, 20, tzinfo=UTC)
    structlog.get_logger("bot").info("run.finished", usd=0.84, done=True, none=None, at=now, list=[1, "a"])
    (line,) = json_lines(stream)
    assert (line["usd"], line["done"], line["none"], line["list"]) == (0.84, True, None, [1, "a"])
    assert line["at"] == "2026-05-15T15:20:00+00:00"


@pytest.mark.parametrize("library", ["uvicorn.error", "uvicorn.access", "dbos", "httpx", "alembic.runtime", "asyncio"])
def test_other_libraries_speak_from_warning_on(stream: io.StringIO, library: str) -> None:
    logger = logging.getLogger(library)
    logger.setLevel(logging.DEBUG)
    logger.info("hello")
    logger.warning("something is %s", "odd")
    logger.setLevel(logging.NOTSET)
    (line,) = json_lines(stream)
    assert (line["event"], line["level"], line["logger"]) == ("something is odd", "warning", library)


def test_the_durable_engine_adds_no_handler_of_its_own(stream: io.StringIO) -> None:
    handlers = list(logging.getLogger("dbos").handlers)
    dbos._logger.init_logger()
    assert logging.getLogger("dbos").handlers == handlers


def test_debug_is_not_shown(stream: io.StringIO) -> None:
    structlog.get_logger("bot.runs").debug("poll.done")
    assert stream.getvalue() == ""


def test_the_console_is_for_people() -> None:
    out = io.StringIO()
    telemetry.configure(form="console", redact=redact, stream=out)
    structlog.get_logger("bot").info("run.finished", outcome="pull_request")
    assert "run.finished" in out.getvalue()
    assert "outcome=pull_request" in out.getvalue()
    assert "\x1b[" not in out.getvalue()


def log_events() -> list[str]:
    """The first argument of each call of a logger in our code."""
    levels = {"debug", "info", "warning", "error", "exception"}
    return [
        ast.unparse(call.args[0])
        for path in sources("bot")
        for call in ast.walk(tree(path))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in levels
        and ast.unparse(call.func.value) in {"log", "_log"}
    ]


def test_every_line_is_named_noun_and_verb() -> None:
    assert log_events()
    assert [event for event in log_events() if not re.fullmatch(r"'[a-z_]+\.[a-z_]+'", event)] == []


def test_metrics() -> None:
    metrics = telemetry.Metrics()
    metrics.delivery("accepted")
    metrics.delivery("accepted")
    metrics.delivery("duplicate")
    metrics.run_finished("pull_request")
    metrics.github_call("create_comment", 201)
    metrics.spent(0.25, model="claude-sonnet-5-5")
    metrics.spent(0.5, model="claude-sonnet-5-5")
    metrics.sandbox_made(2)
    metrics.sandbox_lost()
    metrics.sandbox_ended(1, seconds=1800.0, usd=0.05)
    lines = metrics.render().decode().splitlines()
    counted = [f'backspace_sandboxes_total{{what="{what}"}} 1.0' for what in ("made", "lost", "ended")]
    assert set(counted) <= set(lines)
    assert "backspace_sandboxes_living 1.0" in lines
    assert "backspace_sandbox_seconds_total 1800.0" in lines
    assert "backspace_sandbox_usd_total 0.05" in lines
    assert 'backspace_deliveries_total{answer="accepted"} 2.0' in lines
    assert 'backspace_deliveries_total{answer="duplicate"} 1.0' in lines
    assert 'backspace_runs_total{outcome="pull_request"} 1.0' in lines
    assert 'backspace_github_calls_total{operation="create_comment",status="201"} 1.0' in lines
    assert 'backspace_model_usd_total{model="claude-sonnet-5-5"} 0.75' in lines


def test_each_has_its_own_count() -> None:
    first, second = telemetry.Metrics(), telemetry.Metrics()
    first.delivery("accepted")
    assert b'answer="accepted"' not in second.render()
