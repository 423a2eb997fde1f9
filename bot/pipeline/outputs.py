"""What the stages hand on: small, JSON-able, kept by the engine. No I/O."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import TypeAdapter

from bot.model import CheckResult, Outcome, Seen

T = TypeVar("T")


class Ended(StrEnum):
    """How the agent's part ended."""

    DONE = "done"
    NEEDS_INPUT = "needs_input"
    STOPPED = "stopped"
    BUDGET = "budget_exceeded"
    TIMED_OUT = "timed_out"
    FAILED = "failed"


@dataclass(frozen=True)
class Prepared:
    base_sha: str
    seen: Seen = field(default_factory=Seen)


@dataclass(frozen=True)
class Worked:
    ended: Ended
    answer: str
    changed: bool
    code: str = ""
    public: str = ""
    next_step: str = ""


@dataclass(frozen=True)
class Verified:
    before: tuple[CheckResult, ...]
    after: tuple[CheckResult, ...]
    not_run: str
    """Why no checks ran; empty when they did."""
    repairs: int = 0
    worked: Worked | None = None
    """How the agent's last round of repair ended, where there was one."""

    @property
    def failing(self) -> bool:
        return any(check.exit_code != 0 for check in self.after)


@dataclass(frozen=True)
class Published:
    outcome: Outcome
    summary: str
    pr_url: str | None = None


def dump(output: object) -> dict[str, Any]:
    """As JSON types."""
    dumped: dict[str, Any] = TypeAdapter(type(output)).dump_python(output, mode="json")
    return dumped


def load(kind: type[T], outputs: dict[str, Any], stage: str) -> T:
    """A stage's output, read back."""
    return TypeAdapter(kind).validate_python(outputs[stage])


def new_failures(before: tuple[CheckResult, ...], after: tuple[CheckResult, ...]) -> list[CheckResult]:
    """Checks that fail now and did not fail before; a check that had failed already is no news."""
    passed = {check.command for check in before if check.exit_code == 0}
    known = {check.command for check in before}
    return [c for c in after if c.exit_code != 0 and (c.command in passed or c.command not in known)]
