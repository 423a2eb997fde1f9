"""The calls we make to GitHub, in our words."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from urllib.parse import quote, urlsplit

import httpx

from bot import certificates
from bot.github import answers
from bot.github.answers import (
    At,
    Author,
    OnReviewComment,
    OpenedPull,
    Pull,
    Target,
    ThreadComment,
)
from bot.github.app import App
from bot.github.calls import Calls
from bot.github.commits import Commits
from bot.github.failures import BaseMissing, Forbidden, NotFound, NothingToMerge, Unprocessable
from bot.github.job_logs import JobLogs
from bot.github.limits import CONTENT, FIRST_WORDS, UNINVITED, WRITE, Content, Limits, edit
from bot.github.threads import Threads, path_of
from bot.github.tokens import ANSWER, ANSWER_PULL_REQUEST, CLONE, PUBLISH, Scope, Tokens
from bot.intake.access import Permission
from bot.intake.repo_config import PATH as CONFIG_PATH
from bot.model import Actor, InstallationId, Repo

API_VERSION = "2026-03-10"
"""What github.com gets; GitHub Enterprise Server may need 2022-11-28."""

_PAGE = 100
_MAX_PAGES = 20


class Client:
    """Everything but the installation tokens' and the limits' state is in GitHub; safe to use from many tasks."""

    def __init__(
        self, *, app_id: str, web_url: str, calls: Calls, tokens: Tokens, limits: Limits, job_logs: JobLogs
    ) -> None:
        self._app_id = app_id
        self.web_url = web_url.rstrip("/")
        self._calls = calls
        self._tokens = tokens
        self._limits = limits
        self.threads = Threads(calls)
        self.commits = Commits(calls)
        self.app = App(tokens, calls, web_url=web_url)
        self.job_logs = job_logs
        self._reactions: dict[tuple[int, Target, str], int] = {}

    # Tokens for git, and where git finds the repository.

    async def clone_token(self, at: At) -> str:
        return await self._tokens.token(at.installation_id, at.repo.id, CLONE)

    async def push_token(self, at: At) -> str:
        return await self._tokens.token(at.installation_id, at.repo.id, PUBLISH)

    def refused(self, token: str | None) -> None:
        """git was not let in with it: GitHub may have withdrawn it, so the next one is a new one."""
        self._tokens.drop(token or "")

    def git_url(self, at: At) -> str:
        return f"{self.page(at)}.git"

    async def author(self, at: At) -> Author:
        """The app's bot, as GitHub knows it in commits."""
        login = f"{await self._tokens.app_slug()}[bot]"
        reply = await self._calls.look_up(at, f"/users/{quote(login)}", scope=PUBLISH)
        host = urlsplit(self.web_url).hostname
        return Author(login, f"{reply.body['id']}+{login}@users.noreply.{host}")

    # Who asks, and what the repository says.

    async def repository(self, at: At) -> Repo:
        """As it is now. Raises NotFound."""
        return answers.repository((await self._calls.send(at, "GET", "", scope=ANSWER, urgent=True)).body)

    async def permission(self, at: At, actor: Actor) -> Permission | None:
        """What GitHub grants the login now; None when it knows none. The answer's id may be somebody else's."""
        try:
            reply = await self._calls.send(
                at, "GET", f"/collaborators/{quote(actor.login)}/permission", scope=_answering(at), urgent=True
            )
        except NotFound:
            return None
        return answers.permission(reply.body)

    async def config_file(self, at: At, *, urgent: bool = True) -> bytes | None:
        """`.github/backspace.yml` of the default branch; None when there is none."""
        return await self.file(at, CONFIG_PATH, urgent=urgent)

    async def file(self, at: At, path: str, ref: str = "", *, urgent: bool = True) -> bytes | None:
        """A file's content at `ref`, by default at the default branch; None when there is none."""
        params: dict[str, str | int] = {"ref": ref} if ref else {}
        try:
            reply = await self._calls.send(
                at, "GET", f"/contents/{quote(path)}", params=params, scope=_answering(at), urgent=urgent
            )
        except NotFound:
            return None
        return answers.file_content(reply.body)

    # The thread.

    async def comments(self, at: At, number: int, until: datetime) -> list[ThreadComment]:
        """The thread's comments made up to `until`, oldest first; the caller looks at when each was edited."""
        found: list[ThreadComment] = []
        for page in range(1, _MAX_PAGES + 1):
            reply = await self._calls.send(
                at,
                "GET",
                f"/issues/{number}/comments",
                params={"per_page": _PAGE, "page": page},
                scope=_answering(at),
            )
            found += [answers.comment(item) for item in reply.body]
            if not reply.has_next_page or (found and found[-1].created_at > until):
                break
        return [comment for comment in found if comment.created_at <= until]

    async def react(self, at: At, target: Target, content: str) -> None:
        """GitHub answers a reaction that is there already as if it were new: safe to repeat."""
        self._reactions[(at.repo.id, target, content)] = await self._reaction_id(at, target, content)

    async def unreact(self, at: At, target: Target, content: str) -> None:
        """Take our reaction back; one that is gone already is no error."""
        known = self._reactions.pop((at.repo.id, target, content), None)
        # Reacting again is the shortest way to the id of a reaction made by an earlier process.
        reaction_id = known if known is not None else await self._reaction_id(at, target, content)
        try:
            await self._calls.send(
                at,
                "DELETE",
                f"{path_of(target)}/reactions/{reaction_id}",
                scope=_reacting(at, target),
                weight=WRITE,
                urgent=True,
            )
        except NotFound:
            return

    async def _reaction_id(self, at: At, target: Target, content: str) -> int:
        reply = await self._calls.send(
            at,
            "POST",
            path_of(target) + "/reactions",
            body={"content": content},
            scope=_reacting(at, target),
            weight=WRITE,
            urgent=True,
        )
        return int(reply.body["id"])

    async def post_comment(self, at: At, number: int, body: str, marker: str) -> int:
        """The new comment's id. `marker` stands in `body` and tells this comment from all others of ours."""
        return await self._calls.create(
            at,
            f"/issues/{number}/comments",
            body={"body": body},
            parse=lambda answer: int(answer["id"]),
            find=lambda: self.find_comment(at, number, marker),
            scope=_answering(at),
            weight=FIRST_WORDS,
            urgent=True,
        )

    async def find_comment(self, at: At, number: int, marker: str, since: datetime | None = None) -> int | None:
        """Our own comment that carries the marker in its first line: others may copy a marker."""
        params: dict[str, str | int] = {"per_page": _PAGE}
        if since:
            params["since"] = since.isoformat().replace("+00:00", "Z")
        for page in range(1, _MAX_PAGES + 1):
            reply = await self._calls.send(
                at,
                "GET",
                f"/issues/{number}/comments",
                params={**params, "page": page},
                scope=_answering(at),
                urgent=True,
            )
            for comment in map(answers.comment, reply.body):
                if self.is_ours(comment) and marker in comment.body.partition("\n")[0]:
                    return comment.id
            if not reply.has_next_page:
                break
        return None

    def is_ours(self, comment: ThreadComment) -> bool:
        return comment.author_type == "Bot" and comment.app_id == self._app_id

    def has_room(self, installation_id: InstallationId, content: Content, *, owed: int = 0) -> bool:
        """Whether an edit of a comment would go at once, with `owed` outcomes still to be told."""
        return self._limits.has_room(installation_id, content, owed=owed)

    async def edit_comment(self, at: At, comment_id: int, body: str, *, content: Content = Content.PROGRESS) -> bool:
        """False when the comment has been deleted."""
        try:
            await self._calls.send(
                at,
                "PATCH",
                f"/issues/comments/{comment_id}",
                body={"body": body},
                scope=_answering(at),
                weight=edit(content),
                urgent=content is not Content.PROGRESS,
            )
        except NotFound:
            return False
        return True

    async def add_labels(self, at: At, number: int, labels: Sequence[str]) -> None:
        """Labels that the thread has already are no error."""
        await self._calls.send(
            at, "POST", f"/issues/{number}/labels", body={"labels": list(labels)}, scope=PUBLISH, weight=WRITE
        )

    async def create_label(self, at: At, name: str, color: str, description: str) -> bool:
        """Make the repository's label; False when it is there already. `color`: six hex digits."""
        body = {"name": name, "color": color, "description": description}
        try:
            # A label is found by its name: a second POST cannot make a second one.
            await self._calls.send(at, "POST", "/labels", body=body, scope=_answering(at), weight=UNINVITED)
        except Unprocessable as exc:
            if "already_exists" in str(exc):
                return False
            raise
        return True

    # Pull requests.

    async def open_pull(self, at: At, *, branch: str, base: str, title: str, body: str, draft: bool) -> OpenedPull:
        """Open the branch's pull request, or find it and give it this title and body.

        A draft becomes an ordinary one where the plan has no drafts. Raises NothingToMerge and BaseMissing.
        """
        try:
            return await self._post_pull(at, branch, base, title, body, draft=draft)
        except (Unprocessable, Forbidden) as exc:
            words = str(exc).lower()
            if draft and "draft" in words:
                return await self.open_pull(at, branch=branch, base=base, title=title, body=body, draft=False)
            if "already exists" in words and (found := await self.find_pull(at, branch, base)):
                return await self._edit_pull(at, found.number, title, body)
            if "no commits between" in words:
                raise NothingToMerge(str(exc), status=exc.status) from exc
            if "base invalid" in words:
                raise BaseMissing(str(exc), status=exc.status) from exc
            raise

    async def _post_pull(self, at: At, branch: str, base: str, title: str, body: str, *, draft: bool) -> OpenedPull:
        return await self._calls.create(
            at,
            "/pulls",
            body={"title": title, "head": branch, "base": base, "body": body, "draft": draft},
            parse=lambda answer: answers.pull(answer, reused=False),
            find=lambda: self.find_pull(at, branch, base),
            scope=PUBLISH,
            weight=CONTENT,
            urgent=True,
        )

    async def pull(self, at: At, number: int) -> Pull | None:
        """The pull request as it is now; None when there is none of that number."""
        try:
            reply = await self._calls.send(at, "GET", f"/pulls/{number}", scope=ANSWER_PULL_REQUEST, urgent=True)
        except NotFound:
            return None
        return answers.pull_as_it_is(reply.body)

    def page(self, at: At) -> str:
        """Where people see the repository."""
        return f"{self.web_url}/{quote(self._calls.full_name(at))}"

    def branch_url(self, at: At, branch: str) -> str:
        """Where people see it."""
        return f"{self.page(at)}/tree/{quote(branch)}"

    def pull_url(self, at: At, number: int) -> str:
        """Where people see it."""
        return f"{self.page(at)}/pull/{number}"

    async def find_pull(self, at: At, branch: str, base: str) -> OpenedPull | None:
        """The open pull request from the branch."""
        owner = self._calls.full_name(at).partition("/")[0]
        reply = await self._calls.send(
            at,
            "GET",
            "/pulls",
            params={"head": f"{owner}:{branch}", "base": base, "state": "open"},
            scope=PUBLISH,
        )
        return answers.pull(reply.body[0], reused=True) if reply.body else None

    async def _edit_pull(self, at: At, number: int, title: str, body: str) -> OpenedPull:
        reply = await self._calls.send(
            at, "PATCH", f"/pulls/{number}", body={"title": title, "body": body}, scope=PUBLISH, weight=CONTENT
        )
        return answers.pull(reply.body, reused=True)


def _answering(at: At) -> Scope:
    return ANSWER_PULL_REQUEST if at.on_pull_request else ANSWER


def _reacting(at: At, target: Target) -> Scope:
    return ANSWER_PULL_REQUEST if isinstance(target, OnReviewComment) else _answering(at)


@asynccontextmanager
async def connect(
    *,
    app_id: str,
    private_key: str,
    api_url: str,
    web_url: str,
    clock: Callable[[], datetime],
    on_secret: Callable[[str], None],
    api_version: str = API_VERSION,
    proxy: str | None = None,
    personal_token: str = "",
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Client]:
    """The client of one App, with all its parts. Raises AppRefused when the private key is none."""
    tls = certificates.trusted()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(verify=tls, proxy=proxy, trust_env=False))
        tokens = Tokens(
            app_id=app_id,
            private_key=private_key,
            api_url=api_url,
            api_version=api_version,
            http=http,
            clock=clock,
            on_secret=on_secret,
            personal_token=personal_token,
            sleep=sleep,
        )
        limits = Limits(clock=clock, sleep=sleep)
        calls = Calls(
            api_url=api_url,
            api_version=api_version,
            tokens=tokens,
            limits=limits,
            tls=tls,
            proxy=proxy,
            sleep=sleep,
        )
        stack.push_async_callback(calls.aclose)
        job_logs = JobLogs(calls, http)
        yield Client(app_id=app_id, web_url=web_url, calls=calls, tokens=tokens, limits=limits, job_logs=job_logs)
