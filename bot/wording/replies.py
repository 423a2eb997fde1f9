"""Short answers to `stop`, `retry`, `status`, `help` and the like. No I/O."""

from datetime import datetime

from bot.markdown import code_span, one_line
from bot.model import RunId
from bot.runs.view import RunView
from bot.wording.amounts import duration, used
from bot.wording.comment import queued, stage_name
from bot.wording.marker import marker


def reply_marker(comment_id: int) -> str:
    """By which the answer to a command is found again."""
    return f"<!-- backspace:reply={comment_id} -->"


def marked(words: str, comment_id: int) -> str:
    """The answer with its marker in its first line, beside the run's where there is one."""
    mark = reply_marker(comment_id)
    return words.replace("-->\n", f"--> {mark}\n", 1) if words.startswith("<!-- backspace:run=") else f"{mark}\n{words}"


def status(run_id: RunId, view: RunView, run_url: str, now: datetime) -> str:
    """Where the run stands, in one line."""
    facts = [duration(view.elapsed_seconds(now)), used(view.usage.cost_usd, None)]
    if view.complete is not None:
        where = f"The latest run ended: **{view.complete.outcome.replace('_', ' ')}**"
        facts += [f"<{view.complete.pr_url}>"] if view.complete.pr_url else []
    else:
        where = f"The latest run is under way: **{stage_name(view.stage) if view.stage else 'accepted'}**"
    return _reply(run_id, " · ".join([where, *facts, f"[the run]({run_url})"]))


def _reply(run_id: RunId | None, words: str) -> str:
    return f"{marker(run_id)}\n{words}" if run_id else words


def help_text(command: str = "/backspace", label: str = "backspace") -> str:
    """Every command."""
    shown = code_span(one_line(label, 50))
    return f"""**Backspace** turns what you ask for into a pull request.

| Comment | What happens |
| --- | --- |
| `{command} <what to do>` | It works on this and opens a pull request |
| `{command} stop` | The latest run of this thread ends; its work is kept |
| `{command} retry` | The latest run of this thread is tried again |
| `{command} status` | Where the latest run of this thread stands |
| `{command} help` | This |

The command starts a line. The label {shown} on an issue asks for what the issue says.
Only people with write access can ask."""


def stopping(run_id: RunId) -> str:
    return _reply(run_id, "Stopping it. What was done so far is kept.")


def retrying(run_id: RunId, ahead: int = 0) -> str:
    return _reply(run_id, f"Trying again: {queued(ahead)}." if ahead else "Trying again.")


def no_run(command: str = "/backspace") -> str:
    return f"There is no run in this thread yet. Ask for one with `{command} <what to do>`."


def already_ended(run_id: RunId, command: str = "/backspace") -> str:
    return _reply(run_id, f"The latest run of this thread has ended. `{command} retry` tries it again.")


def still_running(run_id: RunId) -> str:
    return _reply(run_id, "The latest run of this thread is still at work.")


def edited_comment(command: str = "/backspace") -> str:
    return f"An edited comment starts nothing: nobody's words may change under a request. Comment `{command}` anew."


def same_request(run_id: RunId) -> str:
    return _reply(run_id, "This was asked for already; the run above is about it.")
