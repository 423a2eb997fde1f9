"""Branch names, commit messages and pull request titles. No I/O."""

import re
import unicodedata

from bot.markdown import one_line, plain, plain_title
from bot.model import Actor, RunId

NOREPLY_HOST = "users.noreply.github.com"
"""On GitHub Enterprise Server it is `users.noreply.<host>`."""

_FALLBACK = "Changes by Backspace"
_SLUG_CHARACTERS = 40
_SUBJECT_CHARACTERS = 72
_BODY_CHARACTERS = 4_000
_NOT_SLUG = re.compile(r"[^a-z0-9]+")
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9])?")
# Lines that git and GitHub read: https://git-scm.com/docs/git-interpret-trailers
_TRAILER = re.compile(
    r"^[ \t]*(?:[a-z-]+-by|backspace-run|skip-checks|request-checks)\s*:", re.IGNORECASE | re.MULTILINE
)
# https://docs.github.com/en/actions/managing-workflow-runs/skipping-workflow-runs
_SKIP = re.compile(
    r"\[\s*(skip|no)\s+(ci)\s*\]|\[\s*(ci|actions)\s+(skip)\s*\]|\[\s*(skip)\s+(actions)\s*\]", re.IGNORECASE
)
_NO_CI = re.compile(r"\*{3}\s*NO_CI\s*\*{3}", re.IGNORECASE)


def branch_name(issue_number: int | None, title_or_prompt: str, run_id: RunId) -> str:
    """`backspace/<issue number or "api">-<slug>-<first 8 of the run id>`."""
    place = str(issue_number) if issue_number is not None else "api"
    return f"backspace/{place}-{_slug(title_or_prompt)}-{run_id[:8]}"


def _slug(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text[:1000]).encode("ascii", "ignore").decode().lower()
    words = _NOT_SLUG.sub("-", letters).strip("-")
    if len(words) > _SLUG_CHARACTERS:
        cut = words[: _SLUG_CHARACTERS + 1].rpartition("-")[0]
        words = (cut if len(cut) > _SLUG_CHARACTERS // 2 else words[:_SLUG_CHARACTERS]).strip("-")
    return words or "change"


def pull_title(subject: str) -> str:
    """Of the issue's title or the prompt."""
    return _runs_ci(plain_title(subject)) or _FALLBACK


def commit_message(
    subject: str, body: str, actor: Actor, issue_number: int | None = None, *, noreply_host: str = NOREPLY_HOST
) -> str:
    """Subject, body, and whoever asked as co-author. The run's own trailer is added where the commit is made."""
    first = one_line(pull_title(subject), _SUBJECT_CHARACTERS)
    rest = _TRAILER.sub(r"- \g<0>", plain(body, _BODY_CHARACTERS, before=f"{first}\n\n"))
    parts = [first, _runs_ci(rest)]
    if issue_number is not None:
        parts.append(f"Asked for in #{issue_number}.")
    if actor.id > 0 and _LOGIN.fullmatch(actor.login):
        parts.append(f"Co-authored-by: {actor.login} <{actor.id}+{actor.login}@{noreply_host}>")
    return "\n\n".join(filter(None, parts)) + "\n"


def _runs_ci(text: str) -> str:
    """Without the words that keep workflows from running on a commit."""
    named = _SKIP.sub(lambda m: " ".join(filter(None, m.groups())), text)
    return _NO_CI.sub("NO_CI", named)
