"""What the app asks of an account on GitHub, and why, for people to read before they say yes. No I/O."""

from typing import NamedTuple

PERMISSION_REASONS = {
    "metadata": "Mandatory; also answers whether a person may write, which decides who may ask.",
    "contents": "Clones the repository, pushes the run's branch, and makes the commit that GitHub signs.",
    "issues": "Reads the issue; reacts, comments and labels.",
    "pull_requests": "Opens the pull request and comments on it; hears of reviews, and of its end.",
    "checks": "Hears of checks that fail, where a repository uses ci_fix.",
}
EVENT_REASONS = {
    "issues": "The label that starts a run.",
    "issue_comment": "Commands in comments, on issues and on pull requests.",
    "pull_request": "How a pull request of Backspace ends.",
    "pull_request_review": "Reviews of a pull request of Backspace.",
    "pull_request_review_comment": "Commands in review threads.",
    "check_run": "Checks that fail, where a repository uses ci_fix.",
}


class Wish(NamedTuple):
    name: str
    level: str
    """Empty for an event."""
    why: str


def wishes(permissions: dict[str, str], events: tuple[str, ...]) -> list[Wish]:
    asked = [Wish(name, level, PERMISSION_REASONS[name]) for name, level in permissions.items()]
    return asked + [Wish(name, "", EVENT_REASONS[name]) for name in events]
