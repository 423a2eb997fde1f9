"""GitHub's error answers, told apart by status and, where GitHub gives nothing else, by their words. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.github.failures import (
    Conflict,
    Forbidden,
    GitHubFailed,
    InstallationSuspended,
    NotFound,
    PermissionMissing,
    RepositoryReadOnly,
    ThreadLocked,
    Unauthorized,
    Unavailable,
    Unprocessable,
)

_ACCEPTED = "x-accepted-github-permissions"
_FORBIDDEN_WORDS: tuple[tuple[str, type[Forbidden]], ...] = (
    ("suspended", InstallationSuspended),
    ("archived", RepositoryReadOnly),
    ("disabled", RepositoryReadOnly),
    ("locked", ThreadLocked),
)
_BY_STATUS: dict[int, type[GitHubFailed]] = {
    401: Unauthorized,
    404: NotFound,
    409: Conflict,
    410: NotFound,
    422: Unprocessable,
}


@dataclass(frozen=True)
class Refusal:
    call: str
    status: int
    message: str
    """GitHub's message and the messages of its `errors`, on one line."""
    accepted: str

    @classmethod
    def parse(cls, call: str, status: int, headers: Mapping[str, str], body: object) -> "Refusal":
        message = _words(body) if isinstance(body, dict) and status >= 400 else ""
        return cls(call, status, message, headers.get(_ACCEPTED, ""))

    def failure(self) -> GitHubFailed:
        text = f"{self.call}: {self.status} {self.message}".rstrip()
        if self.status == 403:
            return self._forbidden(text)
        kind = Unavailable if self.status >= 500 else _BY_STATUS.get(self.status, GitHubFailed)
        return kind(text, status=self.status)

    def _forbidden(self, text: str) -> Forbidden:
        words = self.message.lower()
        kind = next((kind for word, kind in _FORBIDDEN_WORDS if word in words), None)
        return kind(text, status=403) if kind else PermissionMissing(text, accepted=self.accepted, status=403)


def _words(body: dict[str, Any]) -> str:
    parts = [str(body.get("message", ""))]
    errors = body.get("errors")
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            parts.append(str(error.get("message") or " ".join(str(error.get(k, "")) for k in ("field", "code"))))
        else:
            parts.append(str(error))
    return "; ".join(part for part in parts if part.strip())
