"""A pull request: what and why, evidence, and what the agent saw. No I/O."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bot.events import StoredEvent
from bot.markdown import Where, code_span, cut, one_line, sanitise, sanitise_line
from bot.model import CheckResult, RunId, RunRequest, Seen, Usage
from bot.runs.view import view_of
from bot.wording import names
from bot.wording.amounts import count, duration, used
from bot.wording.evidence import CONFIG_HINT, blocked, details, evidence
from bot.wording.marker import marker
from bot.wording.outcomes import unsigned

_MAX_CHARACTERS = 60_000
_SUMMARY_CHARACTERS = 24_000
_PROMPT_CHARACTERS = 2_000
_NOTE_CHARACTERS = 300
_MAX_NOTES = 20


@dataclass(frozen=True)
class Facts:
    run_id: RunId
    run_url: str
    request: RunRequest
    answer: str
    """The agent's own words."""
    before: Sequence[CheckResult]
    after: Sequence[CheckResult]
    not_run: str
    """Why no checks ran; empty when they did."""
    seen: Seen = field(default_factory=Seen)
    config_file: bool = False
    """Whether the repository has a `.github/backspace.yml`."""
    gates: Sequence[str] = ()
    """One line each: what was looked at before the push, and what was found."""
    unsigned_reason: str = ""
    """Why GitHub does not show the commit as verified; empty when it does."""
    usage: Usage = field(default_factory=Usage)
    budget_usd: float | None = None
    model: str = ""
    seconds: float = 0.0
    events: Sequence[StoredEvent] = ()


def title(text: str, issue_number: int | None = None) -> str:  # noqa: ARG001  the number stands in the body
    """Of the issue's title or the prompt."""
    return names.pull_title(text)


def body(facts: Facts) -> str:
    repo = facts.request.repo.full_name
    issue = facts.request.issue
    summary = cut(sanitise(facts.answer, where=Where.PULL_REQUEST, repo=repo), _SUMMARY_CHARACTERS)
    parts = [
        summary or "The agent gave no summary.",
        f"Closes #{issue.number}" if issue and not issue.is_pull_request else "",
        "### Evidence",
        _evidence(facts, repo),
        blocked(view_of(facts.events).refused_hosts),
        unsigned(facts.unsigned_reason),
        _asked(facts, repo),
        saw(facts),
        _gates(facts, repo),
        _footer(facts),
    ]
    return cut(marker(facts.run_id) + "\n" + "\n\n".join(filter(None, parts)), _MAX_CHARACTERS)


def _evidence(facts: Facts, repo: str) -> str:
    table = evidence(facts.before, facts.after)
    if not table:
        why = sanitise_line(facts.not_run, _NOTE_CHARACTERS, where=Where.PULL_REQUEST, repo=repo)
        hint = "" if "backspace.yml" in why else f" {CONFIG_HINT}"
        return f"Checks: not run{f', because {why}' if why else ''}.{hint}"
    return f"Backspace ran these commands itself, before the change and on the commit of this pull request:\n\n{table}"


def _asked(facts: Facts, repo: str) -> str:
    words = cut(sanitise(facts.request.prompt, where=Where.PULL_REQUEST, repo=repo), _PROMPT_CHARACTERS)
    return details("What was asked for", words) if words else ""


def saw(facts: Facts) -> str:
    """What the agent was shown and what was withheld from it, collapsed."""
    return details("What the agent saw", saw_list(facts))


def saw_list(facts: Facts) -> str:
    """The same as a plain list, for the end of a run that opens no pull request."""
    seen, issue = facts.seen, facts.request.issue
    lines = [f"{count(seen.comments, 'comment')} of the thread included"] if issue else []
    if seen.linked:
        lines.append("Included, because the thread names them: " + ", ".join(f"#{number}" for number in seen.linked))
    if seen.images:
        lines.append(f"{count(seen.images, 'image')} included")
    lines += _withheld(seen, "pull request" if issue and issue.is_pull_request else "issue")
    branch = code_span(one_line(facts.request.repo.default_branch, 200)) or "the default branch"
    files = ", ".join(code_span(one_line(path, 200)) for path in seen.instructions)
    lines.append(f"Instructions from {branch}: {files or 'none, there is no CLAUDE.md or AGENTS.md'}")
    config = "`.github/backspace.yml`" if facts.config_file else "none, so the defaults hold"
    lines.append(f"Configuration from {branch}: {config}")
    return "\n".join(f"- {line}" for line in lines)


def _withheld(seen: Seen, thread: str) -> Iterator[str]:
    """`thread`: what it is, in a word."""
    withheld = seen.withheld
    if withheld.thread_text:
        label = ", or put the label on the issue to vouch for it" if thread == "issue" else ""
        yield (
            f"Title and text of the {thread} left out: by somebody without write access. "
            f"Quote what matters in your comment{label}"
        )
    comments = (
        (withheld.by_others, "by people without write access"),
        (withheld.by_programs, "by apps"),
        (withheld.edited_later, "edited after the request"),
        (withheld.no_room, "older than those there was room for"),
    )
    linked = (
        (withheld.linked_by_others, "by people without write access"),
        (withheld.linked_changed_later, "changed after the request"),
        (withheld.linked_no_room, "only the first few are read"),
    )
    for number, why in comments:
        if number:
            yield f"{count(number, 'comment')} left out: {why}"
    for number, why in linked:
        if number:
            yield f"{count(number, 'linked issue')} left out: {why}"
    for why, number in Counter(seen.images_left_out).items():
        yield f"{count(number, 'image')} left out: {one_line(why, _NOTE_CHARACTERS)}"
    if withheld.hidden_spans:
        yield f"{count(withheld.hidden_spans, 'hidden passage')} taken out, such as HTML comments"


def _gates(facts: Facts, repo: str) -> str:
    lines = [
        f"- {sanitise_line(gate, _NOTE_CHARACTERS, where=Where.PULL_REQUEST, repo=repo)}"
        for gate in facts.gates[:_MAX_NOTES]
    ]
    return details("Looked at before the push", "\n".join(lines)) if lines else ""


def _footer(facts: Facts) -> str:
    request = facts.request
    measures = [duration(facts.seconds), used(facts.usage.cost_usd, facts.budget_usd)]
    if facts.model:
        measures.append(f"model {code_span(one_line(facts.model, 100))}")
    if facts.run_url:
        measures.append(f"[the run]({facts.run_url})")
    # The one mention that is meant: who asked hears of the pull request.
    asker = f"@{request.actor.login}" if request.actor.id > 0 else code_span(one_line(request.actor.login, 100))
    where = f" in #{request.issue.number}" if request.issue else ""
    return f"Requested by {asker}{where} · " + " · ".join(measures)
