"""What Backspace itself ran, as a table with exit codes and the output of what fails. No I/O."""

from collections.abc import Sequence
from html import escape

from bot.markdown import code_span, fence, one_line, without_markers
from bot.model import CheckResult
from bot.wording.amounts import count
from bot.wording.refusals import sentence

_COMMAND_CHARACTERS = 120
_MAX_ROWS = 40
_MAX_OUTPUTS = 3
_OUTPUT_LINES = 40
_OUTPUT_CHARACTERS = 4_000
_CANNOT_RUN = frozenset({126, 127})
"""https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html#tag_18_08_02"""

CONFIG_HINT = "Name commands under `checks` in `.github/backspace.yml`, and Backspace runs them before and after."


def evidence(before: Sequence[CheckResult], after: Sequence[CheckResult]) -> str:
    """The table, then the output of the commands that fail on the result; empty when nothing ran."""
    commands = list(dict.fromkeys(check.command for check in (*before, *after)))
    if not commands:
        return ""
    earlier = {check.command: check for check in before}
    later = {check.command: check for check in after}
    rows = [
        f"| {_command(command)} | {_exit(earlier.get(command))} | {_exit(later.get(command))} | "
        f"{_seconds(later.get(command) or earlier.get(command))} |"
        for command in commands[:_MAX_ROWS]
    ]
    table = "\n".join(["| Command | Exit code before | Exit code after | Time |", "| --- | --- | --- | --- |", *rows])
    more = f"{count(len(commands) - _MAX_ROWS, 'more command')} ran." if len(commands) > _MAX_ROWS else ""
    failing = [check for check in after if check.exit_code != 0]
    note = f"`no-checks-possible`: {sentence('no-checks-possible')}" if _none_can_run(after) else ""
    return "\n\n".join(filter(None, [table, more, note, *map(_output, failing[:_MAX_OUTPUTS])]))


def _none_can_run(checks: Sequence[CheckResult]) -> bool:
    """Whether each ended as a shell ends what it cannot start: not found, or not a program."""
    return bool(checks) and all(check.exit_code in _CANNOT_RUN for check in checks)


def details(summary: str, body: str) -> str:
    """Collapsed. `summary` is HTML, `body` is Markdown."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def tail(output: str) -> str:
    """The last lines, in a code block, with how many came before them."""
    lines = output.strip("\n").split("\n")
    kept = "\n".join(lines[-_OUTPUT_LINES:])[-_OUTPUT_CHARACTERS:]
    whole = len(kept) == len(output.strip("\n"))
    note = "" if whole else f"The end of {count(len(lines), 'line')}:\n\n"
    return note + fence(kept)


def _command(command: str) -> str:
    return code_span(one_line(command, _COMMAND_CHARACTERS), in_table=True)


def _exit(check: CheckResult | None) -> str:
    if check is None:
        return "not run"
    return f"✅ {check.exit_code}" if check.exit_code == 0 else f"❌ {check.exit_code}"


def _seconds(check: CheckResult | None) -> str:
    return f"{check.seconds:.1f} s" if check else ""


def _output(check: CheckResult) -> str:
    command = escape(without_markers(one_line(check.command, _COMMAND_CHARACTERS)))
    body = tail(check.output) if check.output.strip() else "It wrote nothing."
    return details(f"Output of <code>{command}</code> (exit code {check.exit_code})", body)


def blocked(hosts: Sequence[str]) -> str:
    """Hosts that the sandbox was kept from, and how to let it reach them; empty when there are none."""
    if not hosts:
        return ""
    shown = ", ".join(code_span(one_line(host, _COMMAND_CHARACTERS)) for host in hosts[:20])
    more = f" and {len(hosts) - 20} more" if len(hosts) > 20 else ""
    return (
        f"Blocked by the sandbox's network rules: {shown}{more}. "
        "Name what the work needs under `network.allow` in `.github/backspace.yml`."
    )
