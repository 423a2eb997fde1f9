"""What the REST API says back: answers, and refusals raised from anywhere below. No I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from tests.fakes.github.hooks import Outgoing
from tests.fakes.github.shapes import Json

_DOCUMENTATION = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: Json | list[Json] | bytes | None = None
    """Bytes go out as they are, in `media`."""
    headers: dict[str, str] = field(default_factory=dict)
    media: str = "application/json; charset=utf-8"
    deliveries: tuple[Outgoing, ...] = ()
    """Sent once the answer is on its way."""

    def content(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, ensure_ascii=False).encode()


class Refusal(Exception):
    """The API refuses."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: list[Json] | list[str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = headers or {}

    def answer(self) -> Answer:
        body: Json = {"message": self.message, "documentation_url": _DOCUMENTATION, "status": str(self.status)}
        if self.errors is not None:
            body["errors"] = self.errors
        return Answer(self.status, body, self.headers)


def not_found() -> Refusal:
    return Refusal(404, "Not Found")


def invalid(resource: str, field_name: str, code: str, message: str | None = None) -> Refusal:
    """https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api#validation-failed"""
    error: Json = {"resource": resource, "field": field_name, "code": code}
    if message:
        error["message"] = message
    return Refusal(422, "Validation Failed", errors=[error])


def custom(resource: str, message: str) -> Refusal:
    error: Json = {"resource": resource, "code": "custom", "message": message}
    return Refusal(422, "Validation Failed", errors=[error])
