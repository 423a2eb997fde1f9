"""What is said when a run does not start: a code, a plain sentence, what to do. No I/O."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bot.markdown import Where, code_span, cut, one_line, sanitise
from bot.model import RunId
from bot.wording.amounts import money
from bot.wording.marker import marker

_MAX_PROBLEMS = 20
_DETAIL_CHARACTERS = 4_000
_NAME_CHARACTERS = 100

SENTENCES: Mapping[str, str] = {
    "not-authorised": "Only people with write access to this repository can ask Backspace to work on it. "
    "Somebody who has it can comment the same command.",
    "not-a-person": "Only people can ask Backspace; comments of bots and apps start nothing.",
    "installation-suspended": "The app's installation is suspended. An owner of the account can unsuspend it in the "
    "account's settings, under GitHub Apps.",
    "repository-gone": "The app cannot see this repository. An owner of the account can add it to the app's "
    "installation.",
    "repository-archived": "This repository is archived, so nothing can be pushed to it. Unarchive it, then ask again.",
    "repository-disabled": "GitHub has disabled this repository, so nothing can be pushed to it.",
    "repository-empty": "This repository has no commits yet. Push a first commit, then ask again.",
    "budget-used-up": "Today's budget for this installation is used up. Ask again tomorrow (UTC), or whoever runs "
    "Backspace raises `BACKSPACE_DAILY_BUDGET_USD`.",
    "config-invalid": "`.github/backspace.yml` on the default branch cannot be used, and Backspace does not guess.",
    "fork-branch": "This pull request comes from a fork, where Backspace may not push and does not run code. "
    "Ask on an issue of this repository instead: the change then comes as a branch and a pull request of its own.",
    "pull-request-closed": "This pull request is merged or closed, so nothing is pushed to its branch any more. "
    "Reopen it and ask again, or ask on an issue.",
    "default-branch": "This pull request's commits would go to the repository's default branch, where Backspace never "
    "pushes. Ask on an issue: the change then comes as a pull request of its own.",
    "branch-missing": "This repository has no such branch. Name one that exists: with `--base` in the comment, or as "
    "`base` in `.github/backspace.yml`.",
    "branch-moved": "The branch moved on while the run worked, so nothing was pushed to it; the work is kept on a "
    "branch of its own. Comment `/backspace retry` to do it again from the new head.",
    "model-unknown": "This server has no price for that model, so it could keep to no budget with it.",
    "option-unusable": "`--base` and `--draft` are for new pull requests; here the commits go to the branch of this "
    "one. Ask again without them.",
    "no-checks-possible": "None of the commands under `checks` in `.github/backspace.yml` can be run here: the sandbox "
    "does not have the programs that they need. Install them under `setup`.",
    "thread-locked": "This conversation is locked. Unlock it, then ask again.",
}
_UNKNOWN = "Backspace cannot do this here. Whoever runs it finds the reason in the log, under this code."


class Problem(Protocol):
    """One thing that is wrong with `.github/backspace.yml`."""

    @property
    def line(self) -> int: ...
    @property
    def key(self) -> str: ...
    @property
    def message(self) -> str: ...


class Invalid(Protocol):
    @property
    def problems(self) -> Sequence[Problem]: ...


def refusal(code: str, *, run_id: RunId, actor: str, detail: str = "") -> str:
    """The whole comment. `actor` is the login of who asked; it is not notified by it."""
    words = sanitise(cut(detail, _DETAIL_CHARACTERS), where=Where.COMMENT, repo="") if detail else sentence(code)
    asked = f"Asked by {code_span(one_line(actor, 100))}." if actor else ""
    return "\n\n".join(filter(None, [f"{marker(run_id)}\n{headline(code)}", words, asked]))


def headline(code: str) -> str:
    words = "Not published" if code == "gate-refused" else "Not done"
    return f"**{words}** · {code_span(one_line(code, 100))}" if code else f"**{words}**"


def sentence(code: str) -> str:
    """What is wrong and what to do, in plain words."""
    return SENTENCES.get(code, _UNKNOWN)


def config_problems(invalid: Invalid) -> str:
    """`.github/backspace.yml` cannot be used: each problem with its line and key."""
    shown = [_problem(problem) for problem in invalid.problems[:_MAX_PROBLEMS]]
    more = len(invalid.problems) - len(shown)
    rest = [f"- and {more} more"] if more > 0 else []
    return "\n".join([SENTENCES["config-invalid"] + " Mend it, then ask again:", "", *shown, *rest])


def _problem(problem: Problem) -> str:
    key = f", {code_span(one_line(problem.key, 200))}" if problem.key else ""
    return f"- line {problem.line}{key}: {one_line(problem.message, 400)}"


def model_unknown(model: str, known: Sequence[str]) -> str:
    """`known`: the models that may be asked for."""
    named = code_span(one_line(model, _NAME_CHARACTERS))
    listed = ", ".join(code_span(one_line(name, _NAME_CHARACTERS)) for name in known[:_MAX_PROBLEMS])
    why = f"This server has no price for {named}, so it could keep to no budget with it." if named else ""
    return f"{why or sentence('model-unknown')} Models that it knows: {listed}."


def app_not_installed(full_name: str, page_url: str) -> str:
    """`page_url`: where people install the app."""
    return (
        f"The app is not installed on {full_name}, or there is no such repository under this name. Install it at "
        f"{page_url}; or whoever runs this server sets `GITHUB_TOKEN`."
    )


def budget_used_up(daily_budget_usd: float | None) -> str:
    if daily_budget_usd is None:
        return sentence("budget-used-up")
    return (
        f"Today's budget for this installation, {money(daily_budget_usd)}, is used up. Ask again tomorrow (UTC), or "
        "whoever runs Backspace raises `BACKSPACE_DAILY_BUDGET_USD`."
    )
