"""The operations of the API: parameters, bodies, and every answer they give. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bot.model import RunState
from bot.web.schemas import RUN_ID, TEXT, Schema, ref

_PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Content:
    media_type: str
    schema: Schema
    """Of `text/event-stream`: each message's."""


@dataclass(frozen=True)
class Parameter:
    name: str
    where: Literal["path", "query", "header"]
    about: str
    schema: Schema = field(default_factory=lambda: TEXT)


@dataclass(frozen=True)
class Answer:
    status: int
    about: str
    contents: tuple[Content, ...] = ()
    headers: Mapping[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    name: str
    summary: str
    answers: tuple[Answer, ...]
    about: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Content | None = None
    for_known_visitors: bool = True
    """Whether it asks who is there."""


def _json(name: str) -> Content:
    return Content("application/json", ref(name))


def _problem(status: int, about: str, headers: Mapping[str, Schema] | None = None) -> Answer:
    return Answer(status, about, (Content(_PROBLEM, ref("Problem")),), headers or {})


_EVENTS = Content("text/event-stream", ref("Message"))
_UNKNOWN = _problem(401, "No key, a wrong or a revoked one, and no sign-in.", {"WWW-Authenticate": TEXT})
_FORBIDDEN = _problem(403, "The key or the person may not do that.")
_ABSENT = _problem(404, "There is no such run, or you may not see it.")
_TOO_OFTEN = _problem(429, "Too often; `Retry-After` says for how long.", {"Retry-After": TEXT})
_NO_STORE = _problem(503, "The database cannot be used right now; try again.")
_FORM_TOO_LARGE = _problem(413, "The form is larger than any of ours.")
_TO_PAGE = Answer(303, "Asked for by a form of a page: to the run's page.", headers={"Location": TEXT})
_RUN = Parameter("run_id", "path", "The run's id.", RUN_ID)
_FORM_TOKEN = Parameter("X-Form-Token", "header", "Of the sign-in; keys need none.")
_ONCE = Parameter("Idempotency-Key", "header", "The same key again gives the same run again.")

_START = Operation(
    "POST",
    "/api/code",
    "start",
    "Start a run",
    (
        Answer(
            200, "The run's events, from the first one up to the last.", (_EVENTS,), headers={"X-Request-Id": RUN_ID}
        ),
        Answer(
            202,
            "Asked for with `Accept: application/json`: where to follow it.",
            (_json("Started"),),
            headers={"Location": TEXT},
        ),
        _problem(400, "Not JSON, or no `Idempotency-Key`."),
        _UNKNOWN,
        _problem(403, "The key only reads, or is not for this repository."),
        _problem(404, "There is no such repository that the person may write to."),
        _problem(413, "The body is too large."),
        _problem(415, "The body is not said to be JSON."),
        _problem(422, "Fields are missing or wrong, which `errors` names; or the `Idempotency-Key` came with others."),
        _TOO_OFTEN,
        _NO_STORE,
    ),
    about="The run goes on whether or not anybody follows it.",
    parameters=(_ONCE, _FORM_TOKEN),
    body=_json("Request"),
)

OPERATIONS: tuple[Operation, ...] = (
    _START,
    Operation(
        "POST", "/code", "start_short", _START.summary, _START.answers, _START.about, _START.parameters, _START.body
    ),
    Operation(
        "GET",
        "/api/runs",
        "list_runs",
        "The runs that you may see, newest first",
        (
            Answer(200, "One page of them.", (_json("Runs"),)),
            _problem(400, "A filter or the cursor cannot be used."),
            _UNKNOWN,
            _TOO_OFTEN,
            _NO_STORE,
        ),
        parameters=(
            Parameter("repo", "query", "Only of this repository, `owner/name`."),
            Parameter("state", "query", "Only in this state.", {"enum": [*RunState]}),
            Parameter("actor", "query", "Only what this login, or the key of this name, asked for."),
            Parameter("limit", "query", "So many at most.", {"type": "integer", "minimum": 1, "maximum": 100}),
            Parameter("cursor", "query", "`next` of the page before."),
        ),
    ),
    Operation(
        "GET",
        "/api/runs/{run_id}",
        "show_run",
        "One run",
        (Answer(200, "How it stands.", (_json("Run"),)), _UNKNOWN, _ABSENT, _TOO_OFTEN, _NO_STORE),
        parameters=(_RUN,),
    ),
    Operation(
        "GET",
        "/api/runs/{run_id}/events",
        "follow_run",
        "The events of a run, as they come",
        (
            Answer(200, "From the first one, or from behind the one named, up to the last.", (_EVENTS,)),
            _problem(400, "The cursor is not the number of an event."),
            _UNKNOWN,
            _ABSENT,
            _TOO_OFTEN,
            _NO_STORE,
        ),
        parameters=(
            _RUN,
            Parameter("Last-Event-ID", "header", "Go on behind this event."),
            Parameter("after", "query", "The same, for those who cannot send the header."),
        ),
    ),
    Operation(
        "POST",
        "/api/runs/{run_id}/stop",
        "stop_run",
        "Stop a run; its work so far is kept",
        (
            Answer(200, "It has ended: now (`at_once`), or had done so before.", (_json("Stopped"),)),
            Answer(202, "It is at work, and ends `soon`.", (_json("Stopped"),)),
            _TO_PAGE,
            _UNKNOWN,
            _FORBIDDEN,
            _ABSENT,
            _FORM_TOO_LARGE,
            _TOO_OFTEN,
            _NO_STORE,
        ),
        parameters=(_RUN, _FORM_TOKEN),
    ),
    Operation(
        "POST",
        "/api/runs/{run_id}/retry",
        "retry_run",
        "Start an ended run again",
        (
            Answer(202, "The new run.", (_json("Started"),)),
            _TO_PAGE,
            _problem(400, "The `Idempotency-Key` is too long."),
            _UNKNOWN,
            _FORBIDDEN,
            _ABSENT,
            _problem(409, "It has not ended yet."),
            _FORM_TOO_LARGE,
            _TOO_OFTEN,
            _NO_STORE,
        ),
        parameters=(_RUN, _ONCE, _FORM_TOKEN),
    ),
    Operation(
        "GET",
        "/api/runs/{run_id}/patch",
        "patch_of_run",
        "What a run changed, as a patch",
        (
            Answer(200, "For `git am`.", (Content("text/x-patch", TEXT),)),
            _UNKNOWN,
            _problem(404, "There is no such run, you may not see it, or it has no patch."),
            _TOO_OFTEN,
            _NO_STORE,
        ),
        parameters=(_RUN,),
    ),
    Operation(
        "POST",
        "/webhook",
        "deliver",
        "Deliveries of GitHub",
        (
            Answer(200, "Seen before, or not for us.", (_json("Delivered"),)),
            Answer(202, "Accepted.", (_json("Delivered"),)),
            _problem(400, "Not a delivery."),
            _problem(401, "The signature is missing or wrong."),
            _problem(413, "Larger than any delivery."),
            _problem(503, "It could not be stored; it is safe to deliver it again."),
        ),
        parameters=tuple(
            Parameter(name, "header", about)
            for name, about in (
                ("X-Hub-Signature-256", "HMAC of the body with the webhook's secret."),
                ("X-GitHub-Event", "Which event it is."),
                ("X-GitHub-Delivery", "The delivery's id."),
            )
        ),
        body=Content("application/json", {"type": "object"}),
        for_known_visitors=False,
    ),
    Operation(
        "GET",
        "/healthz",
        "alive",
        "Whether it is alive",
        (Answer(200, "It is.", (_json("Status"),)),),
        for_known_visitors=False,
    ),
    Operation(
        "GET",
        "/readyz",
        "ready",
        "Whether it is ready",
        (
            Answer(200, "It is.", (_json("Status"),)),
            _problem(503, "It is starting or stopping, or the database does not answer."),
        ),
        for_known_visitors=False,
    ),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        "Counters, for Prometheus",
        (Answer(200, "In the text format of Prometheus.", (Content("text/plain", TEXT),)),),
        for_known_visitors=False,
    ),
)
