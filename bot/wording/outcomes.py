"""How a run ended, as its last event says it: read in the comment, on the page and in the terminal. No I/O."""

import re
from collections.abc import Sequence
from typing import Protocol

from bot.markdown import code_span, one_line
from bot.wording.amounts import changes

_MAX_VIOLATIONS = 20
_REASON = re.compile(r"[a-z_]{1,40}")
_LINE_CHARACTERS = 300
_SAW = "What the agent saw:"


class Violation(Protocol):
    """Something in the diff that a gate does not let pass."""

    @property
    def path(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def line(self) -> int | None: ...


def gates_refused(violations: Sequence[Violation], *, kept: bool = True) -> str:
    """Names each file and rule. `kept`: whether the work is there as a patch."""
    lines = [_violation(violation) for violation in violations[:_MAX_VIOLATIONS]]
    if len(violations) > _MAX_VIOLATIONS:
        lines.append(f"- and {len(violations) - _MAX_VIOLATIONS} more")
    lead = "Nothing was pushed, because the change breaks rules that protect this repository:"
    patch = ["", "The work is kept as a patch, on the run's page."] if kept else []
    return "\n".join([lead, "", *lines, *patch])


def _violation(violation: Violation) -> str:
    line = f" line {violation.line}" if violation.line is not None else ""
    place = f"{code_span(one_line(violation.path, _LINE_CHARACTERS))}{line}: " if violation.path else ""
    return f"- {place}{one_line(violation.detail, _LINE_CHARACTERS)} ({code_span(violation.rule)})"


def no_changes(answer: str) -> str:
    """The agent's own words say why."""
    return answer.strip() or "The agent ended without changing a file and gave no reason."


def opened(answer: str, unsigned_reason: str) -> str:
    """What a pull request is about; says so where GitHub did not sign its commit."""
    return "\n\n".join(filter(None, [answer, unsigned(unsigned_reason)]))


def pushed(
    answer: str, unsigned_reason: str, *, branch: str, files: int, additions: int, deletions: int, saw: str
) -> str:
    """What commits on an open pull request's branch are about: its text is somebody's, so all is told here.

    `saw`: as a Markdown list; it comes last.
    """
    where = f"{changes(files, additions, deletions)}, on the branch {code_span(one_line(branch, _LINE_CHARACTERS))}."
    listed = f"{_SAW}\n\n{saw.strip()}" if saw.strip() else ""
    return "\n\n".join(filter(None, [where, answer.strip(), unsigned(unsigned_reason), listed]))


def without_seen(summary: str) -> tuple[str, str]:
    """A summary, and apart from it the list of what the agent saw; empty where there is none."""
    before, mark, saw = summary.rpartition(f"\n\n{_SAW}\n\n")
    return (before, saw) if mark else (summary, "")


def unsigned(reason: str) -> str:
    """Empty when there is none."""
    if not reason:
        return ""
    # GitHub's words for it are such; anything else may be an error's text, which is for the log.
    shown = f" (`{reason}`)" if _REASON.fullmatch(reason) else ""
    return f"GitHub does not show this commit as verified{shown}."


def merged_already(base: str) -> str:
    return f"{code_span(one_line(base, _LINE_CHARACTERS))} has this change already, so there is nothing to merge."


def kept_on_branch(branch: str, url: str) -> str:
    return f"The work so far is on the branch [{code_span(one_line(branch, _LINE_CHARACTERS))}]({url})."


def kept_as_patch(url: str) -> str:
    return f"The work so far is kept as [a patch]({url})."


def kept_for_retry() -> str:
    return "The work so far is kept: `/backspace retry` goes on from there."


def ended(how: str, answer: str, public: str, next_step: str, *, branch: str = "", branch_url: str = "") -> str:
    """A run that ended before its work was done. `how` is the outcome's word; `branch` holds what was done."""
    why = f"{public} {next_step}".strip()
    kept = kept_on_branch(branch, branch_url) if branch else ""
    words = answer.strip()
    if how == "needs_input":
        return "\n\n".join(filter(None, [words or why, kept]))
    last_words = f"The agent's last words:\n\n{words}" if words else ""
    return "\n\n".join(filter(None, [why, kept, last_words]))
