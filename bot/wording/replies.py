"""Short answers to `stop`, `retry`, `status`, `help` and the like. No I/O."""

from datetime import datetime

from bot.markdown import Where, code_span, cut, one_line, sanitise
from bot.model import RunId
from bot.runs.view import RunView
from bot.wording.amounts import duration, used
from bot.wording.comment import queued, stage_name
from bot.wording.marker import marker

_MISTAKE_CHARACTERS = 1_000


def reply_marker(comment_id: int) -> str:
    """By which the answer to a command is found again."""
    return f"<!-- backspace:reply={comment_id} -->"


def marked(words: str, comment_id: int) -> str:
    """The answer with its marker in its first line, beside the run's where there is one."""
    mark = reply_marker(comment_id)
    return words.replace("-->\n", f"--> {mark}\n", 1) if words.startswith("<!-- backspace:run=") else f"{mark}\n{words}"


def status(run_id: RunId, view: RunView, run_url: str, now: datetime, *, ahead: int | None = None) -> str:
    """Where the run stands, in one line. `ahead`: how many come first; None when it does not wait."""
    facts = [duration(view.elapsed_seconds(now)), used(view.usage.cost_usd, None)]
    if view.complete is not None:
        where = f"The latest run ended: **{view.complete.outcome.replace('_', ' ')}**"
        facts += [f"<{view.complete.pr_url}>"] if view.complete.pr_url else []
    elif ahead is not None:
        where = f"The latest run waits: **{queued(ahead)}**"
    else:
        where = f"The latest run is under way: **{stage_name(view.stage) if view.stage else 'accepted'}**"
    return _reply(run_id, " · ".join([where, *facts, f"[the run]({run_url})"]))


def _reply(run_id: RunId | None, words: str) -> str:
    return f"{marker(run_id)}\n{words}" if run_id else words


def help_text(command: str = "/backspace", label: str = "backspace") -> str:
    """Every command and every option."""
    shown = code_span(one_line(label, 50))
    return f"""**Backspace** turns what you ask for into a pull request.

| Comment | What happens |
| --- | --- |
| `{command} <what to do>` on an issue | It works on this and opens a pull request, or goes on with the one it opened |
| the same on a pull request, or in a review of one | It works on this and pushes commits to the pull request's branch |
| `{command} --add <more>` | The agent that is at work in this thread is told more |
| `{command} stop` | The latest run of this thread ends; its work is kept |
| `{command} retry` | The latest run of this thread is tried again |
| `{command} status` | Where the latest run of this thread stands |
| `{command} help` | This |

{_options(command)}

The command starts a line; what follows it, also in further lines, is what to do. Several commands in one review make \
one run. The label {shown} on an issue asks for what the issue says. Only people with write access can ask."""


def _options(command: str) -> str:
    return f"""| Option | Means | Example |
| --- | --- | --- |
| `--base` | the branch that the pull request goes to; issues only | `{command} --base release-2 Fix the crash` |
| `--model` | the model that does the work | `{command} --model claude-opus-5-5 Fix the crash` |
| `--budget` | the most that it may cost, in US dollars | `{command} --budget 1.50 Fix the crash` |
| `--draft` | the pull request is opened as a draft; issues only | `{command} --draft Fix the crash` |
| `--add` | what follows is for the agent at work | `{command} --add Mind the empty list, too` |"""


def mistake(words: str, command: str = "/backspace") -> str:
    """The command line cannot be read. `words` say why, and may quote it."""
    why = cut(sanitise(words, where=Where.COMMENT, repo=""), _MISTAKE_CHARACTERS)
    return "\n\n".join(
        filter(
            None,
            [
                "**Not understood**, so nothing was started.",
                why,
                "Options stand right behind the command, before what to do:",
                _options(command),
            ],
        )
    )


def handed_over(run_id: RunId, run_url: str) -> str:
    """The agent at work was told what somebody added."""
    return _reply(run_id, f"Handed to the agent that is at work, in [this run]({run_url}).")


def no_run(command: str = "/backspace") -> str:
    return f"There is no run in this thread yet. Ask for one with `{command} <what to do>`."


def already_ended(run_id: RunId, command: str = "/backspace") -> str:
    return _reply(run_id, f"The latest run of this thread has ended. `{command} retry` tries it again.")


def still_running(run_id: RunId) -> str:
    return _reply(run_id, "The latest run of this thread is still at work.")
