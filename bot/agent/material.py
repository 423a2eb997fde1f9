"""What a prompt is made of, and whose words of a thread may be in it. No I/O."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.model import ContextComment, Issue, RunRequest, TriggerKind, Withheld


@dataclass(frozen=True)
class InstructionFile:
    """A file such as CLAUDE.md or AGENTS.md, from the default branch."""

    path: str
    text: str


@dataclass(frozen=True)
class Asked:
    """What is asked for: the request, or what was added to it before the agent began."""

    request: RunRequest
    earlier: tuple[ContextComment, ...] = ()
    """What was said before it in the same thread of a review."""


@dataclass(frozen=True)
class PullSoFar:
    """The pull request that the run goes on with."""

    number: int
    diff: str


@dataclass(frozen=True)
class Material:
    """All that a prompt is made of. `comments` and `linked` are those that may be shown."""

    asked: tuple[Asked, ...]
    """The request first."""
    comments: tuple[ContextComment, ...] = ()
    linked: tuple[Issue, ...] = ()
    """Issues and pull requests of the same repository that are named."""
    pull: PullSoFar | None = None
    withheld: Withheld = field(default_factory=Withheld)
    images: Mapping[str, str] = field(default_factory=dict)
    """By address, what stands in an image's place: where its file is, or why there is none."""
    instruction_files: tuple[InstructionFile, ...] = ()
    instructions: str = ""
    """From the repository's `.github/backspace.yml`."""
    checks: tuple[str, ...] = ()

    @property
    def request(self) -> RunRequest:
        return self.asked[0].request


@dataclass(frozen=True)
class Permitted:
    comments: tuple[ContextComment, ...]
    withheld: Withheld


def permitted(comments: Sequence[ContextComment], allowed_ids: Collection[int], triggered_at: datetime) -> Permitted:
    """The comments of people with write access, as they were at the trigger; the others are counted."""
    kept: list[ContextComment] = []
    by_others = later = 0
    for comment in comments:
        if comment.author.id not in allowed_ids:
            by_others += 1
        elif max(comment.created_at, comment.updated_at or comment.created_at) > triggered_at:
            later += 1
        else:
            kept.append(comment)
    return Permitted(tuple(kept), Withheld(by_others=by_others, edited_later=later))


def labelled(request: RunRequest) -> bool:
    """The thread's own text is the request: who put the label on vouches for it. Holds for a retry, too."""
    return bool(request.label) or request.trigger is TriggerKind.LABEL


def reported(request: RunRequest) -> bool:
    """The request is a report of programs, not a person's words. Holds for a retry, too."""
    return request.checks_round > 0 or request.trigger is TriggerKind.CHECKS
