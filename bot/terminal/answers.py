"""What a server answers, as data. No I/O."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from bot import events as ev
from bot.errors import BackspaceError
from bot.model import RunId


class NotUnderstood(BackspaceError):
    """The answer is not one that Backspace gives."""


class Answer(BaseModel):
    """Any JSON object."""

    # A newer server may say more.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Started(Answer):
    request_id: RunId
    run_url: str


class PullRequest(Answer):
    number: int
    url: str | None
    state: str | None


class Run(Answer):
    model_config = ConfigDict(frozen=True, extra="allow")

    request_id: RunId
    repo: str
    issue: int | None
    prompt: str
    trigger: str
    actor: str
    state: str
    outcome: str | None
    pr_url: str | None
    pull_request: PullRequest | None
    branch: str | None
    model: str | None
    cost_usd: float
    budget_usd: float | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    last_event: int


class Listing(Answer):
    runs: tuple[Run, ...]
    next: str | None = None
    """The cursor of the next page."""


class Problem(Answer):
    """https://www.rfc-editor.org/rfc/rfc9457"""

    detail: str
    code: str = ""


_EVENT_BODY: TypeAdapter[dict[str, object]] = TypeAdapter(dict[str, object])


def event_of(seq: int, data: str) -> ev.StoredEvent | None:
    """None for a type of event that a newer server knows. Raises NotUnderstood for what is no event."""
    try:
        body = _EVENT_BODY.validate_json(data)
    except ValidationError:
        raise NotUnderstood from None
    try:
        return ev.unwire(seq, body)
    except (KeyError, TypeError, ValueError):
        return None
