"""What became of the work when there is no pull request for it. No I/O."""

from collections.abc import Sequence
from typing import Protocol

from bot.markdown import code_span, one_line
from bot.wording.amounts import count

_SHOWN_FINDINGS = 20
_LINE_CHARACTERS = 300


class Finding(Protocol):
    """Something in the diff that a gate does not let pass."""

    @property
    def path(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def line(self) -> int | None: ...


def gates_refused(findings: Sequence[Finding]) -> str:
    """Names each file and rule; the work itself is kept as a patch."""
    lines = [_finding(finding) for finding in findings[:_SHOWN_FINDINGS]]
    if len(findings) > _SHOWN_FINDINGS:
        lines.append(f"- and {len(findings) - _SHOWN_FINDINGS} more")
    problems = count(len(findings), "problem")
    return "\n".join(
        [f"The change was not pushed: {problems} in it.", "", *lines, "", "The work is kept as a patch, at the run."]
    )


def _finding(finding: Finding) -> str:
    where = f"{code_span(one_line(finding.path, _LINE_CHARACTERS))} " if finding.path else ""
    line = f"line {finding.line} " if finding.line is not None else ""
    return f"- {where}{line}({finding.rule}): {one_line(finding.detail, _LINE_CHARACTERS)}"


def on_branch(branch: str, answer: str) -> str:
    """The agent's last words, and where its unfinished work is."""
    return "\n\n".join(filter(None, [answer, f"What was done so far is on the branch {code_span(branch)}."]))


def merged_already(base: str) -> str:
    return f"{code_span(base)} has this change already."
