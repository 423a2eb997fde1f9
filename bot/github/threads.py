"""What is read of a thread besides its comments: other issues, and a pull request's changes and review comments."""

from collections.abc import AsyncIterator
from datetime import datetime

from bot.github import answers
from bot.github.answers import (
    At,
    ChangedFile,
    Json,
    OnComment,
    OnIssue,
    OnReviewComment,
    ReviewComment,
    Target,
    ThreadOnGitHub,
)
from bot.github.calls import Calls
from bot.github.failures import NotFound, PermissionMissing
from bot.github.tokens import READ_THREAD

_PAGE = 100
_MAX_PAGES = 20
_MAX_FILE_PAGES = 3
_WITH_HTML = "application/vnd.github.full+json"
"""https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#media-types"""


class Threads:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def thread(self, at: At, number: int) -> ThreadOnGitHub | None:
        """An issue or pull request as it is now; None when the app can see none of that number."""
        try:
            # Whether it is an issue or a pull request is not known yet, and each needs its own permission.
            reply = await self._calls.send(at, "GET", f"/issues/{number}", scope=READ_THREAD)
        except (NotFound, PermissionMissing):
            return None
        return answers.thread(reply.body)

    async def rendered(self, at: At, place: Target) -> str:
        """The HTML that GitHub makes of the text now; in it the addresses of attachments are signed."""
        reply = await self._calls.send(at, "GET", path_of(place), scope=READ_THREAD, accept=_WITH_HTML)
        return str(reply.body.get("body_html") or "")

    async def changed_files(self, at: At, number: int) -> list[ChangedFile]:
        """Of a pull request; of a very large one the first few hundred."""
        found: list[ChangedFile] = []
        async for page in self._pages(at, f"/pulls/{number}/files", _MAX_FILE_PAGES):
            found += map(answers.changed_file, page)
        return found

    async def review_comments(self, at: At, number: int, until: datetime) -> list[ReviewComment]:
        """Those of a pull request that were made up to `until`, oldest first."""
        found: list[ReviewComment] = []
        async for page in self._pages(at, f"/pulls/{number}/comments", _MAX_PAGES):
            found += map(answers.review_comment, page)
        return [review for review in found if review.comment.created_at <= until]

    async def _pages(self, at: At, path: str, limit: int) -> AsyncIterator[Json]:
        for page in range(1, limit + 1):
            params: dict[str, str | int] = {"per_page": _PAGE, "page": page}
            reply = await self._calls.send(at, "GET", path, params=params, scope=READ_THREAD)
            yield reply.body
            if not reply.has_next_page:
                return


def path_of(place: Target) -> str:
    """Below the repository."""
    match place:
        case OnIssue(number):
            return f"/issues/{number}"
        case OnComment(comment_id):
            return f"/issues/comments/{comment_id}"
        case OnReviewComment(comment_id):
            return f"/pulls/comments/{comment_id}"
