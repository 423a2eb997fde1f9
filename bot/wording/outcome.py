"""How a run ended, in words: no more than its events show. No I/O."""

import re
from dataclasses import dataclass

from bot.events import Complete, PrCreated
from bot.markdown import Where, code_span, cut, one_line, sanitise
from bot.model import Outcome
from bot.runs.view import RunView
from bot.wording.amounts import changes, duration, money, used
from bot.wording.evidence import CONFIG_HINT, blocked, details, evidence
from bot.wording.outcomes import without_seen
from bot.wording.refusals import SENTENCES, headline

_SUMMARY_CHARACTERS = 16_000
_FAILURE_CHARACTERS = 6_000
_PULL_NUMBER = re.compile(r"/pull/(\d+)$")
_PUBLISHED = frozenset({Outcome.PULL_REQUEST, Outcome.COMMITS_PUSHED})
_GOOD = _PUBLISHED | {Outcome.NO_CHANGES}
_HEADLINES = {
    Outcome.PULL_REQUEST: "Opened a pull request",
    Outcome.COMMITS_PUSHED: "Pushed commits",
    Outcome.NO_CHANGES: "Nothing was changed",
    Outcome.NEEDS_INPUT: "The agent has a question",
    Outcome.STOPPED: "Stopped, as asked",
    Outcome.BUDGET_EXCEEDED: "Stopped: the budget is used up",
    Outcome.TIMED_OUT: "Stopped: the time limit was reached",
    Outcome.FAILED: "Failed",
}


@dataclass(frozen=True)
class Told:
    """What the events do not tell."""

    repo: str
    run_url: str
    budget_usd: float | None
    model: str
    command: str
    stop_reason: str = ""
    """Why it was stopped, when nobody in the thread asked for that."""
    checks_round: int = 0
    """How often failing checks were handed back, this time included."""
    sandbox_usd: float = 0.0
    """What its sandboxes cost; 0 where nobody pays for them."""


def after_checks(checks_round: int) -> str:
    """What follows the first words of a run that nobody asked for in words; empty for all others."""
    return f" after failing checks, round {checks_round}" if checks_round else ""


def parts(view: RunView, complete: Complete, told: Told) -> list[str]:
    """The blocks of the last comment, some of them empty."""
    why = view.failure.message.strip() if view.failure and complete.outcome not in _GOOD else ""
    summary, saw = without_seen(complete.summary.strip())
    said = [
        _safe(told.stop_reason, _FAILURE_CHARACTERS, told) if told.stop_reason not in summary else "",
        _safe(why, _FAILURE_CHARACTERS, told) if why not in summary else "",
        _safe(summary, _SUMMARY_CHARACTERS, told),
    ]
    unchanged = complete.outcome is Outcome.NO_CHANGES
    checks = "" if unchanged else evidence(view.checks_before, view.checks_after)
    if not checks and complete.outcome in _PUBLISHED:
        checks = f"Checks: not run. {CONFIG_HINT}"
    return [
        _headline(view, complete, told),
        *said,
        checks,
        blocked(view.refused_hosts),
        "" if _names_a_step(view, said, told) else _next_step(complete, told),
        _footer(view, complete, told),
        details("What the agent saw", _safe(saw, _SUMMARY_CHARACTERS, told)) if saw else "",
    ]


def _names_a_step(view: RunView, said: list[str], told: Told) -> bool:
    """Whether what was said already says what to do now."""
    known = view.failure is not None and view.failure.error_type in SENTENCES
    return known or any(f"`{told.command} " in words or ".github/" in words for words in said)


def _headline(view: RunView, complete: Complete, told: Told) -> str:
    code = view.failure.error_type if view.failure else ""
    if complete.outcome is Outcome.REFUSED:
        return headline(code)
    words = _HEADLINES[complete.outcome]
    if told.stop_reason and complete.outcome is Outcome.STOPPED:
        words = "Stopped"
    if complete.outcome is Outcome.BUDGET_EXCEEDED and told.budget_usd is not None:
        words = f"Stopped: the budget of {money(told.budget_usd)} is used up"
    shown = f" · {code_span(one_line(code, 100))}" if code and complete.outcome is Outcome.FAILED else ""
    return f"**{words}**{after_checks(told.checks_round)}{shown}{_pull(view.pr, complete.pr_url)}"


def _pull(pr: PrCreated | None, url: str | None) -> str:
    if pr is None:
        number = _PULL_NUMBER.search(url or "")
        link = f"[#{number[1]}]({url})" if number else f"<{url}>"
        return f": {link}" if url else ""
    return f": [#{pr.pr_number}]({pr.pr_url}) · {changes(pr.files_changed, pr.additions, pr.deletions)}"


def _safe(text: str, limit: int, told: Told) -> str:
    # The stages know the command only by its usual name.
    here = text.replace("`/backspace ", f"`{told.command} ")
    return cut(sanitise(here, where=Where.COMMENT, repo=told.repo), limit)


def _next_step(complete: Complete, told: Told) -> str:
    """Where what was said so far names none."""
    retry = f"`{told.command} retry`"
    smaller = f"in `.github/backspace.yml` or ask for a smaller part. {retry} goes on from here."
    steps = {
        Outcome.NO_CHANGES: f"If a change was expected, ask again with more detail: `{told.command} <what to do>`.",
        Outcome.NEEDS_INPUT: f"To answer, comment `{told.command} <your answer>`.",
        Outcome.BUDGET_EXCEEDED: f"Raise `budget_usd` {smaller}",
        Outcome.TIMED_OUT: f"Raise `timeout_minutes` {smaller}",
        Outcome.STOPPED: f"To go on, comment {retry}.",
        Outcome.FAILED: f"To try again, comment {retry}.",
    }
    return steps.get(complete.outcome, "")


def _footer(view: RunView, complete: Complete, told: Told) -> str:
    cost = max(complete.cost_usd, view.usage.cost_usd)
    facts = [duration(complete.duration_seconds), used(cost, told.budget_usd)]
    if told.sandbox_usd:
        facts.append(f"sandboxes {money(told.sandbox_usd)}")
    if told.model:
        facts.append(f"model {code_span(one_line(told.model, 100))}")
    if told.run_url:
        facts.append(f"[the run with its log]({told.run_url})")
    return " · ".join(facts)
